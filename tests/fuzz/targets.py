"""A target for each reader: how its input is damaged, and how it is read."""

import io
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from tests.fuzz import seeds
from tests.fuzz import server as serve
from tests.fuzz.mutations import damaged_bytes, damaged_json, damaged_zip


@dataclass(frozen=True)
class Target:
    """A reader of files from outside.

    Args:
        inputs: Function that returns the strategy for the content of the damaged file.
        read: Function that reads a file or folder of unknown origin.
        name: Name of the damaged file, with the suffix that the reader expects.
        beside: Function that returns a folder whose other files belong to the damaged one; the
            whole folder is read then.
        share: Relative number of cases; slow readers get fewer.
    """

    inputs: Callable[[], st.SearchStrategy]
    read: Callable[[Path], object]
    name: str
    beside: Callable[[], Path] | None = None
    share: int = 10


def place(target: Target, content: bytes, folder: Path) -> Path:
    """Writes a damaged file, and what belongs to it, into a fresh folder; returns what to read."""
    shutil.rmtree(folder, ignore_errors=True)
    if target.beside is None:
        folder.mkdir(parents=True)
        (folder / target.name).write_bytes(content)
        return folder / target.name
    shutil.copytree(target.beside(), folder)
    (folder / target.name).write_bytes(content)
    return folder


def _read_checkpoint(path):
    from keras_poolformer.checkpoints import readers
    from keras_poolformer.presets import describe, resolve

    return describe(readers.read_checkpoint(path), resolve(path))


def _read_pickle(path):
    """A zip checkpoint whose pickle is the file's content."""
    from keras_poolformer.checkpoints import readers

    packed = path.with_name("packed.pth")
    source = zipfile.ZipFile(io.BytesIO(seeds.torch_files(False)[1]))
    with zipfile.ZipFile(packed, "w") as target:
        for name in source.namelist():
            content = path.read_bytes() if name.endswith(".pkl") else source.read(name)
            target.writestr(name, content)
    return readers.read_checkpoint(packed)


def _read_source(path):
    """What a command says of a SOURCE without building the model."""
    from keras_poolformer import ImageTransform
    from keras_poolformer.presets import resolve

    resolve(path)
    return ImageTransform.from_preset(path)


def _read_model(path):
    from keras_poolformer import PoolFormerImageClassifier

    return PoolFormerImageClassifier.from_preset(path)


def _read_image(path):
    from keras_poolformer.image_files import load_image

    return load_image(path)


def _decode_image(path):
    """The image as training reads it; TensorFlow's own errors are named by `validate`."""
    import tensorflow as tf

    from keras_poolformer.data.decoding import decode
    from keras_poolformer.errors import InputError

    try:
        return decode(tf.constant(path.read_bytes()))
    except tf.errors.OpError as error:
        raise InputError(error) from None


def _read_records(path):
    from keras_poolformer.data.records import open_records
    from keras_poolformer.data.validation import validate

    for split in open_records(path):
        if split is not None:
            validate(split)


def _read_description(path):
    from keras_poolformer.runtime.description import read_description

    return read_description(path)


def _read_tflite(path):
    from keras_poolformer.runtime import TFLiteClassifier

    return TFLiteClassifier(path)


def _read_saved_model(path):
    from keras_poolformer.scorers import open_scorer

    return open_scorer(path)


def _download(path):
    """Downloads from a server whose whole answer is the file's content."""
    from keras_poolformer import downloads

    server, goal = serve.server(), path.with_name("downloaded")
    server.answer = path.read_bytes()
    downloads.PAUSE = 0
    downloads.download(f"http://127.0.0.1:{server.server_address[1]}/a", goal)


def _read_labels(path):
    from keras_poolformer.labels import read_labels

    return read_labels(path)


def _entry(archive, end):
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return next(opened.read(name) for name in opened.namelist() if name.endswith(end))


def _torch_zips():
    files = seeds.torch_files(legacy=False)
    pickles = [_entry(file, ".pkl") for file in files]
    return damaged_zip(files, {".pkl": damaged_bytes(pickles), "/0": st.binary(max_size=200)})


def _pickles():
    return damaged_bytes([_entry(file, ".pkl") for file in seeds.torch_files(legacy=False)])


def _keras_descriptions():
    file = seeds.keras_file()
    document = _entry(file, "config.json")
    return damaged_zip(
        [file],
        {"config.json": damaged_json([document]) | damaged_bytes([document])},
    )


def _keras_weights():
    file = seeds.keras_file()
    return damaged_zip([file], {".h5": damaged_bytes([_entry(file, ".h5")])})


def _descriptions():
    files = seeds.tflite_files()
    document = _entry(files[0], "keras_poolformer.json")
    description = damaged_json([document]) | damaged_bytes([document])
    return damaged_zip(files, {".json": description, "labels.txt": st.binary(max_size=50)})


def _flatbuffers():
    return damaged_bytes(seeds.tflite_files())


def _json_of(path: Callable[[], Path]):
    def strategy():
        content = [path().read_bytes()]
        return damaged_json(content) | damaged_bytes(content)

    return strategy


def _bytes_of(path: Callable[[], Path]):
    return lambda: damaged_bytes([path().read_bytes()])


def _hub_target(layout, name):
    directory = lambda: seeds.hub_directory(layout)  # noqa: E731
    return Target(_json_of(lambda: directory() / name), _read_source, name, directory)


TARGETS = {
    "pth_zip": Target(_torch_zips, _read_checkpoint, "a.pth"),
    "pth_legacy": Target(lambda: damaged_bytes(seeds.torch_files(True)), _read_checkpoint, "a.pth"),
    "pickle": Target(_pickles, _read_pickle, "data.pkl"),
    "safetensors": Target(
        lambda: damaged_bytes([seeds.safetensors()]), _read_checkpoint, "a.safetensors"
    ),
    "hf_config": _hub_target("hf", "config.json"),
    "hf_preprocessor": _hub_target("hf", "preprocessor_config.json"),
    "timm_config": _hub_target("timm", "config.json"),
    "keras_description": Target(_keras_descriptions, _read_source, "a.keras"),
    "keras_weights": Target(_keras_weights, _read_model, "a.keras", share=1),
    "preset_folder": Target(
        _json_of(lambda: seeds.preset_folder() / "keras_poolformer.json"),
        _read_source,
        "keras_poolformer.json",
        seeds.preset_folder,
    ),
    "image": Target(lambda: damaged_bytes(seeds.images()), _read_image, "a", share=15),
    "image_in_training": Target(lambda: damaged_bytes(seeds.images()), _decode_image, "a"),
    "dataset_json": Target(
        _json_of(lambda: seeds.records() / "dataset.json"),
        _read_records,
        "dataset.json",
        seeds.records,
        share=1,
    ),
    "records": Target(
        _bytes_of(lambda: next(seeds.records().glob("train*.tfrecord"))),
        _read_records,
        "train-00000-of-00001.tfrecord",
        seeds.records,
        share=1,
    ),
    "tflite_description": Target(_descriptions, _read_description, "a.tflite"),
    "tflite": Target(_flatbuffers, _read_tflite, "a.tflite", share=5),
    "saved_model": Target(
        _bytes_of(lambda: seeds.saved_model() / "saved_model.pb"),
        _read_saved_model,
        "saved_model.pb",
        seeds.saved_model,
        share=1,
    ),
    "download": Target(lambda: damaged_bytes(serve.ANSWERS), _download, "answer", share=2),
    "labels": Target(lambda: damaged_bytes([b"cat\ndog\n"]), _read_labels, "labels.txt", share=5),
}
