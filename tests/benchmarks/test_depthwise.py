"""All forms of a depthwise convolution are the same one."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from benchmarks.depthwise import FORMS, build
from tests.helpers import relative_error


def outputs(form, x):
    interpreter = Interpreter(model_content=build(8, 4, "fp32", FORMS[form]), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.slow
@pytest.mark.parametrize("form", list(FORMS)[1:])
def test_parts_are_the_whole(form):
    """Measured 2e-7."""
    x = np.random.default_rng(1).standard_normal((1, 8, 8, 4), np.float32)
    assert relative_error(outputs(form, x), outputs("7x7", x)) <= 2e-6
