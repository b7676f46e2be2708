"""docs/api_map.md is whole: every name of the originals has its row, every row its test."""

import inspect
import re

import pytest

from tests.helpers import ROOT

TEXT = (ROOT / "docs" / "api_map.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| there |"))
]
NAMES = set(re.findall(r"\w+", " ".join(row[0] for row in ROWS)))


def test_no_cell_is_empty():
    assert len(ROWS) > 60
    for row in ROWS:
        assert len(row) == 3 and all(row), row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_every_row_has_a_test_or_a_reason(row):
    there, here, test = row
    if test == "-":
        assert here.startswith("none: "), there
        return
    path, _, name = test.partition("::")
    source = (ROOT / path).read_text(encoding="utf-8")
    assert re.search(rf"^def {name}\(", source, flags=re.MULTILINE), test


def test_every_field_of_the_config():

    from transformers import PoolFormerConfig

    assert set(PoolFormerConfig.__annotations__) - {"model_type"} <= NAMES


def test_every_option_of_the_processor():

    from transformers.models.poolformer import image_processing_pil_poolformer as module

    options = module.PoolFormerImageProcessorPil.valid_kwargs.__annotations__
    assert set(options) <= NAMES


def test_every_argument_and_output_of_the_models():

    from transformers import PoolFormerForImageClassification, PoolFormerModel
    from transformers.modeling_outputs import (
        BaseModelOutputWithNoAttention,
        ImageClassifierOutputWithNoAttention,
    )

    for model in (PoolFormerModel, PoolFormerForImageClassification):
        arguments = set(inspect.signature(model.forward).parameters)
        assert arguments - {"self", "kwargs"} <= NAMES
    for output in (BaseModelOutputWithNoAttention, ImageClassifierOutputWithNoAttention):
        assert set(output.__dataclass_fields__) <= NAMES


def test_every_argument_of_timms_metaformer():
    from timm.models.metaformer import MetaFormer

    assert set(inspect.signature(MetaFormer.__init__).parameters) - {"self", "kwargs"} <= NAMES
