"""GitHub's workflows and the hooks of pre-commit name what exists: targets, versions, tests."""

import configparser
import re
import shlex
import shutil
import subprocess

import pytest

from tests.helpers import ROOT, make_words

yaml = pytest.importorskip("yaml")

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([\w-]+):(?!=)", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"^([A-Z_]+) \?=", MAKEFILE, re.MULTILINE))


def jobs(workflow):
    return yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]


def matrix(workflow, job):
    return jobs(workflow)[job]["strategy"]["matrix"]


CI = ROOT / ".github" / "workflows" / "ci.yml"
WEEKLY = ROOT / ".github" / "workflows" / "weekly.yml"


def test_there_are_three_workflows():
    assert [path.stem for path in WORKFLOWS] == ["ci", "release", "weekly"]


def make_arguments(workflow):
    """The words after `make` in the steps of a workflow."""
    for job in jobs(workflow).values():
        for step in job["steps"]:
            yield from make_words(step.get("run", ""))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_target_of_make_exists(workflow):
    words = set(make_arguments(workflow))
    assert words
    assert {word for word in words if "=" not in word} <= TARGETS
    assert {word.partition("=")[0] for word in words if "=" in word} <= VARIABLES


def test_every_target_in_a_pull_request_is_one_of_ci_run():
    run = make_words((ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    assert {word for word in make_arguments(CI) if "=" not in word} == {*run, "test-fast"}


def test_versions_of_python_are_those_of_the_package():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    classifiers = re.findall(r"Python :: (3\.\d+)", setup["metadata"]["classifiers"])
    assert matrix(CI, "test")["python"] == classifiers
    assert setup["options"]["python_requires"] == f">={classifiers[0]}"


def test_the_shards_are_all_tests():
    """Each file of tests once, in a shard or in a job of its own."""
    shards = [shard["tests"] for shard in matrix(CI, "test")["shard"]]
    named = [path for text in shards for word in text.split() for path in ROOT.glob(word)]
    elsewhere = {"web", "dist"}  # the jobs of those names
    assert elsewhere <= set(jobs(CI))
    wanted = {
        path
        for path in (ROOT / "tests").iterdir()
        if path.name.startswith("test_") or (path.is_dir() and any(path.rglob("test_*.py")))
    }
    assert sorted(named) == sorted(path for path in wanted if path.name not in elsewhere)


def test_the_oldest_tensorflow_is_that_of_setup_cfg(tmp_path):
    """The step changes TensorFlow's version and TensorBoard's, and CONTRIBUTING has the same."""
    steps = jobs(WEEKLY)["oldest"]["steps"]
    (command,) = [step["run"] for step in steps if step.get("run", "").startswith("sed")]
    assert command in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    newest, oldest = (
        set((tmp_path / name).read_text(encoding="utf-8").splitlines())
        for name in ("constraints.txt", "oldest.txt")
    )
    assert {line.partition("==")[0] for line in newest - oldest} == {
        "tensorboard",
        "tensorflow_cpu",
    }
    (version,) = {line.partition("==")[2] for line in oldest - newest}
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert set(re.findall(r"tensorflow[\w-]*>=([\d.]+),", setup)) == {version.removesuffix(".0")}


def test_other_systems_run_what_make_test_fast_does():
    """Windows and macOS install with pip and call pytest, with the tests and marks of `make`."""
    steps = jobs(WEEKLY)["systems"]["steps"]
    commands = [shlex.split(step["run"]) for step in steps if "run" in step]
    (installed,) = [words for words in commands if "install" in words]
    (tested,) = [words for words in commands if "pytest" in words]
    assert ".[test-fast]" in installed
    recipe = make_recipe("test-fast")
    assert [word for word in tested if word.startswith("tests/")] == recipe["tests"]
    assert tested[tested.index("-m", 3) + 1] == recipe["marks"]


def make_recipe(target):
    """The tests and marks of a target, as `make --dry-run` prints them."""
    command = ["make", "--dry-run", "--always-make", target]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    (words,) = [shlex.split(line) for line in lines.stdout.splitlines() if "pytest" in line]
    tests = [word for word in words if word.startswith("tests/")]
    return {"tests": tests, "marks": words[words.index("-m", words.index("pytest")) + 1]}


def test_hooks_run_what_is_installed():
    """`ruff` and the like in the versions of constraints.txt."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert {hook["id"] for hook in hooks} >= {"ruff-check", "ruff-format", "lint-imports"}
    for hook in hooks:
        program, *arguments = hook["entry"].split()
        assert program.startswith(".venv/bin/")
        if arguments[:1] == ["-m"]:
            assert (ROOT / arguments[1] / "__main__.py").exists()
