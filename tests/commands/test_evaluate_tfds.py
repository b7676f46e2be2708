"""`evaluate` on data sets of tensorflow-datasets, which must count what class folders count."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_poolformer.data.class_matching import match_classes
from keras_poolformer.data.folders import spread
from keras_poolformer.data.splits.opening import open_labeled
from keras_poolformer.evaluation.opening import open_scorer
from keras_poolformer.sources.presets import CIFAR10_LABELS
from keras_poolformer.support.errors import InputError
from tests.helpers import CIFAR10_PHOTOS, PRESET, run_python

pytestmark = pytest.mark.slow  # minutes of exports and trainings

LABELS = [photo.stem.rpartition("_")[2] for photo in CIFAR10_PHOTOS]
REVERSED = CIFAR10_LABELS[::-1]
FAILURES = {
    "unreachable": ConnectionError("host\nnot found"),
    "by_hand": AssertionError("fetch the file\nby hand"),
}


@pytest.fixture(scope="module")
def tfds():
    """tensorflow-datasets, with data sets that its registry knows and nobody has prepared."""
    import tensorflow_datasets as tfds

    class Unprepared(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.2.3")
        BUILDER_CONFIGS = [  # noqa: RUF012 - as tfds wants it
            tfds.core.BuilderConfig(name=name) for name in ("fine", *FAILURES)
        ]

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=features(tfds))

        def _split_generators(self, dl_manager):
            if self.builder_config.name in FAILURES:
                raise FAILURES[self.builder_config.name]
            return {"test": self._generate_examples()}

        def _generate_examples(self):
            for photo, label in zip(CIFAR10_PHOTOS, LABELS, strict=True):
                yield photo.name, {"image": str(photo), "label": label}

    return tfds


def features(tfds, names=REVERSED, **changes):
    """Features of a data set; its classes are numbered other than the model's."""
    image = tfds.features.Image(shape=(None, None, 3))
    label = tfds.features.ClassLabel(names=names)
    return tfds.features.FeaturesDict({"image": image, "label": label} | changes)


@pytest.fixture(scope="module")
def write_dataset(tfds, tmp_path_factory):
    """write_dataset(name, splits, **features): the folder of a prepared data set."""

    def write_dataset(name, splits=None, **changes):
        folder = tmp_path_factory.mktemp(name)
        splits = splits or {"test": pairs(CIFAR10_PHOTOS, LABELS)}
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=features(tfds, **changes),
            split_datasets={name: list(enumerate(rows)) for name, rows in splits.items()},
            data_dir=folder,
            disable_shuffling=True,
        )
        return folder

    return write_dataset


def pairs(photos, labels):
    return [
        {"image": str(photo), "label": label} for photo, label in zip(photos, labels, strict=True)
    ]


@pytest.fixture(scope="module")
def photos(write_dataset):
    return write_dataset("photos")


def result_of(done, notes=()):
    status, printed, lines = done
    assert (status, lines) == (0, list(notes))
    return json.loads(printed)


# ---------------------------------------------------------------------------------------
# What is counted


@pytest.mark.parametrize("name", [None, "saved_model", "fp32.tflite", "pixels.tflite"])
def test_the_result_is_that_of_class_folders(name, exports, photos, data, run):
    source = exports / name if name else PRESET
    folders = result_of(run("evaluate", source, "--data", data, "--json"))
    arguments = ("--data", "photos:1.0.0", "--data-dir", photos, "--json", "--batch-size", 7)
    assert result_of(run("evaluate", source, *arguments)) == folders
    assert folders["images"] == 24 and folders["top1"] > 50


def test_wrong_labels_are_counted_as_wrong(write_dataset, data, exports, tmp_path, run):
    """Each image is said to be of the next class, there and here."""
    following = {label: CIFAR10_LABELS[n - 9] for n, label in enumerate(CIFAR10_LABELS)}
    folder = write_dataset(
        "wrong", {"test": pairs(CIFAR10_PHOTOS, [following[label] for label in LABELS])}
    )
    for label in set(LABELS):
        shutil.move(data / label, tmp_path / "shifted" / following[label])
    source = exports / "fp32.tflite"
    expected = result_of(run("evaluate", source, "--data", tmp_path / "shifted", "--json"))
    arguments = ("--data", "wrong", "--data-dir", folder, "--json")
    assert result_of(run("evaluate", source, *arguments)) == expected
    assert expected["top1"] < 20 < expected["top5"] < 100


