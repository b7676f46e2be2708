"""Images with a class or a mask each: from folders, data sets and records to batches."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_poolformer.support.lazy import lazy_names

if TYPE_CHECKING:
    from keras_poolformer.data.splits.opening import open_masked_splits, open_splits
    from keras_poolformer.data.splits.record_writer import write_records

__all__ = ["open_masked_splits", "open_splits", "write_records"]

__getattr__: Callable[[str], Any]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "open_masked_splits": "splits.opening",
        "open_splits": "splits.opening",
        "write_records": "splits.record_writer",
    },
)
