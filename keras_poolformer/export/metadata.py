"""TFLite metadata: what MediaPipe Tasks and model viewers read in a .tflite file.

The fields are those of metadata_schema.fbs of the TFLite Support Library, which MediaPipe
maintains (https://ai.google.dev/edge/litert/models/metadata). The labels that it points to are
in the zip archive behind the flatbuffer.
"""

from pathlib import PurePath
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.export.flatbuffer import Table, to_bytes
from keras_poolformer.export.graphs import affine_normalization
from keras_poolformer.export.tflite_graph import add_buffer, read_graph, write_graph
from keras_poolformer.families import family_of
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.runtime.description import (
    DESCRIPTION,
    LABEL_MAP,
    LABELS,
    SCORES,
    Description,
)
from keras_poolformer.scores import score_function
from keras_poolformer.support.version import __version__

NAME = "TFLITE_METADATA"
IDENTIFIER = b"M001"  # of the metadata
PARSER = "1.0.0"  # the oldest reader that knows all that is written for classifiers
SEGMENTER_PARSER = "1.5.0"  # the oldest one that knows custom metadata
SEGMENTER_NAME = "SEGMENTER_METADATA"
SEGMENTER_IDENTIFIER = b"V001"  # of image_segmenter_metadata_schema.fbs of MediaPipe

# Values of the schema's enumerations and unions.
OTHER_FILE = np.int8(0)
AXIS_LABELS = np.int8(2)
COLOR_SPACES = {3: np.int8(1), 1: np.int8(2)}  # RGB and grayscale, by the number of channels
FEATURE = np.uint8(1)
IMAGE = np.uint8(2)
NORMALIZATION = np.uint8(1)
ACTIVATIONS = {"identity": np.int8(0), "sigmoid": np.int8(1), "softmax": np.int8(2)}

# Tables and their fields, in the order of the schema; a union has two, its type and itself.
FIELDS = {
    name: tuple(fields.split())
    for name, fields in {
        "ModelMetadata": "name description version subgraph_metadata author license "
        "associated_files min_parser_version",
        "SubGraphMetadata": "name description input_tensor_metadata output_tensor_metadata "
        "associated_files input_process_units output_process_units input_tensor_groups "
        "output_tensor_groups custom_metadata",
        "CustomMetadata": "name data",
        "ImageSegmenterOptions": "activation min_parser_version",
        "TensorMetadata": "name description dimension_names content process_units stats "
        "associated_files",
        "Content": "content_properties_type content_properties",
        "FeatureProperties": "",
        "ImageProperties": "color_space default_size",
        "ImageSize": "width height",
        "ProcessUnit": "options_type options",
        "NormalizationOptions": "mean std",
        "Stats": "max min",
        "AssociatedFile": "name description type",
    }.items()
}

# What each output holds, the first two by the function that turns logits into scores.
LOGITS = {
    "softmax": "A score for each class; their softmax is the probabilities.",
    "sigmoid": "A score for each class; the sigmoid of each is the probability of its class.",
    "identity": "The values of a regression.",
}
PROBABILITIES = {
    "softmax": "The probability of each class.",
    "sigmoid": "The probability of each class, whatever the others have.",
}
EMBEDDING = "What the classifier's linear layer sees."
LABELS_OF_PIXELS = (
    "The number of the class of each pixel. MediaPipe's ImageSegmenter misreads it: for that, "
    "export logits or probabilities."
)


def with_metadata(flatbuffer: bytes, description: Description, config: MetaFormerConfig) -> bytes:
    """Returns a .tflite flatbuffer with metadata on its inputs and outputs.

    Inputs and outputs get the names that they have in the signature.

    Args:
        flatbuffer: Converter's result, with one subgraph and one signature.
        description: Description of the exported model.
        config: Config of the exported model.
    """
    model = read_graph(flatbuffer)
    tensors, signature = model.subgraphs[0].tensors, model.signatureDefs[0]
    for entry in (*signature.inputs, *signature.outputs):
        tensors[entry.tensorIndex].name = entry.name
    metadata = to_bytes(_model_metadata(model.subgraphs[0], description, config), IDENTIFIER)
    model.metadata.append(
        schema.MetadataT(NAME, add_buffer(model, np.frombuffer(metadata, np.uint8)))
    )
    return write_graph(model)


def _table(table: str, /, **values: Any) -> Table:
    return Table(FIELDS[table], values)


