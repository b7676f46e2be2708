"""One picture, one reading: every kind of file gives the same pixels on every path.

docs/images.md has the same in a table.
"""

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import ImageTransform
from keras_poolformer.data.folders import find_class_folders, label_images, read_batches
from keras_poolformer.images.files import EncodedImage, load_image
from keras_poolformer.support.errors import ImageError
from tests.images.image_kinds import STORED, encode, image_kinds, unreadable_kinds

tf = pytest.importorskip("tensorflow")

KINDS = image_kinds()
TRANSFORM = ImageTransform(size=32, crop_pct=0.9)
# What the signature `encoded` reads otherwise: see docs/images.md.
NOT_TURNED = {"xmp.jpg": 6}
WITHIN_FOUR = ("cmyk.jpg",)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """ROOT/pictures with all kinds of files, and one hidden file."""
    root = tmp_path_factory.mktemp("kinds")
    (root / "pictures").mkdir()
    for name, (content, _) in KINDS.items():
        (root / "pictures" / name).write_bytes(content)
    (root / "pictures" / "._rgb.png").write_bytes(b"\0\5\x16\7Mac OS X")
    return root


@pytest.fixture(scope="module")
def expected():
    """{name: prepared pixels}."""
    return {name: TRANSFORM.pixels(pixels) for name, (_, pixels) in KINDS.items()}


def assert_equal(received, expected):
    assert received.keys() == expected.keys()
    wrong = [name for name in expected if not np.array_equal(received[name], expected[name])]
    assert wrong == []


def test_there_are_many_kinds():
    assert len(KINDS) >= 60


def test_load_image(root):
    received, encoded = {}, {}
    for name, (content, _) in KINDS.items():
        received[name] = np.array(load_image(root / "pictures" / name))
        encoded[name] = np.array(load_image(EncodedImage(content, "example")))
    assert_equal(received, {name: pixels for name, (_, pixels) in KINDS.items()})
    assert_equal(encoded, received)


def test_evaluate(root, expected):
    folders = find_class_folders(root)
    assert [path.name for path in folders["pictures"]] == sorted(KINDS)
    examples = label_images(folders, ("pictures",), 1)
    (batch,) = read_batches(examples, TRANSFORM.pixels, len(examples))
    assert_equal(dict(zip(sorted(KINDS), batch[0], strict=True)), expected)


@pytest.fixture(scope="module")
def split(root):
    from keras_poolformer.data.splits.opening import open_splits

    return open_splits(root)[0]


def evaluated(split):
    """{name: values} of the evaluation within a training, in the stored order."""
    from keras_poolformer.data.pipeline import evaluation_batches

    batches = evaluation_batches(split, TRANSFORM, global_batch=4, replica_batch=4)
    values = np.concatenate([images.numpy() for images, _ in batches])
    return dict(zip(sorted(KINDS), values, strict=False))


def test_evaluation_in_training(split, expected):
    assert_equal(evaluated(split), {name: TRANSFORM.normalize(p) for name, p in expected.items()})


@pytest.mark.slow
def test_prepare(split, expected):
    from keras_poolformer.data.splits.opening import open_splits
    from keras_poolformer.data.splits.record_writer import write_records

    write_records((split, split), "ram://kinds/records")
    records = open_splits("ram://kinds/records")[1]
    assert_equal(evaluated(records), {name: TRANSFORM.normalize(p) for name, p in expected.items()})


@pytest.mark.slow
def test_training():
    """Whatever the crop, it is that of the upright picture in a plain file."""
    from keras_poolformer.data.augmentation.augment import Augmentation, augment

    options = Augmentation(size=24, rand_augment="", erasing=0.0)
    run = tf.function(
        lambda content, seed: augment(options, content, seed),
        input_signature=[tf.TensorSpec((), tf.string), tf.TensorSpec((2,), tf.int64)],
    )
    received, plain = {}, {}
    for name, (content, pixels) in KINDS.items():
        for seed in range(2):
            received[name, seed] = run(content, (seed, 7)).numpy()
            plain[name, seed] = run(encode(Image.fromarray(pixels), "PNG"), (seed, 7)).numpy()
    assert_equal(received, plain)


