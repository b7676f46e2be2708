"""Every form of a size and a crop against transformers' image processor, in PIL and in a graph."""

import itertools
import json

import numpy as np
import pytest

from keras_poolformer.checkpoints.hub_json import hf_transform
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.support.errors import InputError

SIZES = [48, {"shortest_edge": 47}, {"height": 48, "width": 48}, {"height": 40, "width": 57},
         [57, 40]]  # fmt: skip
CROP_PCTS = [{}, {"crop_pct": 0.83}, {"crop_pct": 1.0}, {"crop_pct": None}]
CROPS = [None, 32, {"height": 31, "width": 64}, [64, 31], {"height": 60, "width": 60}]
# (width, height): landscape, portrait, smaller than the crops in one or both directions
PICTURES = [(97, 61), (61, 97), (30, 20), (33, 90), (151, 48), (48, 48)]
CASES = [
    {"size": size, **crop_pct, "do_center_crop": crop is not None}
    | ({} if crop is None else {"crop_size": crop})
    for size, crop_pct, crop in itertools.product(SIZES, CROP_PCTS, CROPS)
]


@pytest.fixture(scope="module")
def processor():
    """transformers' PoolFormerImageProcessorPil."""
    pytest.importorskip("torch")

    pytest.importorskip("transformers")
    from transformers.models.poolformer import image_processing_pil_poolformer

    return image_processing_pil_poolformer.PoolFormerImageProcessorPil


@pytest.fixture(scope="module")
def pictures(photographs_of):
    return list(photographs_of(PICTURES))


def values_of(processor, picture, **options):
    return np.asarray(processor(picture, **options)["pixel_values"])[0].transpose(1, 2, 0)


def test_bit_equal_to_transformers(processor, pictures):
    for case in CASES:
        oracle, ours = processor(**case), ImageTransform.from_dict(hf_transform(case))
        for picture in pictures:
            values = ours(picture)
            np.testing.assert_array_equal(values, values_of(oracle, picture), f"{case}")
            assert ours.output_shape in (None, values.shape[:2])
        assert (ours.output_shape is None) == (
            not ours.do_center_crop and isinstance(ours.resized_to, int)
        )


@pytest.mark.parametrize(
    "options",
    [
        {"do_resize": False, "crop_size": {"height": 31, "width": 64}},
        {"size": [40, 57], "resample": 2},
        {"size": [40, 57], "image_mean": 0.5, "image_std": 0.25},
        {"size": [40, 57], "rescale_factor": 1 / 127.5, "do_normalize": False},
        {"size": [40, 57], "do_rescale": False},
    ],
    ids=str,
)
def test_with_the_other_options(options, processor, pictures):
    oracle, ours = processor(**options), ImageTransform.from_dict(hf_transform(options))
    for picture in pictures:
        np.testing.assert_array_equal(ours(picture), values_of(oracle, picture))


@pytest.mark.slow
def test_the_graph_agrees(pictures):
    """Measured: no pixel differs; 1 of 255 is allowed, as in test_image_transform_tf."""
    tf = pytest.importorskip("tensorflow")
    from keras_poolformer.images import graph

    spec = tf.TensorSpec((None, None, 3), tf.uint8)
    for case in CASES[::7]:
        transform = ImageTransform.from_dict(hf_transform(case))
        pixels = tf.function(lambda x, t=transform: graph.pixels(t, x), input_signature=[spec])
        shape = pixels.get_concrete_function().structured_outputs.shape
        assert tuple(shape[:2]) == (transform.output_shape or (None, None))
        for picture in pictures:
            expected = transform.pixels(picture).astype(int)
            assert np.abs(pixels(np.array(picture)).numpy() - expected).max() <= 1, case
    batch = np.stack([pictures[0], pictures[0]])
    transform = ImageTransform(size=(40, 57), crop_mode="hf")
    assert graph.pixels(transform, batch).shape == (2, 40, 57, 3)


@pytest.mark.parametrize(
    "case",
    [
        {"size": {"height": 48}},
        {"size": {}},
        {"size": [48]},
        {"size": "48"},
        {"size": 48.0},
        {"size": {"longest_edge": 48}},
        {"size": {"shortest_edge": 48, "height": 48, "width": 48}},
        {"size": None},
        {"crop_size": {"shortest_edge": 32}},
        {"crop_size": {"height": 30}},
        {"crop_size": None},
        {"crop_size": "32"},
        {"crop_pct": 0},
        {"crop_pct": -1},
        {"resample": 9},
        {"image_std": [0.5]},
    ],
    ids=str,
)
def test_what_transformers_refuses_is_refused(case, processor, pictures, tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps(case), encoding="utf-8", newline="\n"
    )
    with pytest.raises((ValueError, TypeError, LookupError, ArithmeticError, AttributeError)):
        processor.from_pretrained(tmp_path)(pictures[0])
    with pytest.raises(InputError) as caught:
        ImageTransform.from_dict(hf_transform(case))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


