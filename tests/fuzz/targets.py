"""A target for each reader: how its input is damaged, and how it is read."""

import functools
import io
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz import seeds
from tests.fuzz import server as serve
from tests.fuzz.mutations import Damage, damaged_bytes, damaged_json, damaged_zip

RECORDS = "train-00000-of-00001.tfrecord"


@dataclass(frozen=True)
class Target:
    """A reader of files from outside.

    Args:
        damage: Function that draws the content of the damaged file.
        read: Function that reads a file or folder of unknown origin.
        name: Name of the damaged file, with the suffix that the reader expects.
        beside: Function that returns a folder whose other files belong to the damaged one; the
            whole folder is read then.
        share: Relative number of cases; slow readers get fewer.
    """

    damage: Damage
    read: Callable[[Path], object]
    name: str
    beside: Callable[[], Path] | None = None
    share: int = 10


def place(target: Target, content: bytes, folder: Path) -> Path:
    """Writes a damaged file, and what belongs to it, into a folder; returns what to read."""
    if target.beside is None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / target.name).write_bytes(content)
        return folder / target.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(target.beside(), folder)
    (folder / target.name).write_bytes(content)
    return folder


def _read_checkpoint(path):
    from keras_poolformer.sources import resolve

    return resolve(path).read()


def _read_pickle(path):
    """A zip checkpoint whose pickle is the file's content."""
    from keras_poolformer.checkpoints.checkpoint import read_checkpoint

    packed = path.with_name("packed.pth")
    source = zipfile.ZipFile(io.BytesIO(seeds.torch_files(legacy=False)[1]))
    with zipfile.ZipFile(packed, "w") as target:
        for name in source.namelist():
            content = path.read_bytes() if name.endswith(".pkl") else source.read(name)
            target.writestr(name, content)
    return read_checkpoint(packed)


def _read_source(path):
    """What a command says of a SOURCE without building the model."""
    from keras_poolformer import ImageTransform
    from keras_poolformer.sources import resolve

    resolve(path)
    return ImageTransform.from_preset(path)


def _read_kerashub(path):
    """What a folder of KerasHub says of its model, without the weights."""
    from keras_poolformer.sources import resolve

    source = resolve(path)
    return source.read(weights=False), source.transform


def _read_backbone(path):
    from keras_poolformer import PoolFormerBackbone

    return PoolFormerBackbone.from_preset(path)


def _read_model(path):
    from keras_poolformer import PoolFormerImageClassifier

    return PoolFormerImageClassifier.from_preset(path)


def _read_image(path):
    from keras_poolformer.images.files import load_image

    return load_image(path)


def _decode_image(path):
    """The image as training reads it; TensorFlow's own errors are named by `validate`."""
    import tensorflow as tf

    from keras_poolformer.data.decoding import decode
    from keras_poolformer.support.errors import InputError

    try:
        return decode(tf.constant(path.read_bytes()))
    except tf.errors.OpError as error:
        raise InputError(error) from None


def _read_records(path):
    from keras_poolformer.data.splits.records import open_records
    from keras_poolformer.data.splits.validation import validate

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
    from keras_poolformer.evaluation.opening import open_scorer

    return open_scorer(path)


def _download(path):
    """Downloads from a server whose whole answer is the file's content."""
    from keras_poolformer.sources import downloads

    server, goal = serve.server(), path.parent / "downloaded" / "a.pth"
    shutil.rmtree(goal.parent, ignore_errors=True)  # what the case before left
    server.answer = path.read_bytes()
    downloads.PAUSE = 0
    downloads.download(f"http://127.0.0.1:{server.server_address[1]}/a.pth", goal)


def _read_labels(path):
    from keras_poolformer.labels import read_labels

    return read_labels(path)


def _entry(archive, end):
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return next(opened.read(name) for name in opened.namelist() if name.endswith(end))


def _torch_zip(random: Random) -> bytes:
    files = seeds.torch_files(legacy=False)
    return damaged_zip(
        random,
        files,
        {
            ".pkl": lambda random: damaged_bytes(random, _pickles()),
            "/0": lambda random: random.randbytes(random.randint(0, 200)),
        },
    )


@functools.cache
def _pickles():
    return [_entry(file, ".pkl") for file in seeds.torch_files(legacy=False)]


def _keras_description(random: Random) -> bytes:
    file = seeds.keras_file()
    return damaged_zip(random, [file], {"config.json": _document(_entry(file, "config.json"))})


def _keras_weights(random: Random) -> bytes:
    file = seeds.keras_file()
    weights = _entry(file, ".h5")
    return damaged_zip(random, [file], {".h5": lambda random: damaged_bytes(random, [weights])})


