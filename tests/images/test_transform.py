"""ImageTransform against timm's evaluation transform and transformers' image processor."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.support.errors import InputError
from tests.helpers import run_python

# (width, height): square, landscape, portrait, smaller than the crop, thin, and odd margins
SIZES = [
    (1, 1), (2, 3), (7, 5), (1, 60), (50, 1), (37, 400), (500, 333), (333, 500), (224, 224),
    (225, 224), (224, 225), (223, 1000), (640, 480), (480, 640), (481, 641), (641, 481),
    (100, 100), (99, 101), (13, 900), (2000, 30), (248, 248), (247, 249), (248, 300), (300, 248),
    (235, 236), (496, 497), (512, 384), (375, 500), (600, 1399), (1023, 767), (64, 64), (65, 64),
    (64, 127), (128, 63),
]  # fmt: skip
RECIPES = [(224, 0.9), (65, 0.875), (224, 0.95), (64, 1.0)]  # size, crop_pct


def import_beside_torch(package):
    pytest.importorskip("torch")

    pytest.importorskip(package)


@pytest.fixture(scope="module")
def photo(rgb_photographs):
    return rgb_photographs[0].resize((97, 61))


@pytest.fixture(scope="module")
def timm_transform():
    """create(size, crop_pct, **options) of timm's own evaluation transform."""
    import_beside_torch("timm")
    from timm.data import create_transform

    def create(size, crop_pct, **options):
        options = {"interpolation": "bicubic", **options}
        return create_transform(
            input_size=(3, size, size), crop_pct=crop_pct, is_training=False, **options
        )

    return create


@pytest.fixture(scope="module")
def hf_processor():
    """transformers' PoolFormerImageProcessorPil."""
    import_beside_torch("transformers")
    from transformers.models.poolformer import image_processing_pil_poolformer

    return image_processing_pil_poolformer.PoolFormerImageProcessorPil


def hf_values(processor, image):
    return np.asarray(processor(image)["pixel_values"])[0].transpose(1, 2, 0)


@pytest.mark.first(2)
@pytest.mark.parametrize(("size", "crop_pct"), RECIPES)
def test_bit_equal_to_timm(timm_transform, size, crop_pct, photographs_of):
    oracle = timm_transform(size, crop_pct)
    ours = ImageTransform(size=size, crop_pct=crop_pct)
    for image in photographs_of(SIZES):
        resized_and_cropped = np.array(oracle.transforms[1](oracle.transforms[0](image)))
        np.testing.assert_array_equal(ours.pixels(image), resized_and_cropped, str(image.size))
        values = oracle(image).numpy().transpose(1, 2, 0)
        np.testing.assert_array_equal(ours(image), values, str(image.size))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "lanczos", "box", "hamming"])
def test_every_interpolation_is_timms(timm_transform, interpolation, rgb_photographs):
    oracle = timm_transform(64, 0.9, interpolation=interpolation, mean=(0.5,) * 3, std=(0.25,) * 3)
    ours = ImageTransform(size=64, interpolation=interpolation, mean=0.5, std=0.25)
    for image in rgb_photographs:
        np.testing.assert_array_equal(ours(image), oracle(image).numpy().transpose(1, 2, 0))


@pytest.mark.first(3)
@pytest.mark.parametrize(("size", "crop_pct"), [(224, None), *RECIPES, (64, None)])
def test_bit_equal_to_transformers(hf_processor, size, crop_pct, photographs_of):
    crop = {"height": size, "width": size}
    oracle = hf_processor(size={"shortest_edge": size}, crop_size=crop, crop_pct=crop_pct)
    ours = ImageTransform(size=size, crop_pct=crop_pct, crop_mode="hf")
    for image in photographs_of(SIZES):
        values = ours(image)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, hf_values(oracle, image), str(image.size))


@pytest.mark.first(4)
@pytest.mark.parametrize(
    "options",
    [
        {"do_resize": False},
        {"do_center_crop": False},
        {"do_rescale": False},
        {"do_normalize": False},
        {"do_rescale": False, "do_normalize": False},
        {"rescale_factor": 1 / 127.5},
        {"resample": 2, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]},
        {"crop_size": {"height": 300, "width": 300}},
        {"crop_size": {"height": 301, "width": 301}},
    ],
)
def test_the_image_processors_other_options(hf_processor, options, photographs_of):
    oracle = hf_processor(**options)
    words = {"image_mean": "mean", "image_std": "std", "resample": "interpolation"}
    ours = {words.get(name, name): value for name, value in options.items()}
    if "crop_size" in ours:
        ours["crop_size"] = ours["crop_size"]["height"]
    if "interpolation" in ours:
        ours["interpolation"] = "bilinear"
    ours = ImageTransform(crop_mode="hf", **ours)
    for image in photographs_of(SIZES):
        if max(image.size) < 40 * min(image.size):
            np.testing.assert_array_equal(ours(image), hf_values(oracle, image), str(image.size))


def test_timm_pads_a_picture_smaller_than_the_crop(timm_transform, photographs_of):
    crop_only = timm_transform(224, 1.0).transforms[1]
    ours = ImageTransform(do_resize=False)
    for image in photographs_of(SIZES):
        np.testing.assert_array_equal(ours.pixels(image), np.array(crop_only(image)))


def test_crop_modes_split_an_odd_margin_differently():
    columns = np.arange(227, dtype=np.uint8)
    image = np.broadcast_to(columns[None, :, None], (224, 227, 3))
    left = {
        mode: ImageTransform(crop_pct=None, crop_mode=mode).pixels(image)[0, 0, 0]
        for mode in ("timm", "hf")
    }
    assert left == {"timm": 2, "hf": 1}  # a margin of 3: 1.5 to the even number, or down


