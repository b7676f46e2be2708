"""What is said where KerasHub is not installed."""

import importlib.util

from keras_poolformer.support.errors import require_packages

# What `import keras_hub` imports, and an installation without dependencies lacks.
_IMPORTED = ("absl", "keras", "packaging", "regex", "rich")


def require_keras_hub() -> None:
    """Raises an error of one line unless KerasHub can be imported.

    Raises:
        ImportError: KerasHub is missing.
        MissingExtraError: What it imports is missing.
    """
    if importlib.util.find_spec("keras_hub") is None:
        raise ImportError(
            "keras_hub is not installed: `pip install --no-deps keras-hub` and `pip install "
            "'keras-poolformer[hub]'` install it and what it imports, without TensorFlow Text",
            name="keras_hub",
        )
    require_packages(dict.fromkeys(_IMPORTED, "hub"))
