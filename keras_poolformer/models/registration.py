"""Registers this package's classes with Keras, so that `keras.saving.load_model` can build them.

They are registered as soon as both packages are imported, whichever comes first. This package
does not import Keras for it.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

MODULES = ("keras_poolformer.models.classifier", "keras_poolformer.models.segmenter")


class _AfterKeras:
    """A finder of modules that lets the others find Keras, and imports the classes after it."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            if not _importing_ourselves():
                import_classes()

        spec.loader.exec_module = execute_and_register
        return spec


def import_classes() -> None:
    """Imports the classes of all models, which registers them."""
    for module in MODULES:
        importlib.import_module(module)


def _importing_ourselves() -> bool:
    """Whether a module of this package, which `MODULES` may need, is importing Keras."""
    ours = [module for name, module in sys.modules.items() if name.startswith("keras_poolformer.")]
    return any(getattr(module.__spec__, "_initializing", False) for module in ours)


def register_with_keras() -> None:
    """Registers the classes now if Keras is imported, and otherwise when it is."""
    if sys.modules.get("keras"):
        import_classes()
    else:
        sys.meta_path.insert(0, _AfterKeras())