def test_sizes_without_a_crop(photo):
    assert ImageTransform(size=50, do_center_crop=False, crop_pct=None)(photo).shape == (50, 79, 3)
    transform = ImageTransform(do_center_crop=False, do_resize=False)
    np.testing.assert_array_equal(transform.pixels(photo), np.array(photo))
    with pytest.raises(InputError, match="do_center_crop=True"):
        transform([photo, photo.rotate(90, expand=True)])


def test_arrays_and_batches(photo, tmp_path):
    transform = ImageTransform(size=64)
    colour, grey = np.array(photo), np.array(photo.convert("L"))
    photo.save(tmp_path / "photo.png")
    alpha = np.dstack([colour, grey])
    batch = transform([photo, tmp_path / "photo.png", colour, alpha, colour[::-1]])
    assert batch.shape == (5, 64, 64, 3)
    assert batch.dtype == np.float32
    for same in range(1, 4):
        np.testing.assert_array_equal(batch[same], batch[0])
    assert (batch[4] != batch[0]).any()
    three_times = transform(np.dstack([grey] * 3))
    np.testing.assert_array_equal(transform(grey), three_times)
    np.testing.assert_array_equal(transform(grey[:, :, None]), three_times)


def test_errors_in_a_batch_name_the_position(photo, tmp_path):
    with pytest.raises(InputError, match=r"image 1 of the list: .*missing\.png.*no such file"):
        ImageTransform()([photo, tmp_path / "missing.png"])
    with pytest.raises(InputError, match="empty"):
        ImageTransform()([])


def test_normalize_refuses_anything_but_bytes():
    for wrong in (np.zeros((2, 2, 3)), np.zeros((2, 2, 4), np.uint8), np.uint8(3), [1, 2, 3]):
        with pytest.raises(InputError, match=r"uint8 array \(\.\.\., 3\)"):
            ImageTransform().normalize(wrong)


def test_a_line_is_not_resized_to_gigapixels(tmp_path):
    path = tmp_path / "line.png"
    Image.new("L", (1, 65000)).save(path)
    with pytest.raises(InputError, match=r"line\.png.*1 x 65000.*3,997,760,000.*64,000,000"):
        ImageTransform()(path)


def test_options_make_a_round_trip_through_json():
    transform = ImageTransform(
        size=np.int64(64), crop_pct=1, std=2, mean=np.float32([0, 0.5, 1]), crop_mode="hf",
        interpolation="box", do_rescale=np.False_, crop_size=32,
    )  # fmt: skip
    again = ImageTransform.from_dict(json.loads(json.dumps(transform.to_dict())))
    assert again == transform
    assert hash(again) == hash(transform)
    assert again.mean == (0.0, 0.5, 1.0)
    assert again.std == (2.0, 2.0, 2.0)
    assert set(transform.to_dict()) == {f.name for f in dataclasses.fields(ImageTransform)}
    with pytest.raises(dataclasses.FrozenInstanceError):
        transform.size = 3


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"croppct": 0.9}, "Did you mean 'crop_pct'"),
        ({"image_mean": 0.5}, "Did you mean 'mean'"),
        ({"resample": 3}, "Did you mean 'interpolation'"),
        ({"zzz": 1}, "Known: size, crop_pct"),
        ({3: 1}, "Known: size"),
        ([("size", 3)], "mapping"),
    ],
)
def test_unknown_options_are_refused_with_a_hint(options, hint):
    with pytest.raises(InputError, match=hint):
        ImageTransform.from_dict(options)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("size", [0, -1, 4097, 224.0, True, "224", None, (224, 224), float("nan"), 10**400]),
        ("crop_size", [0, -3, 5000, 1.5, False, "x", [224]]),
        ("crop_pct", [0, 0.0, -0.5, 1.01, True, "0.9", float("nan"), float("inf"), 1e-9, 5e-324]),
        ("interpolation", ["cubic", 3, None, ["bicubic"], Image.Resampling.BICUBIC]),
        ("crop_mode", ["center", 1, None]),
        (
            "mean",
            [(0.5, 0.5), "abc", None, True, (0.1, 0.2, float("nan")), np.zeros((3, 3)), 1e300],
        ),
        ("std", [0, (1, 1, 0), -1, 1e-50, 1e-44, float("inf"), (1, 1, "1"), np.zeros(9), 10**400]),
        ("rescale_factor", [0, -1, True, None, "1", float("nan"), 1e300]),
        ("do_resize", [0, 1, None, "True"]),
        ("do_normalize", [0, "no"]),
    ],
)
def test_wrong_options_are_refused(name, values):
    for value in values:
        with pytest.raises(InputError, match=f"`{name}`") as caught:
            ImageTransform(**{name: value})
        assert "\n" not in str(caught.value)


def test_from_preset_takes_the_presets_options(monkeypatch):
    from keras_poolformer import sources

    class Resolved:
        transform = ImageTransform(size=64, crop_pct=1.0)

    monkeypatch.setattr(sources, "resolve", {"tiny": Resolved}.__getitem__)
    assert ImageTransform.from_preset("tiny") == Resolved.transform


def test_needs_neither_tensorflow_nor_keras():
    code = (
        "import sys, numpy; from keras_poolformer.images.transform import ImageTransform;"
        "ImageTransform()(numpy.zeros((9, 9, 3), numpy.uint8));"
        "sys.exit(not {'tensorflow', 'keras', 'torch'}.isdisjoint(sys.modules))"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