def test_pixels_and_scores_are_those_of_the_files(write_dataset, photographs, exports, tmp_path):
    """Colour and grey, JPEG and PNG, one lying on its side: bit for bit, in the same order."""
    sideways, grey = tmp_path / "sideways.jpg", tmp_path / "grey.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(photographs[0]) as image:
        image.save(sideways, exif=exif)
        image.convert("L").save(grey)
    files = [*photographs, sideways, grey, CIFAR10_PHOTOS[0]]
    folder = write_dataset("mixed", {"test": pairs(files, ["cat"] * len(files))})
    labeled = open_labeled("mixed", data_dir=folder)
    scorer = open_scorer(exports / "fp32.tflite")
    examples = labeled.examples_for(scorer.labels, scorer.num_classes)
    assert not examples.note
    images, classes = zip(*examples.pairs, strict=True)
    assert set(classes) == {CIFAR10_LABELS.index("cat")}
    assert [image.content for image in images] == [file.read_bytes() for file in files]
    ours, theirs = (np.stack([scorer.prepare(one) for one in group]) for group in (images, files))
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(scorer.predict(ours), scorer.predict(theirs))


def test_a_limit_takes_what_it_takes_of_folders(photos, exports, run):
    labeled = open_labeled("photos", data_dir=photos)
    for limit in (1, 5, 23, 24, 99, None):
        examples = labeled.examples_for(CIFAR10_LABELS, 10, limit)
        chosen = [image.content for image, _ in examples.pairs]
        assert chosen == [photo.read_bytes() for photo in spread(CIFAR10_PHOTOS, limit)]
        assert examples.total == len(chosen)
    arguments = ("--data", "photos", "--data-dir", photos, "--limit", 5, "--json")
    assert result_of(run("evaluate", exports / "fp32.tflite", *arguments))["images"] == 5


def test_the_split_is_test_or_validation_or_what_is_asked_for(write_dataset, exports, run):
    def images(name, *options):
        arguments = ("--data", name, "--data-dir", folders[name], *options, "--json")
        return result_of(run("evaluate", exports / "fp32.tflite", *arguments))["images"]

    parts = {"train": 9, "validation": 4, "test": 3}
    splits = {name: pairs(CIFAR10_PHOTOS[:count], LABELS[:count]) for name, count in parts.items()}
    folders = {"three": write_dataset("three", splits)}
    del splits["test"]
    folders["two"] = write_dataset("two", splits)
    assert (images("three"), images("two")) == (3, 4)
    assert images("three", "--split", "validation") == 4
    assert images("three", "--split", "train[2:7]") == 5
    assert images("three", "--split", "train+test") == 12


def test_classes_of_other_names_are_taken_by_number(write_dataset, data, exports, run):
    wordnet = [f"n0{number}" for number in range(10)]
    known = [wordnet[CIFAR10_LABELS.index(label)] for label in LABELS]
    folder = write_dataset("imagenet_like", {"test": pairs(CIFAR10_PHOTOS, known)}, names=wordnet)
    source = exports / "fp32.tflite"
    note = (
        "the classes of imagenet_like test are taken for the model's by number, not by name: "
        "'n00' for 'airplane', and so on"
    )
    arguments = ("--data", "imagenet_like", "--data-dir", folder, "--json")
    expected = result_of(run("evaluate", source, "--data", data, "--json"))
    assert result_of(run("evaluate", source, *arguments), [note]) == expected


def test_a_model_without_labels_takes_numbers(write_dataset, files, run):
    truth = ["x", "z", "y"]
    folder = write_dataset(
        "unnamed", {"test": pairs(CIFAR10_PHOTOS[:3], truth)}, names=["x", "y", "z"]
    )
    arguments = ("--data", "unnamed", "--data-dir", folder, "--json")
    status, printed, (note,) = run("evaluate", files / "tiny.tflite", *arguments)
    assert (status, json.loads(printed)["images"]) == (0, 3)
    assert note.endswith("by number, not by name: 'x' for 0, and so on")


def test_what_is_not_prepared_is_prepared_without_a_word_on_stdout(tfds, exports, tmp_path, run):
    arguments = ("--data", "unprepared/fine:1.2.3", "--data-dir", tmp_path, "--json")
    status, printed, lines = run("evaluate", exports / "fp32.tflite", *arguments)
    assert (status, json.loads(printed)["images"]) == (0, 24)
    assert any("Downloading and preparing dataset" in line for line in lines)
    assert (tmp_path / "unprepared/fine/1.2.3").is_dir()
    assert result_of(run("evaluate", exports / "fp32.tflite", *arguments))["images"] == 24


