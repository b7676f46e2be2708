"""The two sides of benchmarks/paired_training.py: one run of ours, and one of timm's loop.

timm's train.py is not in its package: `timms` follows it step by step with the parts that are, in
one process, on the CPU. The options it stands for are train.py's defaults, except for those of the
recipe, `--workers 0`, and `--sched-on-updates --warmup-prefix`: our rate changes with every step,
and the cosine begins where the warm-up ends.
"""

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import conversion  # noqa: F401 - makes timm importable with every build of torchvision

# isort: split
import torch
from safetensors.torch import load_file, save_file
from timm.data import FastCollateMixup, create_dataset, create_loader
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter, ModelEmaV3, accuracy, random_seed

from benchmarks import readme
from benchmarks.input_pipeline import mend_posterize
from conversion.timm_metaformer import build_timm
from keras_poolformer import train
from keras_poolformer.cli import one_line_errors
from keras_poolformer.support.errors import InputError
from keras_poolformer.training.recipes import get_recipe

SIDES = ("ours", "timm")
RECIPE = "poolformer_tiny_cifar10"
LOSSES = 24  # points of a curve: means over equal parts of the steps


def recipe_of(settings):
    """The recipe of both sides.

    Args:
        settings: {field of a recipe: value}, as JSON has them.
    """
    return get_recipe(RECIPE).replace(**settings)


def make_weights(recipe, seed, path):
    """Writes the weights that both sides start from: timm's own fresh ones, in its layout.

    Args:
        recipe: Recipe of the runs.
        seed: Seed of the weights.
        path: .safetensors file to write.
    """
    torch.manual_seed(seed)
    save_file(build_timm(recipe.config).state_dict(), path)


def ours(recipe, data, weights, seed, workdir, report=lambda line: None):
    """Trains with `keras_poolformer.train`, or resumes a run that was interrupted.

    Args:
        recipe: Recipe of the run.
        data: Folder with train/CLASS/IMAGE and test/CLASS/IMAGE.
        weights: What `make_weights` wrote.
        seed: Seed of everything random.
        workdir: Folder of the run.
        report: Function to call with a line of text an epoch.

    Returns:
        {"losses": mean of each part of the steps, "top1": of the test images after each epoch, in
        percent, "loss": likewise}.
    """

    def callback(figures, step):
        if "evaluation/top1" in figures:
            report(f"step {step}: top-1 {figures['evaluation/top1']:.2f} %")

    run = train(
        recipe,
        data,
        workdir,
        init=weights,
        seed=seed,
        skip_validation=True,
        callbacks=[callback],
        verbose=False,
        # The checkpoint is of the recipe's network, and says nothing of the images.
        classifier="keep",
        crop_pct=recipe.transform.crop_pct,
    )
    if not run.finished:
        raise InputError(f"the training in {workdir} was stopped: rerun the same command to resume")
    evaluations = run.evaluations
    return _figures(run.history["loss"], evaluations["top1"], evaluations["loss"])


def timms(recipe, data, weights, seed, report=lambda line: None):
    """Trains as timm's train.py does; the arguments and the result are those of `ours`."""
    mend_posterize()
    random_seed(seed)
    model = build_timm(recipe.config)
    model.load_state_dict(load_file(weights))
    training, evaluation = _loaders(recipe, data)
    optimizer, scheduler, epochs = _optimizer(recipe, model, len(training))
    averaged = ModelEmaV3(model, decay=recipe.ema_decay)
    loss_of = SoftTargetCrossEntropy()
    losses, scores = [], []
    for epoch in range(epochs):
        model.train()
        updates = epoch * len(training)
        for images, targets in training:
            loss = loss_of(model(images), targets)
            loss.backward()
            optimizer.step()
            updates += 1
            optimizer.zero_grad()
            averaged.update(model, step=updates)
            scheduler.step_update(num_updates=updates)
            losses.append(loss.item())
        scores.append(_evaluated(averaged.module, evaluation))
        report(f"step {updates}: top-1 {scores[-1][0]:.2f} %")
        scheduler.step(epoch + 1)
    return _figures(losses, *map(list, zip(*scores, strict=True)))


