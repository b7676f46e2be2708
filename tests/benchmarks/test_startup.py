"""The measurement of the command line's start, made short."""

import sys

import pytest

from benchmarks import cpu_time, startup
from keras_poolformer.support.errors import InputError

BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def run(code, folder):
    return cpu_time.cpu_seconds([sys.executable, "-S", "-c", code], folder, {})


def test_work_is_counted_and_sleep_is_not(tmp_path):
    assert run("import time; time.sleep(1)", tmp_path) < run(BUSY, tmp_path)


def test_a_process_that_fails(tmp_path):
    with pytest.raises(InputError, match="failed: ValueError: no such photograph"):
        run("raise ValueError('no such photograph')", tmp_path)


def test_every_process_runs_once_a_round():
    ran = []
    names = ["a", "b", "c"]
    processes = {name: lambda name=name: ran.append(name) or float(len(ran)) for name in names}
    seconds = cpu_time.measure(processes, 5, lambda done, total: None)
    rounds = [tuple(ran[i : i + 3]) for i in range(0, 15, 3)]
    assert [sorted(names) for names in rounds] == [names] * 5 and len(set(rounds)) > 1
    for name in names:
        assert seconds[name] == [1.0 + i for i, other in enumerate(ran) if other == name]


def test_variables_are_a_users(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    variables = cpu_time.variables_for(tmp_path)
    assert variables["PYTHONPATH"] == str(tmp_path) and "PATH" in variables
    assert not {"PYTHONDONTWRITEBYTECODE", "KERAS_BACKEND"} & variables.keys()


def test_a_revision_that_does_not_exist(tmp_path):
    with pytest.raises(InputError, match=r"--before must be a revision.*Received: nosuch"):
        cpu_time.check_out("nosuch", tmp_path / "before")


def results(now):
    """Results of seven rounds in which the commands took `now` s, and 1 s before."""
    seconds = {(command.name, startup.BEFORE): [1.0] * 7 for command in startup.COMMANDS}
    seconds |= {(command.name, startup.NOW): [now] * 6 + [9.0] for command in startup.COMMANDS}
    seconds |= {floor.name: [0.25] * 7 for floor in startup.FLOORS}
    return startup.summarize(seconds, 7, "0123456789")


def test_tables_and_promises():
    fast = results(0.2)
    table = startup.tables(fast)
    for command in startup.COMMANDS:
        assert (
            f"| {command.name} | {command.extra} | 1.00 (1.00 to 1.00) | 0.20 (0.20 to 9.00) |"
            in table
        )
    assert f"| {startup.FLOORS[0].name} | runtime | 0.25 (0.25 to 0.25) |" in table
    assert [holds for _, holds in startup.targets(fast)] == [True] * 4
    assert [holds for _, holds in startup.targets(results(0.59))] == [False, False, True, True]
    assert [holds for _, holds in startup.targets(results(0.61))] == [False] * 4
