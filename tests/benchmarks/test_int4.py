"""The forms of a 4-bit layer are the same layer, and the command prints its tables."""

import numpy as np
import pytest

from benchmarks import int4
from benchmarks.int4 import build_layer, load, main
from tests.helpers import relative_error

SIDE, INPUTS, OUTPUTS = 4, 64, 32


def outputs(flatbuffer, x):
    interpreter = load(flatbuffer)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_forms_are_the_same_layer():
    """Measured: 1.5e-3 with scales of half precision, 9.5e-3 with inputs rounded otherwise."""
    forms = build_layer(SIDE, INPUTS, OUTPUTS)
    x = np.random.default_rng(1).standard_normal((1, SIDE, SIDE, INPUTS), np.float32)
    expected = outputs(forms["4 bits"], x)
    for form, tolerance in {"4 bits, in blocks": 5e-3, "4 bits, CONV_2D": 2e-2}.items():
        error = relative_error(outputs(forms[form], x), expected)
        print(form, error)
        assert error <= tolerance, form
    assert relative_error(outputs(forms["8 bits"], x), outputs(forms["floats"], x)) <= 2e-2
    assert 0.02 <= relative_error(expected, outputs(forms["floats"], x)) <= 0.2


@pytest.mark.slow
def test_the_command_prints_how_fast_layers_are(monkeypatch, capsys):
    monkeypatch.setattr(int4, "LAYERS", ((SIDE, INPUTS, OUTPUTS),))
    network = {recipe: {"bytes": 1, "ms": 2.0} for recipe in ("fp32", "dynamic_int8")}
    monkeypatch.setattr(int4, "measure_network", lambda rounds: network)
    assert main(["--rounds", "2"]) == 0
    printed = capsys.readouterr().out
    assert "medians of 2 runs" in printed and "| 4 x 4, 64 to 32 |" in printed
    assert printed.endswith("| `dynamic_int8` | 0.00 | 2.0 | 1.00 |\n")