def _loaders(recipe, data):
    """The batches of an epoch, normalized and mixed, and those of the evaluation."""
    augmentation, mixing, transform = recipe.augmentation, recipe.mixing, recipe.transform
    shared = {
        "input_size": (recipe.config.in_channels, augmentation.size, augmentation.size),
        "batch_size": recipe.batch_size,
        "mean": augmentation.mean,
        "std": augmentation.std,
        "num_workers": 0,
        "device": torch.device("cpu"),
    }
    training = create_loader(
        create_dataset("", root=str(data), split="train", is_training=True),
        is_training=True,
        re_prob=augmentation.erasing,
        re_mode="pixel",
        scale=augmentation.crop_scale,
        ratio=augmentation.crop_ratio,
        hflip=augmentation.flip,
        color_jitter=None,  # which RandAugment turns off, and the recipes without it do not have
        auto_augment=augmentation.rand_augment or None,
        interpolation=augmentation.interpolation,
        collate_fn=FastCollateMixup(
            mixup_alpha=mixing.mixup,
            cutmix_alpha=mixing.cutmix,
            prob=mixing.probability,
            switch_prob=mixing.switch,
            label_smoothing=mixing.label_smoothing,
            num_classes=recipe.config.num_classes,
        ),
        **shared,
    )
    evaluation = create_loader(
        create_dataset("", root=str(data), split="test", is_training=False),
        is_training=False,
        interpolation=transform.interpolation,
        crop_pct=transform.crop_pct,
        **shared,
    )
    return training, evaluation


def _optimizer(recipe, model, steps_per_epoch):
    """(AdamW, its schedule, number of epochs), as train.py makes them."""
    optimizer = create_optimizer_v2(
        model,
        opt=recipe.optimizer,
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        betas=(recipe.beta_1, recipe.beta_2),
        eps=recipe.epsilon,
    )
    scheduler: Any  # its type allows for none
    scheduler, epochs = create_scheduler_v2(
        optimizer,
        sched=recipe.schedule,
        num_epochs=recipe.epochs - int(recipe.warmup_epochs),
        min_lr=recipe.min_learning_rate,
        warmup_lr=recipe.warmup_learning_rate,
        warmup_epochs=int(recipe.warmup_epochs),
        warmup_prefix=True,
        cooldown_epochs=recipe.cooldown_epochs,
        step_on_epochs=False,
        updates_per_epoch=steps_per_epoch,
    )
    return optimizer, scheduler, epochs


def _evaluated(model, batches):
    """(top-1 in percent, mean cross-entropy) of all images."""
    model.eval()
    top1, losses = AverageMeter(), AverageMeter()
    with torch.no_grad():
        for images, labels in batches:
            logits = model(images)
            losses.update(torch.nn.functional.cross_entropy(logits, labels).item(), len(labels))
            top1.update(accuracy(logits, labels)[0].item(), len(labels))
    return top1.avg, losses.avg


def _figures(losses, top1, loss):
    parts = min(LOSSES, len(losses))
    bounds = [len(losses) * part // parts for part in range(parts + 1)]
    means = [sum(losses[start:stop]) / (stop - start) for start, stop in pairwise(bounds)]
    return {"losses": means, "top1": top1, "loss": loss}


def run(options):
    """Trains what is missing of one side, and writes FOLDER/SIDE_SEED.json for each seed."""
    folder, recipe = Path(options.folder), recipe_of(json.loads(options.settings))
    for seed in options.seeds:
        result = folder / f"{options.side}_{seed}.json"
        if result.exists():
            continue
        name = f"{options.side}, seed {seed}"

        def report(line, name=name):
            print(f"{name}, {line}", file=sys.stderr, flush=True)

        arguments = recipe, folder / "images", folder / f"weights_{seed}.safetensors", seed
        if options.side == "ours":
            figures = ours(*arguments, folder / f"ours_{seed}", report)
        else:
            figures = timms(*arguments, report)
        readme.write_record(result, figures)


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paired_sides", description=__doc__)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("folder", help="what benchmarks.paired_training prepared")
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--settings", required=True, help="fields of the recipe, as JSON")
    return one_line_errors("paired_sides", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