# ---------------------------------------------------------------------------------------
# Options of one call


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"do_center_crop": False}, {"do_center_crop": False}),
        ({"size": {"height": 40, "width": 57}}, {"size": {"height": 40, "width": 57}}),
        ({"size": 60, "crop_pct": 0.7}, {"size": 60, "crop_pct": 0.7}),
        ({"crop_size": [20, 30]}, {"crop_size": [20, 30]}),
        ({"resample": 0, "do_rescale": False}, {"interpolation": "nearest", "do_rescale": False}),
        ({"image_mean": 0.1, "image_std": 2.0}, {"mean": 0.1, "std": 2.0}),
    ],
    ids=str,
)
def test_a_call_can_override_options(theirs, ours, processor, pictures):
    transform = ImageTransform(size=48, crop_size=40, crop_mode="hf")
    oracle = processor(size=48, crop_size=40)
    for picture in pictures:
        expected = values_of(oracle, picture, **theirs)
        np.testing.assert_array_equal(transform(picture, **ours), expected)
        np.testing.assert_array_equal(transform.replace(**ours)(picture), expected)
    assert transform == ImageTransform(size=48, crop_size=40, crop_mode="hf")


def test_an_unknown_option_of_a_call_is_refused(pictures):
    with pytest.raises(InputError, match="Did you mean 'mean'"):
        ImageTransform()(pictures[0], image_mean=0.5)
    with pytest.raises(InputError, match="`crop_pct`"):
        ImageTransform().replace(crop_pct=7)


def test_channels_first(processor, pictures):
    transform = ImageTransform(size=48, crop_mode="hf")
    oracle = processor(size=48, crop_size=48)
    expected = np.stack([np.asarray(oracle(one)["pixel_values"])[0] for one in pictures])
    received = transform(pictures, data_format="channels_first")
    np.testing.assert_array_equal(received, expected)
    assert received.flags.c_contiguous
    np.testing.assert_array_equal(transform(pictures[0], data_format="channels_first"), expected[0])
    for picture, values in zip(pictures, expected, strict=True):
        array = np.array(picture).transpose(2, 0, 1)
        arrays = {"channels_first": array, "channels_last": np.array(picture)}
        for name, one in arrays.items():
            theirs = oracle(one, input_data_format=name)["pixel_values"][0]
            np.testing.assert_array_equal(theirs, values)
            ours = transform(one, input_data_format=name, data_format="channels_first")
            np.testing.assert_array_equal(ours, values)


def test_grey_arrays(pictures):
    transform = ImageTransform(size=48)
    grey = np.array(pictures[0].convert("L"))
    expected = transform(pictures[0].convert("L"))
    for array, name in (
        (grey, "none"),
        (grey, None),
        (grey[..., None], "channels_last"),
        (grey[None], "channels_first"),
    ):
        np.testing.assert_array_equal(transform(array, input_data_format=name), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"data_format": "none"},
        {"data_format": None},
        {"data_format": ["channels_last"]},
        {"input_data_format": "first"},
        {"input_data_format": 3},
        {"input_data_format": "none"},
        {"input_data_format": "channels_first"},
    ],
    ids=str,
)
def test_other_formats_are_refused(options, pictures):
    array = np.array(pictures[0])  # (H, W, 3): neither "none" nor "channels_first"
    with pytest.raises(InputError, match=r"format|must be uint8 of shape"):
        ImageTransform()(array, **options)


# ---------------------------------------------------------------------------------------
# Where one side is needed


def test_pairs_need_transformers_crop():
    with pytest.raises(InputError, match="needs `crop_mode`='hf'"):
        ImageTransform(size=(40, 57))


def test_one_side_of_a_result_that_has_two():
    assert ImageTransform(size=48, crop_size=(32, 32)).output_size == 32
    assert ImageTransform(do_center_crop=False).output_size is None
    with pytest.raises(InputError, match=r"square images here\. Received: 40 x 57"):
        _ = ImageTransform(size=(40, 57), crop_mode="hf").output_size