def _model_metadata(graph: Any, description: Description, config: MetaFormerConfig) -> Table:
    family = family_of(config)
    return _table(
        "ModelMetadata",
        name=f"{family.name} {PurePath(description.provenance.source or '').name}".strip(),
        description=f"{family.name} (arXiv {family.paper.number}){_task(description)}, "
        f"recipe {description.recipe}, exported by keras-poolformer {__version__}",
        subgraph_metadata=[
            _table(
                "SubGraphMetadata",
                input_tensor_metadata=[_image(graph.tensors[graph.inputs[0]], description)],
                output_tensor_metadata=[
                    _output(graph.tensors[index], description) for index in graph.outputs
                ],
                custom_metadata=_segmenter(graph.tensors[graph.outputs[0]], description),
            )
        ],
        associated_files=[
            _table(
                "AssociatedFile",
                name=DESCRIPTION,
                description="The exact preprocessing, and where the weights came from.",
                type=OTHER_FILE,
            )
        ],
        min_parser_version=SEGMENTER_PARSER if _is_for_mediapipe(description) else PARSER,
    )


def _task(description: Description) -> str:
    return ", a segmenter with Semantic FPN (arXiv 1901.02446)" if description.is_segmenter else ""


def _is_for_mediapipe(description: Description) -> bool:
    """Whether MediaPipe's ImageSegmenter understands the outputs."""
    return description.is_segmenter and description.outputs in SCORES


def _segmenter(tensor: Any, description: Description) -> list[Table] | None:
    """What MediaPipe's ImageSegmenter reads: the function that it applies to the output."""
    if not _is_for_mediapipe(description):
        return None
    function = "identity"
    if description.outputs == "logits":
        function = score_function(description.problem_type, int(tensor.shape[-1]))
    options = _table(
        "ImageSegmenterOptions", activation=ACTIVATIONS[function], min_parser_version=PARSER
    )
    data = to_bytes(options, SEGMENTER_IDENTIFIER)
    return [_table("CustomMetadata", name=SEGMENTER_NAME, data=data)]


def _image(tensor: Any, description: Description) -> Table:
    """Metadata of the input."""
    _, height, width, channels = map(int, tensor.shape)
    pixels = tensor.type == schema.TensorType.UINT8
    content = _table("Content")
    if channels in COLOR_SPACES:
        size = _table("ImageSize", width=np.uint32(width), height=np.uint32(height))
        image = _table("ImageProperties", color_space=COLOR_SPACES[channels], default_size=size)
        content = _table("Content", content_properties_type=IMAGE, content_properties=image)
    mean, std = (
        (np.float32([0]), np.float32([1])) if pixels else _mean_and_std(description.transform)
    )
    scaling = {}
    if len(mean) in (1, channels):  # transforms are of RGB, and say nothing of other channels
        options = _table("NormalizationOptions", mean=mean, std=std)
        scaling = {
            "process_units": [_table("ProcessUnit", options_type=NORMALIZATION, options=options)],
            "stats": _table("Stats", min=(0 - mean) / std, max=(255 - mean) / std),
        }
    kind = "pixels, 0 to 255" if pixels else "pixels minus mean, divided by std"
    return _table(
        "TensorMetadata",
        name="images",
        description=f"One image of {height} x {width} x {channels}: {kind}.",
        dimension_names=["batch", "height", "width", "channels"],
        content=content,
        **scaling,
    )


def _mean_and_std(transform: ImageTransform) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of pixels: one value where the channels agree, else one a channel."""
    scale, offset = affine_normalization(transform)
    std = 1 / scale
    mean = -offset * std
    if np.ptp(mean) == np.ptp(std) == 0:
        mean, std = mean[:1], std[:1]
    return mean.astype(np.float32), std.astype(np.float32)


def _features() -> Table:
    properties = _table("FeatureProperties")
    return _table("Content", content_properties_type=FEATURE, content_properties=properties)


def _masks() -> Table:
    """A gray image for each class, as MediaPipe's own writer describes them."""
    properties = _table("ImageProperties", color_space=COLOR_SPACES[1])
    return _table("Content", content_properties_type=IMAGE, content_properties=properties)


def _output(tensor: Any, description: Description) -> Table:
    """Metadata of an output."""
    name = tensor.name.decode()
    function = score_function(description.problem_type, int(tensor.shape[-1]))
    texts = {"logits": LOGITS.get(function), "probabilities": PROBABILITIES.get(function)}
    texts |= {"embedding": EMBEDDING, LABEL_MAP: LABELS_OF_PIXELS}
    labels = None
    if description.labels and name in SCORES:
        labels = [
            _table(
                "AssociatedFile",
                name=LABELS,
                description="The name of each class, in order.",
                type=AXIS_LABELS,
            )
        ]
    return _table(
        "TensorMetadata",
        name=name,
        description=texts.get(name, f"The feature map {name}."),
        content=_masks() if _is_for_mediapipe(description) else _features(),
        stats=_table("Stats", min=np.float32([0]), max=np.float32([1]))
        if name == "probabilities"
        else None,
        associated_files=labels,
    )
