"""Python trains, evaluates and publishes without a shell, and writes what the commands write."""

import inspect
import os
import signal

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_poolformer import evaluate, export_tflite, make_card, train
from keras_poolformer.cli import main
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.support.errors import InputError
from keras_poolformer.training import RECIPE_SUMMARIES, get_recipe
from keras_poolformer.training.recipe import PARTS, Recipe, fields_of
from tests.helpers import error_line
from tests.segmenters import draw_shapes_folder
from tests.training import runs

RECIPE = "poolformer_tiny_cifar10"
SETTINGS = runs.as_keywords(*runs.SMALL, *runs.LEARNING)
STEPS = 6  # of 24: an epoch
WRITTEN = ("log.csv", "evaluations.csv", "result.json", "model.safetensors")


def pixels(paths):
    return [np.asarray(Image.open(path)) for path in paths]


@pytest.fixture(scope="session")
def photo_arrays(photo_folders):
    """{split: (images, labels)}: the photographs of the folders, in their order."""
    arrays = {}
    for split in ("train", "test"):
        files = sorted((photo_folders / split).glob("*/*"))
        labels = np.array([int(file.parent.name[-1]) for file in files])
        arrays[split] = np.stack(pixels(files)), labels
    return arrays


@pytest.fixture(scope="session")
def names():
    return [f"photo_{number}" for number in range(3)]


@pytest.fixture(scope="session")
def run_and_calls(photo_arrays, names, tmp_path_factory):
    """What `train` returns after an epoch on arrays, and what its callback was called with."""
    calls = []
    run = train(
        RECIPE,
        photo_arrays["train"],
        tmp_path_factory.mktemp("python"),
        validation_data=photo_arrays["test"],
        class_names=names,
        max_steps=STEPS,
        callbacks=[lambda figures, step: calls.append((figures, step))],
        verbose=False,
        **SETTINGS,
    )
    return run, calls


def assert_same_files(workdir, expected, written=WRITTEN):
    for name in written:
        assert (workdir / name).read_bytes() == (expected / name).read_bytes(), name


@pytest.mark.slow
def test_arrays_give_the_losses_of_the_command_on_files(run_and_calls, trained):
    """The bytes of whole runs are compared below."""
    for name, rows in (("log.csv", STEPS), ("evaluations.csv", 1)):
        found = (run_and_calls[0].workdir / name).read_text(encoding="utf-8")
        lines = (trained / name).read_text(encoding="utf-8").splitlines(keepends=True)
        assert found == "".join(lines[: 1 + rows]), name


def test_the_result(run_and_calls):
    run, _ = run_and_calls
    assert (run.step, run.finished, run.stopped_early) == (STEPS, True, False)
    assert run.best_top1 == pytest.approx(run.evaluation.top1)
    assert run.history["loss"] == runs.losses(run.workdir).tolist()
    assert run.history.keys() == {"step", "loss", "accuracy", "learning_rate"}
    assert (run.evaluations["epoch"], run.evaluations["top1"]) == ([1], [run.evaluation.top1])
    assert run.model.config.labels == ("photo_0", "photo_1", "photo_2")
    assert run.model.provenance["source"].startswith("keras-poolformer train on 48 images in mem")
    with Image.open(run.workdir / "curve.png") as picture:
        np.testing.assert_array_equal(np.asarray(run.curve), np.asarray(picture))


def test_callbacks_get_what_the_tables_have(run_and_calls):
    run, calls = run_and_calls
    steps = [(step, figures) for figures, step in calls if "train/loss" in figures]
    assert [step for step, _ in steps] == run.history["step"]
    for name in ("loss", "accuracy", "learning_rate"):
        found = [figures[f"train/{name}"] for _, figures in steps]
        np.testing.assert_allclose(found, run.history[name], rtol=1e-8)
    ends = [(step, figures["evaluation/top1"]) for figures, step in calls if "train" not in
            next(iter(figures))]  # fmt: skip
    assert [step for step, _ in ends] == run.evaluations["step"]
    np.testing.assert_allclose([top1 for _, top1 in ends], run.evaluations["top1"], rtol=1e-8)


