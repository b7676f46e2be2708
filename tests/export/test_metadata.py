"""TFLite metadata in exported files, read by the classes that MediaPipe generated."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_poolformer import PoolFormerBackbone, PoolFormerImageClassifier, export_tflite
from tests.export.family import FAMILIES, TRANSFORM, family_model

metadata_schema = pytest.importorskip(
    "mediapipe.tasks.metadata.metadata_schema_py_generated",
    exc_type=ImportError,  # also without libGL
)


def read_metadata(path):
    """The model and its metadata."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    [buffer] = [one.buffer for one in model.metadata if one.name == b"TFLITE_METADATA"]
    data = bytes(model.buffers[buffer].data)
    assert metadata_schema.ModelMetadata.ModelMetadataBufferHasIdentifier(data, 0)
    root = metadata_schema.ModelMetadata.GetRootAs(data, 0)
    return model, metadata_schema.ModelMetadataT.InitFromObj(root)


def test_metadata_say_what_goes_in_and_comes_out(tmp_path):
    path = tmp_path / "m.tflite"
    preset = PoolFormerImageClassifier.from_preset("poolformer_tiny_cifar10")
    export_tflite(preset, path)
    _, metadata = read_metadata(path)
    assert metadata.name == b"PoolFormer poolformer_tiny_cifar10"
    [graph] = metadata.subgraphMetadata
    [image], [scores] = graph.inputTensorMetadata, graph.outputTensorMetadata
    assert image.name == b"images"
    assert image.content.contentProperties.colorSpace == metadata_schema.ColorSpaceType.RGB
    assert image.content.contentProperties.defaultSize.height == 64
    [unit] = image.processUnits
    # The ImageNet values of the paper, in units of pixels.
    assert np.allclose(unit.options.mean, np.multiply(255, (0.485, 0.456, 0.406)), atol=1e-3)
    assert np.allclose(unit.options.std, np.multiply(255, (0.229, 0.224, 0.225)), atol=1e-3)
    assert np.allclose(image.stats.max, (255 - unit.options.mean) / unit.options.std)
    assert scores.name == b"logits"
    [labels] = scores.associatedFiles
    assert labels.name == b"labels.txt"
    assert labels.type == metadata_schema.AssociatedFileType.TENSOR_AXIS_LABELS


@pytest.mark.slow
def test_other_channels_than_rgb_have_no_normalization(tiny_config, tmp_path):
    path = tmp_path / "m.tflite"
    export_tflite(PoolFormerImageClassifier(tiny_config.replace(in_channels=1)), path)
    [image] = read_metadata(path)[1].subgraphMetadata[0].inputTensorMetadata
    assert image.content.contentProperties.colorSpace == metadata_schema.ColorSpaceType.GRAYSCALE
    assert (image.processUnits, image.stats) == (None, None)


@pytest.mark.slow
def test_metadata_name_every_output_in_its_order(tiny_config, tmp_path):
    path = tmp_path / "m.tflite"
    export_tflite(PoolFormerBackbone(tiny_config), path)
    model, metadata = read_metadata(path)
    graph = model.subgraphs[0]
    names = [one.name.decode() for one in metadata.subgraphMetadata[0].outputTensorMetadata]
    assert names == [graph.tensors[index].name.decode() for index in graph.outputs]
    sides = [int(graph.tensors[index].shape[1]) for index in graph.outputs]
    assert dict(zip(names, sides, strict=True)) == {"P2": 56, "P3": 28, "P4": 14, "P5": 7}


@pytest.mark.slow
def test_every_constant_is_aligned(exports):
    """The schema asks for multiples of 16 bytes; microcontrollers read weights in place."""
    data = np.fromfile(exports / "dynamic_int8.tflite", np.uint8)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    constants = [one.data for one in model.buffers if one.data is not None]
    assert len(constants) > 50
    assert {(one.ctypes.data - data.ctypes.data) % 16 for one in constants} == {0}


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("family", "name", "paper"),
    [
        ("caformer", b"CAFormer", b"2210.13452"),
        ("identityformer", b"IdentityFormer", b"2210.13452"),
    ],
)
def test_metadata_name_the_family_and_its_paper(family, name, paper, tmp_path):
    path = tmp_path / "m.tflite"
    export_tflite(family_model(FAMILIES[family]), path, transform=TRANSFORM)
    _, metadata = read_metadata(path)
    assert metadata.name.startswith(name)
    assert b"2210.13452" in metadata.description