def _description(random: Random) -> bytes:
    files = seeds.tflite_files()
    document = _document(_entry(files[0], "keras_poolformer.json"))
    labels = _bytes_of(lambda: [b"cat\ndog\n"])
    return damaged_zip(random, files, {".json": document, "labels.txt": labels})


def _records(random: Random) -> bytes:
    """Damage to the file of records, or to what one of them holds, with a checksum to match."""
    import tensorflow as tf

    file = seeds.records() / RECORDS
    if random.random() < 0.3:
        return damaged_bytes(random, [file.read_bytes()])
    examples = [bytes(example.numpy()) for example in tf.data.TFRecordDataset(str(file))]
    place = random.randrange(len(examples))
    examples[place] = damaged_bytes(random, examples)
    written = seeds.folder() / "damaged.tfrecord"
    with tf.io.TFRecordWriter(str(written)) as writer:
        for example in examples:
            writer.write(example)
    return written.read_bytes()


def _document(content: bytes) -> Damage:
    """Damage to a JSON document: to its values, or to its bytes."""

    def damage(random):
        damaged = random.choice([damaged_json, damaged_json, damaged_bytes])
        return damaged(random, [content])

    return damage


def _json_of(path: Callable[[], Path]) -> Damage:
    return lambda random: _document(path().read_bytes())(random)


def _bytes_of(contents: Callable[[], list[bytes]]) -> Damage:
    return lambda random: damaged_bytes(random, contents())


def _hub_target(layout, name):
    def directory():
        return seeds.hub_directory(layout)

    return Target(_json_of(lambda: directory() / name), _read_source, name, directory)


def _kerashub_target(name, read=_read_kerashub, beside=seeds.kerashub_folder, share=10):
    """A file of a KerasHub folder: JSON, or weights in HDF5."""

    def damage(random):
        content = (beside() / name).read_bytes()
        if name.endswith(".json"):
            return _document(content)(random)
        return damaged_bytes(random, [content])

    return Target(damage, read, name, beside, share)


TARGETS = {
    "pth_zip": Target(_torch_zip, _read_checkpoint, "a.pth"),
    "pth_legacy": Target(
        _bytes_of(lambda: seeds.torch_files(legacy=True)), _read_checkpoint, "a.pth"
    ),
    "pickle": Target(_bytes_of(_pickles), _read_pickle, "data.pkl"),
    "safetensors": Target(
        _bytes_of(lambda: [seeds.safetensors()]), _read_checkpoint, "a.safetensors"
    ),
    "hf_config": _hub_target("hf", "config.json"),
    "hf_preprocessor": _hub_target("hf", "preprocessor_config.json"),
    "timm_config": _hub_target("timm", "config.json"),
    "keras_description": Target(_keras_description, _read_source, "a.keras"),
    "keras_weights": Target(_keras_weights, _read_model, "a.keras", share=1),
    "preset_folder": Target(
        _json_of(lambda: seeds.preset_folder() / "keras_poolformer.json"),
        _read_source,
        "keras_poolformer.json",
        seeds.preset_folder,
    ),
    "kerashub_config": _kerashub_target("config.json"),
    "kerashub_task": _kerashub_target("task.json"),
    "kerashub_converter": _kerashub_target("image_converter.json"),
    "kerashub_shards": _kerashub_target(
        "model.weights.json", _read_backbone, seeds.kerashub_shards, share=2
    ),
    "kerashub_weights": _kerashub_target("model.weights.h5", _read_model, share=1),
    "kerashub_head": _kerashub_target("task.weights.h5", _read_model, share=1),
    "image": Target(_bytes_of(seeds.images), _read_image, "a", share=15),
    "image_in_training": Target(_bytes_of(seeds.images), _decode_image, "a"),
    "dataset_json": Target(
        _json_of(lambda: seeds.records() / "dataset.json"),
        _read_records,
        "dataset.json",
        seeds.records,
        share=1,
    ),
    "records": Target(
        _records,
        _read_records,
        RECORDS,
        seeds.records,
        share=1,
    ),
    "tflite_description": Target(_description, _read_description, "a.tflite"),
    "tflite": Target(_bytes_of(seeds.tflite_files), _read_tflite, "a.tflite", share=5),
    "saved_model": Target(
        _bytes_of(lambda: [(seeds.saved_model() / "saved_model.pb").read_bytes()]),
        _read_saved_model,
        "saved_model.pb",
        seeds.saved_model,
        share=1,
    ),
    "download": Target(_bytes_of(lambda: serve.ANSWERS), _download, "answer", share=2),
    "labels": Target(_bytes_of(lambda: [b"cat\ndog\n"]), _read_labels, "labels.txt", share=5),
}
