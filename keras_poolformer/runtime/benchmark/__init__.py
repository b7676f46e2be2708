"""Speed and memory of exported files, as they run here."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_poolformer.support.lazy import lazy_names

if TYPE_CHECKING:
    from keras_poolformer.runtime.benchmark.latency import benchmark_files

__all__ = ["benchmark_files"]

__getattr__: Callable[[str], Any]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = lazy_names(__name__, {"benchmark_files": "latency"})