def test_a_folder_that_exists_wins(data, exports, monkeypatch, run, refusal):
    data.rename(data.parent / "cifar10")
    monkeypatch.chdir(data.parent)
    source = exports / "fp32.tflite"
    assert result_of(run("evaluate", source, "--data", "cifar10", "--json"))["images"] == 24
    message = refusal("evaluate", source, "--data", "cifar10", "--data-dir", "test")
    assert message == "--data-dir goes with a tfds data set. Received: cifar10, a path"
    message = refusal("evaluate", source, "--data", "cifar10", "--split", "test")
    assert message == "--split must be omitted: there are no splits in cifar10. Received: 'test'"


# ---------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("photoz", "neither a folder nor a tensorflow-datasets data set. Did you mean 'photos'?"),
        ("cifra10", "neither a folder nor a tensorflow-datasets data set. Did you mean 'cifar10'?"),
        ("qqqqqqqqqq", "neither a folder nor a tensorflow-datasets data set"),
        ("photos:7.0.0", "neither a folder nor a tensorflow-datasets data set. Did you mean"),
        ("cifar10:9.9.9", "cannot be loaded at version 9.9.9, only: 3"),
        ("no/such/folder", "Received: no such folder"),
        ("./photos", "Received: no such folder"),
        ("huggingface:cifar10", "Received: no such folder"),  # would ask the network
    ],
)
def test_names_of_nothing(name, message, photos, refusal):
    assert message in refusal("evaluate", "nosuch", "--data", name, "--data-dir", photos)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("tst", "--split must be what tensorflow-datasets takes for photos (test): Unknown split"),
        ("test[", "Error parsing split"),
        ("test[:9999]", "incompatible with 24 examples"),
        ("test[5:2]", "--split must hold at least one image of photos. Received: test[5:2]"),
        ("test[:1%]", "at least one image"),
    ],
)
def test_splits_that_hold_nothing(split, message, photos, refusal):
    arguments = ("--data", "photos", "--data-dir", photos, "--split", split)
    assert message in refusal("evaluate", "nosuch", *arguments)


def test_neither_test_nor_validation(write_dataset, refusal):
    folder = write_dataset("training", {"train": pairs(CIFAR10_PHOTOS[:2], LABELS[:2])})
    message = refusal("evaluate", "nosuch", "--data", "training", "--data-dir", folder)
    assert message == "training has neither test nor validation: --split names one of train"


@pytest.mark.parametrize("cause", FAILURES)
def test_what_cannot_be_downloaded_is_one_line(cause, tfds, tmp_path, run):
    arguments = ("--data", f"unprepared/{cause}", "--data-dir", tmp_path)
    status, printed, lines = run("evaluate", "nosuch", *arguments)
    reason = " ".join(str(FAILURES[cause]).split())
    assert (status, printed) == (2, "")
    assert not any("Traceback" in line for line in lines)
    assert lines[-1] == (
        f"keras-poolformer evaluate: error: unprepared/{cause} cannot be prepared: {reason}"
    )


def test_files_that_must_be_fetched_by_hand(tmp_path, run):
    """imagenet2012 itself: tfds asks for its archives before it asks the network for anything."""
    arguments = ("--data", "imagenet2012", "--data-dir", tmp_path)
    status, printed, lines = run("evaluate", "nosuch", *arguments)
    assert (status, printed) == (2, "")
    assert "imagenet2012 cannot be prepared" in lines[-1]
    assert "ILSVRC2012_img_val.tar" in lines[-1]


@pytest.mark.parametrize("kind", ["text", "bare", "deep", "four"])
def test_other_features(kind, tfds, write_dataset, refusal):
    changes, splits, shown = {
        "text": ({"label": tfds.features.Text()}, None, "label (Text)"),
        "bare": (
            {"image": tfds.features.Tensor(shape=(2, 2, 3), dtype=np.uint8)},
            {"test": [{"image": np.zeros((2, 2, 3), np.uint8), "label": "cat"}]},
            "image (Tensor (2, 2, 3) uint8)",
        ),
        "deep": (
            {"image": tfds.features.Image(shape=(2, 2, 1), dtype=np.uint16, encoding_format="png")},
            {"test": [{"image": np.zeros((2, 2, 1), np.uint16), "label": "cat"}]},
            "image (Image (2, 2, 1) uint16)",
        ),
        "four": (
            {"image": tfds.features.Image(shape=(2, 2, 4), encoding_format="png")},
            {"test": [{"image": np.zeros((2, 2, 4), np.uint8), "label": "cat"}]},
            "image (Image (2, 2, 4) uint8)",
        ),
    }[kind]
    folder = write_dataset(kind, splits, **changes)
    message = refusal("evaluate", "nosuch", "--data", kind, "--data-dir", folder)
    assert f"{kind} must have the features image, of 8-bit RGB or gray pixels, and label" in message
    assert shown in message


