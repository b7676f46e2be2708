"""What a training run is: recipe, data, seed, and the folder that it has to itself."""

import json
from dataclasses import dataclass
from pathlib import Path

from keras_poolformer.data.sources import Split
from keras_poolformer.errors import InputError
from keras_poolformer.files import replacing
from keras_poolformer.messages import shown
from keras_poolformer.training.checkpoints import has_checkpoint
from keras_poolformer.training.recipe import Recipe

CHECKPOINTS, RUN = "checkpoints", "run.json"
VERSION = 2  # of run.json
# Fields of a recipe that can change when a run is resumed, or do nothing once it has begun.
_NOT_DESCRIBED = ("steps_per_call", "save_every", "batch_scaling", "needs_init")


@dataclass(frozen=True)
class Run:
    """What is trained, on what, where.

    Args:
        recipe: a `Recipe`.
        training: the `Split` to train on.
        evaluation: the `Split` to evaluate on, or None.
        workdir: a folder; a run that was interrupted there goes on.
        seed: of all that is random.
        init: preset or checkpoint to begin with, or None for fresh weights.
        max_steps: where to stop before the recipe's end, or None.
        checkpoints: folder of the checkpoints, if it is not in `workdir`; may be gs://.
    """

    recipe: Recipe
    training: Split
    evaluation: Split | None
    workdir: Path
    seed: int = 0
    init: str | None = None
    max_steps: int | None = None
    checkpoints: str | None = None

    def __post_init__(self):
        self.recipe.check_init(self.init)

    @property
    def steps_per_epoch(self):
        """Whole batches in the training split."""
        return self.training.num_examples // self.recipe.batch_size

    @property
    def total_steps(self):
        """Steps of the recipe's schedule."""
        return self.steps_per_epoch * self.recipe.all_epochs

    @property
    def warmup_steps(self):
        """Steps of the warm-up."""
        return round(self.recipe.warmup_epochs * self.steps_per_epoch)

    @property
    def last_step(self):
        """Where this run ends."""
        return min(self.total_steps, self.max_steps or self.total_steps)

    @property
    def checkpoint_folder(self):
        """Where the checkpoints lie."""
        return self.checkpoints or str(self.workdir / CHECKPOINTS)

    @property
    def begun(self):
        """Whether there is a checkpoint to go on from."""
        return has_checkpoint(self.checkpoint_folder)

    def claim(self):
        """Writes what the run is into `workdir`.

        Raises:
            InputError: another run is there.
        """
        path, own = self.workdir / RUN, self.describe()
        if not path.exists():
            with replacing(path) as written:
                written.write_text(json.dumps(own, indent=2) + "\n")
            return
        found = _upgraded(_read(path), own)
        for name in sorted(own.keys() | found.keys()):
            if own.get(name) != found.get(name):
                raise InputError(
                    f"{self.workdir} holds a run with {name}={shown(found.get(name), 200)}: use "
                    f"another folder, or the same command. Received: {shown(own.get(name), 200)}"
                )

    def describe(self):
        """What must not change when a run goes on, as JSON-ready values.

        Of a run that the trainer has started, the config and the transform are those of the
        model that is trained.
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


def _upgraded(found, own):
    """The description of a run as this version writes it.

    Version 1 had no field "version", and knew the recipe's config before that of the data: with
    the recipe's classes, and for a run with `init` another network's.
    """
    if "version" in found:
        return found
    lacking = {"version": VERSION, "backbone_learning_rate_scale": 1.0}
    lacking["classifier"] = own["classifier"]
    found = lacking | found
    if isinstance(config := found.get("config"), dict):
        classes = ("num_classes", "labels")
        found["config"] = config | {name: own["config"][name] for name in classes}
    return found


def _read(path):
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} must be JSON, as it was written: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path} must describe a run. Received: {shown(found)}")
    return found
