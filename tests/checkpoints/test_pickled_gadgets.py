"""Code that somebody else would run, as torch.save pickles it. Nothing of it may be run."""

import argparse
import builtins
import copyreg
import os
import pickle
import subprocess

import numpy as np
import pytest

torch = pytest.importorskip("torch")

MARK = "touch {marker}"
GADGETS = {
    "os.system": (os.system, (MARK,)),
    "eval": (builtins.eval, ("open({marker!r}, 'w')",)),
    "exec": (builtins.exec, ("open({marker!r}, 'w')",)),
    "open": (builtins.open, ("{marker}", "w")),
    "getattr": (builtins.getattr, (os, "system")),
    "import": (builtins.__import__, ("antigravity",)),
    "Popen": (subprocess.Popen, (("touch", "{marker}"),)),
    "torch.load": (torch.load, ("{marker}",)),
    "numpy.load": (np.load, ("{marker}",)),
    "pickle.loads": (pickle.loads, (b"cos\nsystem\n(S'touch {marker}'\ntR.",)),
    "partial": (__import__("functools").partial, (os.system, MARK)),
    "copyreg": (copyreg._reconstructor, (object, object, None)),
}


class Gadget:
    def __init__(self, function, arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def filled(value, marker):
    if isinstance(value, tuple):
        return tuple(filled(item, marker) for item in value)
    if isinstance(value, bytes):
        return value.replace(b"{marker}", str(marker).encode())
    if not isinstance(value, str):
        return value
    return value.replace("{marker!r}", repr(str(marker))).replace("{marker}", str(marker))


NESTINGS = {
    "top": lambda gadget, weights: gadget,
    "beside": lambda gadget, weights: {"state_dict": weights, "args": gadget},
    "deep": lambda gadget, weights: {"state_dict": {**weights, "z": [{"y": (1, [{"x": gadget}])}]}},
    "namespace": lambda gadget, weights: {**weights, "args": argparse.Namespace(a=[gadget])},
    "key": lambda gadget, weights: {"state_dict": weights, gadget: 1},
}


@pytest.mark.parametrize("nesting", NESTINGS.values(), ids=NESTINGS)
@pytest.mark.parametrize("gadget", GADGETS)
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_gadget_is_refused_and_not_run(tmp_path, gadget, nesting, protocol, zipped, refusal):
    marker, path = tmp_path / "ran", tmp_path / "x.pth"
    function, arguments = GADGETS[gadget]
    if gadget == "getattr":
        arguments = (argparse.Namespace(system=1), "system")
    value = nesting(Gadget(function, filled(arguments, marker)), {"w": torch.ones(2)})
    torch.save(value, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    message = refusal(path)
    assert not marker.exists()
    assert "nothing of it was run" in message
    assert f".{function.__name__}," in message


def test_whole_model_is_refused_by_its_class(tmp_path, refusal):
    path = tmp_path / "x.pth"
    for zipped in (True, False):
        torch.save(torch.nn.Linear(2, 2), path, _use_new_zipfile_serialization=zipped)
        message = refusal(path)
        assert "torch.nn.modules.linear.Linear" in message and "state_dict()" in message
