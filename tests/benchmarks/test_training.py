"""Both comparisons of training, made short."""

import pytest

from benchmarks import input_pipeline, train_step, training
from keras_poolformer.support.errors import InputError

CASE = train_step.Case("small", "poolformer_tiny_cifar10", 2)


@pytest.mark.slow
def test_steps_and_augmentation():
    results = {
        "machine": {"cpu": "x", "cores": 2},
        "busy_cores": 0.0,
        "rounds": 6,
        "steps": [train_step.compare(CASE, rounds=6)],
        "augmentation": input_pipeline.compare(rounds=6, images=2),
    }
    rows = results["steps"] + results["augmentation"]
    assert [row["case"] for row in rows] == ["small", *input_pipeline.STAGES]
    for row in rows:
        assert 0 < row["ratio"]["low"] <= row["ratio"]["value"] <= row["ratio"]["high"]
        assert f"| {row['case']} | {row['ours']['value']:.0f} | " in training.tables(results)
    assert len(training.targets(results)) == 2


@pytest.mark.slow
def test_too_few_rounds():
    with pytest.raises(InputError, match="`rounds` must be at least 6"):
        input_pipeline.compare(rounds=5, images=1)
