"""How the authors train their released weights on ImageNet-1k, as rows: what differs between them.

Sources: README and train.py of sail-sg/poolformer, and scripts/ of sail-sg/metaformer (64c534a), by
the names of its files, since those of caformer_b36 and of two fine-tunings call another model.
"""

from typing import Any, NamedTuple

from keras_poolformer.sources.released import RELEASES, Release


class ImageNetRecipe(NamedTuple):
    """What the recipe of released weights has of its own; `recipes` has the rest.

    Args:
        release: The weights that it leads to.
        optimizer: Field of the recipe.
        learning_rate: Field of the recipe.
        warmup_epochs: Field of the recipe.
        drop_path_rate: Field of the config; None for that of the variant.
        head_dropout_rate: Field of the config.
    """

    release: Release
    optimizer: str = "adamw"
    learning_rate: float = 4e-3
    warmup_epochs: float = 5.0
    drop_path_rate: float | None = None
    head_dropout_rate: float = 0.0

    @property
    def regularization(self) -> dict[str, float]:
        """The fields of the config that the recipe sets."""
        rates = {"head_dropout_rate": self.head_dropout_rate}
        if self.drop_path_rate is not None:
            rates["drop_path_rate"] = self.drop_path_rate
        return rates


_BASIC = ("s12", "s24", "s36", "m36", "m48")
_STRONG = ("s18", "s36", "m36", "b36")


def _rows(name: str, sizes: tuple[str, ...], **columns: Any) -> dict[str, ImageNetRecipe]:
    """The rows of a family: a tuple has a value for each size, anything else is for all."""
    rows: dict[str, ImageNetRecipe] = {}
    for index, size in enumerate(sizes):
        values = {
            field: column[index] if isinstance(column, tuple) else column
            for field, column in columns.items()
        }
        rows[name.format(size)] = ImageNetRecipe(RELEASES[name.format(size)], **values)
    return rows


# 300 epochs at 224 pixels.
TRAINED = {
    **_rows("poolformer_{}_in1k", _BASIC),
    **_rows("poolformerv2_{}_in1k", _BASIC),
    **_rows("identityformer_{}_in1k", _BASIC),
    **_rows("randformer_{}_in1k", _BASIC),
    **_rows("convformer_{}_in1k", _STRONG, warmup_epochs=20.0),
    **_rows(
        "caformer_{}_in1k",
        _STRONG,
        optimizer="lamb",
        learning_rate=8e-3,
        warmup_epochs=20.0,
        head_dropout_rate=(0.0, 0.4, 0.4, 0.5),
    ),
}
# 30 epochs at 384 pixels, from the weights of the others.
FINE_TUNED = {
    **_rows(
        "convformer_{}_in1k_384",
        _STRONG,
        learning_rate=5e-5,
        warmup_epochs=0.0,
        drop_path_rate=(0.3, 0.5, 0.8, 0.8),
        head_dropout_rate=(0.4, 0.4, 0.5, 0.5),
    ),
    **_rows(
        "caformer_{}_in1k_384",
        _STRONG,
        optimizer="lamb",
        learning_rate=1e-4,
        warmup_epochs=0.0,
        drop_path_rate=(0.3, 0.5, 0.7, 0.8),
        head_dropout_rate=(0.4, 0.4, 0.4, 0.5),
    ),
}
