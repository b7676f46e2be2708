"""Makes Keras know this package's classes, so that `keras.saving.load_model` can build them.

They are registered as soon as both packages are imported, whichever comes first, and this
package still imports no Keras of its own accord.
"""

import importlib
import importlib.abc
import importlib.util
import sys

MODULE = "keras_poolformer.models.classifier"


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Leaves it to the other finders to find Keras, and imports the classes after it."""

    def find_spec(self, fullname, path=None, target=None):
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

        def execute_and_register(module):
            execute(module)
            if not _importing_ourselves():
                importlib.import_module(MODULE)

        spec.loader.exec_module = execute_and_register
        return spec


def _importing_ourselves():
    """Whether Keras is imported by a module of this package, which `MODULE` may need itself."""
    ours = [module for name, module in sys.modules.items() if name.startswith("keras_poolformer.")]
    return any(getattr(module.__spec__, "_initializing", False) for module in ours)


def register_with_keras() -> None:
    """Registers the classes now if Keras is imported, and otherwise when it is."""
    if sys.modules.get("keras"):
        importlib.import_module(MODULE)
    else:
        sys.meta_path.insert(0, _AfterKeras())
