"""The comparisons of training and of its input, made short."""

import pytest

from benchmarks import input_parts, input_pipeline, train_step, training
from keras_poolformer.support.errors import InputError

CASE = train_step.Case("small", "poolformer_tiny_cifar10", 2)


@pytest.mark.slow
def test_steps():
    results = {
        "machine": {"cpu": "x", "cores": 2},
        "busy_cores": 0.0,
        "rounds": 6,
        "steps": [train_step.compare(CASE, rounds=6)],
    }
    (row,) = results["steps"]
    assert row["case"] == "small"
    assert 0 < row["ratio"]["low"] <= row["ratio"]["value"] <= row["ratio"]["high"]
    assert f"| small | {row['ours']['value']:.0f} | " in training.tables(results)
    assert len(training.targets(results)) == 1


@pytest.mark.slow
def test_augmentation():
    results = {"machine": {"cpu": "x"}, "rounds": 6, **input_pipeline.compare(rounds=6, images=2)}
    text = input_pipeline.tables(results)
    assert [row["case"] for row in results["stages"]] == [case[0] for case in input_pipeline.STAGES]
    for row in results["stages"]:
        assert 0 < row["ratio"]["low"] <= row["ratio"]["value"] <= row["ratio"]["high"]
        assert f"| {row['case']} | {row['ours']['value']:.0f} | " in text
    assert [row["part"] for row in results["parts"]] == list(input_parts.PARTS)
    assert all(f"| {row['part']} | " in text for row in results["parts"])
    smaller, others, bilinear = (row["levels"] for row in results["differences"])
    assert 0 < smaller < 9 and 0 < others < 9 and 0 < bilinear < 9
    assert len(input_pipeline.targets(results)) == 2


@pytest.mark.slow
def test_too_few_rounds():
    with pytest.raises(InputError, match="`rounds` must be at least 6"):
        input_pipeline.compare(rounds=5, images=1)