@pytest.mark.slow
def test_training_as_timm_reads():
    """With exif=False the stored picture is cropped."""
    from keras_poolformer.data.augmentation.augment import Augmentation, augment

    options = Augmentation(size=24, rand_augment="", erasing=0.0, exif=False)
    for name in ("exif_6.jpg", "exif_6.png", "exif_6.webp", "xmp.jpg"):
        content, pixels = KINDS[name]
        stored = Image.fromarray(pixels).transpose(STORED[6])
        received = augment(options, content, (0, 7)).numpy()
        np.testing.assert_array_equal(received, augment(options, encode(stored, "PNG"), (0, 7)))


def test_calibration(root, expected):
    from keras_poolformer.export.networks.calibration import read_calibration

    images, skipped = read_calibration(root, TRANSFORM)
    assert skipped == []
    assert_equal(dict(zip(sorted(KINDS), images, strict=True)), expected)


@pytest.fixture(scope="module")
def model(tiny_config):
    from keras_poolformer import PoolFormerImageClassifier

    config = tiny_config.replace(initializer_range=0.3)
    return PoolFormerImageClassifier(config, provenance={"transform": TRANSFORM.to_dict()})


@pytest.mark.slow
def test_saved_model(model, tmp_path):
    from keras_poolformer import export_saved_model

    signatures = tf.saved_model.load(str(export_saved_model(model, tmp_path / "model"))).signatures
    for name, (content, pixels) in KINDS.items():
        image_bytes = tf.constant([content])  # one: the others of a batch would fail with it
        if not content.startswith((b"\xff\xd8\xff", b"\x89PNG")):
            with pytest.raises(tf.errors.InvalidArgumentError, match="expected a JPEG or PNG"):
                signatures["encoded"](image_bytes=image_bytes)
            continue
        if name in NOT_TURNED:
            pixels = np.array(Image.fromarray(pixels).transpose(STORED[NOT_TURNED[name]]))
        received = signatures["encoded"](image_bytes=image_bytes)["logits"]
        logits = signatures["normalized"](images=TRANSFORM(pixels)[None])["logits"]
        tolerance = 0.1 if name in WITHIN_FOUR else 1e-5
        np.testing.assert_allclose(received, logits, atol=tolerance, err_msg=name)


def test_the_graph_decoder_is_close_for_cmyk():
    from keras_poolformer.data.decoding import decode_in_graph

    for name in WITHIN_FOUR:
        content, pixels = KINDS[name]
        assert np.abs(decode_in_graph(content).numpy().astype(int) - pixels).max() <= 4


def test_predict(model, root, expected, monkeypatch):
    given = []
    monkeypatch.setattr(
        type(model), "predict_on_batch", lambda self, batch: given.append(batch) or np.zeros((1, 3))
    )
    for name in KINDS:
        model.classify(root / "pictures" / name)
    received = dict(zip(KINDS, (batch[0] for batch in given), strict=True))
    assert_equal(received, {name: TRANSFORM.normalize(p) for name, p in expected.items()})


@pytest.mark.slow
def test_tflite_classifier(model, root, expected, tmp_path):
    pytest.importorskip("ai_edge_litert")
    from keras_poolformer import export_tflite
    from keras_poolformer.runtime import TFLiteClassifier

    export_tflite(model, tmp_path / "model.tflite", inputs="pixels")
    classifier = TFLiteClassifier(tmp_path / "model.tflite")
    given, run = [], classifier.run
    classifier.run = lambda images: given.append(images) or run(images)
    for name in KINDS:
        classifier.classify(root / "pictures" / name)
    assert_equal(dict(zip(KINDS, (images[0] for images in given), strict=True)), expected)


@pytest.fixture(scope="module")
def decoders():
    """The decoders of tf.data and of the SavedModel, in graphs."""
    from keras_poolformer.data.decoding import decode, decode_in_graph

    signature = [tf.TensorSpec((), tf.string)]
    return [
        tf.function(lambda content: decode(content), input_signature=signature),
        tf.function(lambda content: decode_in_graph(content), input_signature=signature),
    ]


@pytest.mark.parametrize("name", unreadable_kinds())
def test_what_cannot_be_read_is_refused_in_one_line_everywhere(name, tmp_path, decoders):
    from keras_poolformer.data.splits.split import reason_of

    content = unreadable_kinds()[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError) as caught:
        load_image(tmp_path / name)
    message = str(caught.value)
    assert "\n" not in message and name in message
    assert name != "photo.heic" or "convert it to JPEG" in message
    for function in decoders:
        with pytest.raises(tf.errors.InvalidArgumentError) as raised:
            function(content)
        assert "Traceback" not in reason_of(raised.value)
