"""The authors' recipes for ImageNet-1k as rows: what differs from model to model.

Sources: README and train.py of sail-sg/poolformer, and scripts/ of sail-sg/metaformer (64c534a), by
the names of its files, since those of caformer_b36 and of two fine-tunings call another model.
Accuracies are those of their READMEs.
"""

from typing import NamedTuple


class ImageNetRecipe(NamedTuple):
    """What a recipe for ImageNet-1k has of its own; `recipes` has the rest.

    Args:
        variant: Name of the variant.
        top1: Expected top-1 accuracy on the validation images, in percent.
        drop_path_rate: Field of the config.
        head_dropout_rate: Field of the config; None for networks without an MLP in the head.
        optimizer: Field of the recipe.
        learning_rate: Field of the recipe.
        warmup_epochs: Field of the recipe.
        crop_pct: Fraction of the resized validation image that the network sees.
    """

    variant: str
    top1: float
    drop_path_rate: float
    head_dropout_rate: float | None = None
    optimizer: str = "adamw"
    learning_rate: float = 4e-3
    warmup_epochs: float = 5.0
    crop_pct: float = 1.0

    @property
    def regularization(self) -> dict[str, float]:
        """The fields of the config that the recipe sets."""
        rates = {"drop_path_rate": self.drop_path_rate}
        if self.head_dropout_rate is not None:
            rates["head_dropout_rate"] = self.head_dropout_rate
        return rates


_BASIC = ("s12", "s24", "s36", "m36", "m48")
_WITH_MLP_HEAD = ("s18", "s36", "m36", "b36")


def _rows(family: str, sizes: tuple[str, ...], **columns: object) -> list[ImageNetRecipe]:
    """The rows of a family: a tuple has a value for each size, anything else is for all."""
    rows: list[ImageNetRecipe] = []
    for index, size in enumerate(sizes):
        values = {
            name: column[index] if isinstance(column, tuple) else column
            for name, column in columns.items()
        }
        rows.append(ImageNetRecipe(f"{family}_{size}", **values))
    return rows


# 300 epochs at 224 pixels.
_TRAINED = (
    *_rows(
        "poolformer",
        _BASIC,
        top1=(77.2, 80.3, 81.4, 82.1, 82.5),
        drop_path_rate=(0.1, 0.1, 0.2, 0.3, 0.4),
        crop_pct=(0.9, 0.9, 0.9, 0.95, 0.95),
    ),
    *_rows(
        "poolformerv2",
        _BASIC,
        top1=(78.0, 80.7, 81.6, 82.2, 82.6),
        drop_path_rate=(0.1, 0.1, 0.2, 0.3, 0.4),
    ),
    *_rows(
        "identityformer",
        _BASIC,
        top1=(74.6, 78.2, 79.3, 80.0, 80.4),
        drop_path_rate=(0.1, 0.1, 0.2, 0.3, 0.4),
    ),
    *_rows(
        "randformer",
        _BASIC,
        top1=(76.6, 78.2, 79.5, 81.2, 81.4),
        drop_path_rate=(0.1, 0.1, 0.2, 0.3, 0.3),
    ),
    *_rows(
        "convformer",
        _WITH_MLP_HEAD,
        top1=(83.0, 84.1, 84.5, 84.8),
        drop_path_rate=(0.2, 0.3, 0.4, 0.6),
        head_dropout_rate=0.0,
        warmup_epochs=20.0,
    ),
    *_rows(
        "caformer",
        _WITH_MLP_HEAD,
        top1=(83.6, 84.5, 85.2, 85.5),
        drop_path_rate=(0.15, 0.3, 0.4, 0.6),
        head_dropout_rate=(0.0, 0.4, 0.4, 0.5),
        optimizer="lamb",
        learning_rate=8e-3,
        warmup_epochs=20.0,
    ),
)
# 30 epochs at 384 pixels, from the weights of the others.
_FINE_TUNED = (
    *_rows(
        "convformer",
        _WITH_MLP_HEAD,
        top1=(84.4, 85.4, 85.6, 85.7),
        drop_path_rate=(0.3, 0.5, 0.8, 0.8),
        head_dropout_rate=(0.4, 0.4, 0.5, 0.5),
        learning_rate=5e-5,
        warmup_epochs=0.0,
    ),
    *_rows(
        "caformer",
        _WITH_MLP_HEAD,
        top1=(85.0, 85.7, 86.2, 86.4),
        drop_path_rate=(0.3, 0.5, 0.7, 0.8),
        head_dropout_rate=(0.4, 0.4, 0.4, 0.5),
        optimizer="lamb",
        learning_rate=1e-4,
        warmup_epochs=0.0,
    ),
)
TRAINED = {f"{row.variant}_in1k": row for row in _TRAINED}
FINE_TUNED = {f"{row.variant}_in1k_384": row for row in _FINE_TUNED}
