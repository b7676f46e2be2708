"""A training run: recipe, data, seed, and a folder of its own."""

import contextlib
import json
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from keras_poolformer.data.splits.split import Split
from keras_poolformer.sources.source_folders import RUN
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import replacing
from keras_poolformer.support.json_files import read_json
from keras_poolformer.support.messages import shown
from keras_poolformer.training.checkpoints import has_checkpoint
from keras_poolformer.training.recipe import PARTS, Recipe
from keras_poolformer.training.recipes import get_recipe
from keras_poolformer.training.run_lock import locked

CHECKPOINTS = "checkpoints"
RESULT = "result.json"
VERSION = 2  # of run.json
_EXTENSIONS = "extensions"
_MAY_CHANGE = ("patience",)  # changes when the run ends, not what it does until then
_CLASSES = ("num_classes", "labels", "problem_type")  # fields of a config that follow from the data
# Fields of a recipe that may change, too, or have no effect once the run has started.
_NOT_DESCRIBED = ("steps_per_call", "save_every", "batch_scaling", "needs_init")


@dataclass(frozen=True)
class Run:
    """A training run.

    Args:
        recipe: Recipe, or the name of one.
        training: Split to train on.
        evaluation: Split to evaluate on, or None.
        workdir: Folder of the run; if a run was interrupted there, it is resumed.
        seed: Seed of everything random; `data.randomness` lists what that is.
        init: Preset or checkpoint to start from, or None for fresh weights.
        max_steps: Number of steps after which to stop before the recipe's end, or None.
        checkpoints: Folder of the checkpoints if it is not in `workdir`; it may be gs://.

    Raises:
        InputError: An argument has another type, or the recipe does not fit the data.
    """

    recipe: Recipe
    training: Split
    evaluation: Split | None
    workdir: Path
    seed: int = 0
    init: str | None = None
    max_steps: int | None = None
    checkpoints: str | None = None

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the dataclass is frozen
        if isinstance(self.recipe, str):
            set_field(self, "recipe", get_recipe(self.recipe))
        _check_type(self, "recipe", Recipe, "a Recipe or the name of one")
        _check_type(self, "training", Split, "a Split, as open_splits returns it")
        _check_type(self, "evaluation", Split | None, "a Split or None")
        _check_type(self, "workdir", str | Path, "the path of a folder")
        set_field(self, "workdir", Path(self.workdir))
        for name, meaning in (("init", "a preset or a path"), ("checkpoints", "a path")):
            _check_type(self, name, str | Path | None, f"{meaning}, or None")
            if getattr(self, name) is not None:
                set_field(self, name, str(getattr(self, name)))
        _check_number(self, "seed", 0)
        if self.max_steps is not None:
            _check_number(self, "max_steps", 1)
        for split in filter(None, (self.training, self.evaluation)):
            split.target.check_augmentation(self.recipe.augmentation)
        if self.recipe.patience and self.evaluation is None:
            raise InputError(
                "`patience` needs images to evaluate on: a split of the data, or held_out. "
                f"Received: patience={self.recipe.patience}"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Number of full batches in the training split."""
        return self.training.num_examples // self.recipe.batch_size

    @property
    def total_steps(self) -> int:
        """Number of steps of the recipe's schedule."""
        return self.steps_per_epoch * self.recipe.all_epochs

    @property
    def warmup_steps(self) -> int:
        """Number of steps of the warm-up."""
        return round(self.recipe.warmup_epochs * self.steps_per_epoch)

    @property
    def last_step(self) -> int:
        """Number of steps after which the run ends."""
        return min(self.total_steps, self.max_steps or self.total_steps)

    @property
    def checkpoint_folder(self) -> str:
        """Folder of the checkpoints."""
        return self.checkpoints or str(self.workdir / CHECKPOINTS)

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint to resume from."""
        return has_checkpoint(self.checkpoint_folder)

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context within which no other training writes to the folders of this run.

        Raises:
            InputError: On entering it, another training writes to them.
        """
        folders = [self.workdir]
        if self.checkpoints and "://" not in self.checkpoints:
            folders.append(Path(self.checkpoints))
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        return locked(*folders)

    def claim(self) -> None:
        """Writes the description of the run to `workdir`.

        A finished run may be extended by more `epochs`, which is recorded, with the step.

        Raises:
            InputError: Another run is there.
        """
        path, description = self.workdir / RUN, self.describe()
        if not path.exists():
            _write(path, description)
            return
        found = read_json(path)
        extensions = found.pop(_EXTENSIONS, None)
        extensions = extensions if isinstance(extensions, list) else []
        before = _upgraded(found, description, self.recipe)
        changed = {
            name
            for name in description.keys() | found.keys()
            if description.get(name) != before.get(name)
        }
        if not changed:
            return
        if "epochs" in changed and self._extends(before):
            extensions = [*extensions, {"step": self._steps(before), "epochs": before["epochs"]}]
            changed.remove("epochs")
            print(
                f"extending a finished run from {before['epochs']} to {self.recipe.epochs} epochs: "
                "the learning rate becomes that of the longer schedule",
                file=sys.stderr,
            )
        for name in sorted(changed.difference(_MAY_CHANGE)):
            received = shown(description.get(name), 200)
            raise InputError(
                f"{self.workdir} holds a run with {name}={shown(before.get(name), 200)}: use "
                f"another folder, or the same command. Received: {received}"
            )
        _write(path, description | ({_EXTENSIONS: extensions} if extensions else {}))

    def _steps(self, found: dict[str, Any]) -> int:
        return self.steps_per_epoch * (found["epochs"] + found["cooldown_epochs"])

    def _extends(self, found: dict[str, Any]) -> bool:
        """Whether this run only adds epochs to one that has reached the end of its schedule."""
        try:
            ended = read_json(self.workdir / RESULT).get("step") == self._steps(found)
        except (InputError, OSError, KeyError, TypeError):
            return False
        return ended and self.recipe.epochs > found["epochs"]

    def describe(self) -> dict[str, Any]:
        """Returns what must not change when a run is resumed, as JSON-ready values.

        Once the trainer has started the run, config and transform are those of its model.
        """
        recipe = {
            name: value
            for name, value in self.recipe.to_dict().items()
            if name not in _NOT_DESCRIBED
        }
        return {
            "version": VERSION,
            "seed": self.seed,
            "init": self.init,
            "training": self.training.name,
            "examples": self.training.num_examples,
            "evaluation": self.evaluation.name if self.evaluation else None,
            **json.loads(json.dumps(recipe)),
        }


def _upgraded(found: dict[str, Any], description: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Adds the fields that an earlier version did not write to the description of a run.

    Version 1 had no field "version", and described the recipe before it was adapted to the data:
    with the classes of the recipe, and with `init` the config of another network.
    """
    defaults = {field.name: field.default for field in fields(Recipe)}
    before = defaults | {"classifier": description["classifier"], "version": VERSION} | found
    for part in PARTS:
        if isinstance(before.get(part), dict):
            before[part] = _completed(type(getattr(recipe, part)), before[part])
    if "version" not in found and isinstance(before.get("config"), dict):
        before["config"] |= {name: description["config"][name] for name in _CLASSES}
    return before


def _completed(kind: Any, found: dict[str, Any]) -> dict[str, Any]:
    """A part of a recipe, with the defaults of the fields that were not written."""
    try:
        part = kind(**found)
    except (InputError, TypeError):  # it is of another version, and will not be equal
        part = kind()
    return json.loads(json.dumps(asdict(part))) | found


def _write(path: Path, description: dict[str, Any]) -> None:
    with replacing(path, overwrite=True) as written:
        written.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8", newline="\n")


def _check_type(run: Run, name: str, kind: Any, meaning: str) -> None:
    if not isinstance(getattr(run, name), kind):
        raise InputError(f"`{name}` must be {meaning}. Received: {shown(getattr(run, name))}")


def _check_number(run: Run, name: str, lowest: int) -> None:
    value = getattr(run, name)
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value < 2**31:
        raise InputError(
            f"`{name}` must be a whole number, {lowest} to {2**31 - 1}. Received: {shown(value)}"
        )