@pytest.mark.parametrize(
    ("names", "labels", "message"),
    [
        (["cat", "kitty"], ["cat", "dog"], "labels (cat, dog). Received: 'kitty'"),
        (["Cat", "Dog"], ["cat", "dog"], "Received: 'Cat'. Did you mean 'cat'?"),
        (["aquarium_fish"], ["aquarium fish"], "Did you mean 'aquarium fish'?"),
        (["crane"], ["crane", "crane"], "2 classes of the model have the label 'crane'"),
        (["a", "b"], ["cat", "dog", "owl"], "2 classes (a, b), none of them a label"),
        (["0", "1"], ["cat", "dog", "owl"], "2 classes (0, 1), none of them a label"),
        ([str(i) for i in range(12)], [], "12 classes (0 ... 11), none of them a label"),
    ],
)
def test_classes_that_are_not_the_models(names, labels, message):
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        match_classes(names, labels, len(labels) or 3, "owls")
    assert "class folder" not in str(raised.value) and "class number" not in str(raised.value)


@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [
        (["owl", "cat"], ["cat", "dog", "owl"], ([2, 0], False)),  # not all classes
        (["2", "0", "1"], ["0", "1", "2"], ([2, 0, 1], False)),
        (["0", "1"], ["zero", "one"], ([0, 1], True)),
        (["x", "y"], [], ([0, 1], True)),
    ],
)
def test_classes_that_are_the_models(names, labels, expected):
    assert match_classes(names, labels, len(labels) or 2, "owls") == expected


def test_images_without_a_class(write_dataset, exports, refusal):
    """As in the test split of imagenet2012."""
    folder = write_dataset("secret", {"test": pairs(CIFAR10_PHOTOS[:3], [3, -1, 2])})
    arguments = ("--data", "secret", "--data-dir", folder)
    message = refusal("evaluate", exports / "fp32.tflite", *arguments)
    assert message.startswith("example 1 of secret test must have a class, 0 to 9. Received: -1")


@pytest.fixture
def broken(write_dataset, tmp_path):
    """A data set whose second image is half a file."""
    half = tmp_path / "half.png"
    half.write_bytes(CIFAR10_PHOTOS[1].read_bytes()[:1000])
    return write_dataset(
        "broken", {"test": pairs([CIFAR10_PHOTOS[0], half, CIFAR10_PHOTOS[2]], LABELS[:3])}
    )


def test_broken_images_are_named_or_skipped(broken, exports, run, refusal):
    arguments = ("evaluate", exports / "fp32.tflite", "--data", "broken", "--data-dir", broken)
    message = refusal(*arguments)
    assert message.startswith("example 1 of broken test: cannot be read as an image: ")
    status, printed, lines = run(*arguments, "--skip-broken", "--json")
    assert (status, lines) == (0, ["skipped 1 broken images: example 1 of broken test"])
    assert json.loads(printed) | {"images": 2, "skipped": 1} == json.loads(printed)


@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_damaged_files_of_a_data_set(damage, photos, exports, tmp_path, refusal):
    shutil.copytree(photos / "photos", tmp_path / "photos")
    (record,) = (tmp_path / "photos").glob("1.0.0/*.tfrecord*")
    content = bytearray(record.read_bytes())
    content[len(content) // 2] ^= 1
    record.write_bytes(content) if damage == "flipped" else record.unlink()
    arguments = ("--data", "photos", "--data-dir", tmp_path)
    message = refusal("evaluate", exports / "fp32.tflite", *arguments)
    assert message.startswith("photos test cannot be read: ")


def test_tensorflow_datasets_is_not_installed(exports, data):
    code = (
        "import sys\nsys.modules['tensorflow_datasets'] = None\n"
        "from keras_poolformer.cli import main\nraise SystemExit(main(sys.argv[1:]))"
    )
    arguments = ("-c", code, "evaluate", exports / "fp32.tflite", "--data")
    done = run_python(*arguments, "cifar10")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "keras-poolformer evaluate: error: there is no folder cifar10, and for data sets "
        "tensorflow-datasets is not installed: "
        "`pip install 'keras-poolformer[train]'` installs it\n"
    )
    assert run_python(*arguments, data).returncode == 0


def test_a_fresh_process_says_nothing_else(exports, photos):
    """No log of a library, and no warning of one, gets between a person and the result."""
    code = "import sys\nfrom keras_poolformer.cli import main\nraise SystemExit(main(sys.argv[1:]))"
    arguments = ("evaluate", exports / "fp32.tflite", "--data", "photos", "--data-dir", photos)
    done = run_python("-c", code, *arguments)
    assert (done.returncode, done.stdout[:10]) == (0, "24 images:"), done.stderr
    assert all(line.startswith("[") for line in done.stderr.splitlines()), done.stderr