def test_nothing_is_printed_unless_asked_for(photo_arrays, run_and_calls, names, capfd):
    """A finished run that is started again returns its result again."""
    again = train(
        RECIPE,
        photo_arrays["train"],
        run_and_calls[0].workdir,
        validation_data=photo_arrays["test"],
        class_names=names,
        max_steps=STEPS,
        verbose=False,
        **SETTINGS,
    )
    assert (again.step, again.finished, again.history) == (STEPS, True, run_and_calls[0].history)
    assert [line for line in capfd.readouterr().err.splitlines() if "training" in line] == []


def test_other_images_are_rejected_in_the_folder_of_a_run(photo_arrays, run_and_calls):
    images, labels = photo_arrays["train"]
    line = error_line(
        train,
        RECIPE,
        (images[::-1], labels[::-1]),
        run_and_calls[0].workdir,
        verbose=False,
        skip_validation=True,
        **SETTINGS,
    )
    assert "holds a run with " in line and "use another folder" in line


def test_evaluating_the_model_says_what_training_said(run_and_calls, photo_arrays, names):
    run, _ = run_and_calls
    for source in (run.model, run.workdir):
        found = evaluate(source, photo_arrays["test"], class_names=names, verbose=False)
        assert found.to_dict()["top1"] == pytest.approx(run.evaluation.top1)
        assert found.to_dict()["images"] == 12


@pytest.mark.parametrize("name", ["poolformer_tiny_cifar10", "finetune_segmentation"])
def test_no_argument_hides_a_setting(name):
    recipe = get_recipe(name)
    kinds = [Recipe, *(type(getattr(recipe, part)) for part in PARTS)]
    settings = {field for kind in kinds for field in fields_of(kind)}
    assert not settings & inspect.signature(train).parameters.keys()
    assert name in RECIPE_SUMMARIES


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"recipe": "finetun"}, "finetune"),
        ({"batchsize": 8}, "no field 'batchsize'. Did you mean 'batch_size'?"),
        ({"batch_size": "8"}, "`batch_size` must be of type int"),
        ({"recipe": "finetune"}, "in Python: init="),
        ({"recipe": 3}, "`recipe` must be a Recipe or the name of one. Received: 3"),
        ({"strategy": object(), "replicas": 2}, "go with the name of a strategy. Received: object"),
        ({"strategy": "two_devices"}, "`strategy` must be one of one_device"),
        ({"class_names": ["a", "b", "c"]}, "`class_names` goes with images in memory"),
        ({"validation_data": (np.zeros((1, 8, 8, 3), np.uint8), [0])}, "goes with images in mem"),
        ({"seed": -1}, "`seed` must be a whole number"),
    ],
)
def test_bad_arguments_are_one_line(options, words, photo_folders, tmp_path):
    arguments = {"recipe": RECIPE, "data": photo_folders, "workdir": tmp_path / "run"}
    options = arguments | {"held_out": 0} | options
    with pytest.raises(InputError) as caught:
        train(verbose=False, **options)
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_ctrl_c_saves_and_returns_and_the_same_call_resumes(photo_folders, trained, tmp_path):
    """As the interruption of a notebook's cell: the signal reaches the main thread."""

    def interrupt(figures, step):
        if step == 9:
            os.kill(os.getpid(), signal.SIGINT)

    arguments = (RECIPE, photo_folders, tmp_path)
    before = signal.getsignal(signal.SIGINT)
    run = train(*arguments, callbacks=[interrupt], **SETTINGS)
    assert not run.finished and 9 <= run.step < 24 and signal.getsignal(signal.SIGINT) is before
    assert run.step == len(run.history["step"]) and run.curve.size > (100, 100)
    assert not (tmp_path / "model.keras").exists()
    assert run.model.provenance["step"] == run.step
    assert evaluate(run.model, photo_folders / "test").to_dict()["images"] == 12
    assert train(*arguments, **SETTINGS).finished
    assert_same_files(tmp_path, trained)


