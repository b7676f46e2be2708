"""Names that a package offers without importing the modules that they are in."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from keras_poolformer.support.errors import missing_extra_named
from keras_poolformer.support.garbage import collection_paused


def lazy_names(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns the `__getattr__` and `__dir__` of a package.

    Args:
        package: Name of the package, its `__name__`.
        modules: {public name: module of the package that defines it}.
    """

    def __getattr__(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with missing_extra_named(), collection_paused():
            module = importlib.import_module(f"{package}.{modules[name]}")
        value = getattr(module, name)
        setattr(sys.modules[package], name, value)  # found directly from now on
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return __getattr__, __dir__
