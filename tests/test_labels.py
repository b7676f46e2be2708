"""What a class name may contain, and files of them."""

import numpy as np
import pytest

from keras_poolformer.labels import checked_labels, read_labels
from keras_poolformer.support.errors import InputError


@pytest.mark.parametrize(
    "label",
    ["", " ", "a\nb", "a\r", "a\u2028b", "a\x85b", "a\fb", "a\vb", "a\x1cb", "\x1b[2J", "a\udce9",
     "x" * 1001],
)  # fmt: skip
def test_a_label_that_moves_others_is_refused(label):
    with pytest.raises(InputError, match="class 1"):
        checked_labels(["cat", label])


@pytest.mark.parametrize("labels", [["tench, Tinca tinca", "猫\u3000", "👩‍🔬"], ["crane", "crane"]])
def test_labels_of_any_language_are_taken(labels):
    assert checked_labels(labels, len(labels)) == tuple(labels)


def test_arrays_of_labels_are_taken():
    labels = checked_labels(np.unique(["b", "a"]))
    assert labels == ("a", "b")
    assert all(type(label) is str for label in labels)


@pytest.mark.parametrize("labels", ["ab", 3, [1, 2], [None], {"a": 1}])
def test_other_things_are_refused(labels):
    with pytest.raises(InputError, match="list of class names"):
        checked_labels(labels)


def test_their_number_is_checked():
    with pytest.raises(InputError, match=r"all 3 classes.*2 labels"):
        checked_labels(["a", "b"], 3)


def test_files_are_read_line_by_line(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffa b\r\nc\n".encode())
    assert read_labels(path) == ("a b", "c")
    path.write_bytes(b"a\n\nc\n")
    with pytest.raises(InputError, match="class 1"):
        read_labels(path)
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="UTF-8"):
        read_labels(path)
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "none")
