"""What the networks of the two papers are called, for cards and exported files."""

from typing import NamedTuple

from keras_poolformer.config import MetaFormerConfig


class Paper(NamedTuple):
    """A paper and the code of its authors.

    Args:
        number: Number on arXiv.
        title: Title.
        code: Address of the code.
    """

    number: str
    title: str
    code: str

    @property
    def address(self) -> str:
        """Address of the abstract."""
        return f"https://arxiv.org/abs/{self.number}"


class Family(NamedTuple):
    """Networks with the same token mixers.

    Args:
        name: Name by the authors.
        mixer: What their token mixer is, as a noun phrase.
        paper: Where they were described.
    """

    name: str
    mixer: str
    paper: Paper


FIRST_PAPER = Paper(
    "2111.11418",
    "MetaFormer Is Actually What You Need for Vision",
    "https://github.com/sail-sg/poolformer",
)
SECOND_PAPER = Paper(
    "2210.13452", "MetaFormer Baselines for Vision", "https://github.com/sail-sg/metaformer"
)
_POOLFORMER = Family("PoolFormer", "average pooling", FIRST_PAPER)
# {token mixers in use: family}
_SECOND_FAMILIES = {
    frozenset({"pooling"}): Family("PoolFormerV2", "average pooling", SECOND_PAPER),
    frozenset({"identity"}): Family("IdentityFormer", "the identity", SECOND_PAPER),
    frozenset({"identity", "random"}): Family(
        "RandFormer", "the identity in the first stages, a fixed random average in the last ones",
        SECOND_PAPER,
    ),
    frozenset({"sep_conv"}): Family("ConvFormer", "separable convolution", SECOND_PAPER),
    frozenset({"sep_conv", "attention"}): Family(
        "CAFormer", "separable convolution in the first stages, attention in the last ones",
        SECOND_PAPER,
    ),
}  # fmt: skip


def family_of(config: MetaFormerConfig) -> Family:
    """Returns the family of a network; a mixture of one's own is a MetaFormer.

    Args:
        config: Architecture of the network.
    """
    mixers = frozenset(config.token_mixers)
    if not config.embedding_norm and mixers == {"pooling"}:
        return _POOLFORMER
    if config.embedding_norm and mixers in _SECOND_FAMILIES:
        return _SECOND_FAMILIES[mixers]
    return Family("MetaFormer", ", then ".join(config.token_mixers), SECOND_PAPER)