@pytest.mark.slow
def test_an_error_of_a_callback_ends_a_run_that_can_be_resumed(photo_folders, trained, tmp_path):
    def stop(figures, step):
        if step == 9:
            raise StopIteration("enough")

    with pytest.raises(StopIteration, match="enough"):
        train(RECIPE, photo_folders, tmp_path, callbacks=[stop], **SETTINGS)
    assert train(RECIPE, photo_folders, tmp_path, **SETTINGS).finished
    assert_same_files(tmp_path, trained)


@pytest.mark.slow
def test_a_dataset_and_a_strategy_of_ones_own(photo_arrays, names, trained, tmp_path):
    training, test = (tf.data.Dataset.from_tensor_slices(part) for part in photo_arrays.values())
    run = train(
        get_recipe(RECIPE),
        training.batch(10),
        tmp_path,
        validation_data=test,
        class_names=names,
        strategy=tf.distribute.OneDeviceStrategy("/CPU:0"),
        **SETTINGS,
    )
    assert run.finished
    assert_same_files(tmp_path, trained)


@pytest.mark.slow
def test_segmenters_on_arrays_are_the_commands_on_files(tmp_path):
    root, recipe = tmp_path / "shapes", "poolformer_tiny_nuclei"
    draw_shapes_folder(root, train=48, val=6)
    settings = ["needs_init=False", "neck_width=16", "segmentation_width=8"]
    assert main(runs.arguments(root, tmp_path / "command", settings, recipe=recipe)) == 0

    def arrays(split):
        images = sorted((root / "images" / split).iterdir())
        return pixels(images), pixels(root / "masks" / split / path.name for path in images)

    names = ["ground", "disc", "square"]
    run = train(
        recipe,
        arrays("train"),
        tmp_path / "python",
        validation_data=arrays("val"),
        class_names=names,
        **runs.as_keywords(*runs.SMALL, *settings),
    )
    assert_same_files(run.workdir, tmp_path / "command")
    assert run.evaluations["mean_iou"][-1] == run.evaluation.mean_iou
    on_files = evaluate(run.workdir, root).to_dict()
    assert evaluate(run.model, arrays("val"), class_names=names).to_dict() == on_files


@pytest.mark.slow
def test_from_images_to_a_card_without_a_shell(photo_arrays, run_and_calls, names, tmp_path):
    run, _ = run_and_calls
    test = photo_arrays["test"]
    exported = export_tflite(run.model, tmp_path / "x.tflite", "int8", calibration=test[0])
    top1 = evaluate(tmp_path / "x.tflite", test, class_names=names, report=tmp_path / "report")
    assert top1.to_dict()["images"] == 12 and exported.bytes > 1000
    assert (tmp_path / "report" / "confusion.png").exists()
    options = {"data": test, "class_names": names, "recipes": ["fp32", "int8"]}
    card = make_card(
        run.model, tmp_path / "card", name="photos", calibration=test[0], verbose=False, **options
    )
    assert card.accuracy.keys() == {"model.keras", "photos_fp32.tflite", "photos_int8.tflite"}
    assert card.accuracy["model.keras"]["top1"] == pytest.approx(run.evaluation.top1)
    assert "On 12 images of data in memory" in (tmp_path / "card" / "README.md").read_text(
        encoding="utf-8"
    )
    classifier = TFLiteClassifier(tmp_path / "card" / "photos_fp32.tflite")
    assert classifier.classify(test[0][0])[0][0] in names
    with pytest.raises(InputError, match="exists already"):
        make_card(run.workdir, tmp_path / "card")


def test_a_model_in_memory_needs_a_name_on_its_card(tmp_path):
    assert "`name` is required" in error_line(make_card, object(), tmp_path / "card")
