"""Class folders: what is listed, how it is labeled, and what is refused."""

import os

import numpy as np
import pytest
from PIL import Image

from keras_poolformer.data.folders import find_class_folders, label_images, read_batches, spread
from keras_poolformer.support.errors import ImageError, InputError

LABELS = ("cat", "dog", "owl")


@pytest.fixture
def root(tmp_path):
    """A folder of empty files: listing opens none."""

    def root(*names):
        for name in names:
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if name.endswith("/") else path.touch()
        return tmp_path / "data"

    return root


def labeled(root, labels=LABELS, num_classes=3):
    examples = label_images(find_class_folders(root), labels, num_classes)
    return [(path.relative_to(root).as_posix(), index) for path, index in examples]


# ---------------------------------------------------------------------------------------
# What is listed


def test_images_are_sorted_and_labelled(root):
    folder = root("owl/b.png", "owl/a.JPEG", "cat/10.jpg", "cat/9.webp")
    assert labeled(folder) == [
        ("cat/10.jpg", 0),
        ("cat/9.webp", 0),
        ("owl/a.JPEG", 2),
        ("owl/b.png", 2),
    ]


def test_hidden_names_and_other_files_are_ignored(root):
    folder = root("cat/1.png", "cat/.2.png", "cat/notes.txt", "cat/.thumbs/3.png", ".git/4.png")
    root("README.md", ".5.png")
    assert labeled(folder) == [("cat/1.png", 0)]


def test_every_suffix_that_pillow_reads_counts(root):
    names = ["a.avif", "b.jfif", "c.jp2", "d.jpe", "e.mpo", "f.pgm", "g.qoi", "h.tga", "i.TIFF"]
    folder = root(*(f"cat/{name}" for name in names), "cat/x.h5", "cat/x.eps", "cat/x.mpg")
    assert [name for name, _ in labeled(folder)] == [f"cat/{name}" for name in names]


def test_a_file_without_a_suffix_is_known_by_its_header(root):
    folder = root("cat/LICENSE", "cat/1.png")
    Image.new("RGB", (3, 2)).save(folder / "cat" / "photo", "PNG")
    assert labeled(folder) == [("cat/1.png", 0), ("cat/photo", 0)]


def test_what_is_left_out_is_said_in_one_line(root):
    folder = root("cat/1.png", "cat/a.txt", "cat/b.csv", "cat/README", "cat/._1.png", "dog/2.png")
    root(*(f"dog/{number}.json" for number in range(4)))
    os.mkfifo(folder / "dog" / "pipe.png")
    (folder / "dog" / "missing.png").symlink_to(folder / "nothing")
    notes = []
    listed = find_class_folders(folder, notes.append)
    assert [path.name for path in listed["dog"]] == ["2.png", "missing.png"]
    assert notes == [
        f"{folder}: skipped 8 of 11 files (not an image: README; not an image by its suffix: "
        "a.txt, b.csv, 0.json and 3 more; not a regular file: pipe.png)"
    ]


def test_links_are_followed(root, tmp_path):
    folder = root("cat/1.png")
    (folder / "dog").symlink_to(folder / "cat")
    assert labeled(folder) == [("cat/1.png", 0), ("dog/1.png", 1)]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["x/"], None),
        ([], "Received: no such folder"),
        (["a.png", "b.txt"], "Received: 2 files and no folder"),
        ([".git/1.png"], "Received: 0 files and no folder"),
        (["cat/1.png", "dog/"], "dog holds no image files"),
        (["cat/1.png", "dog/.1.png", "dog/1.txt"], "dog holds no image files"),
        (["cat/1.png", "2.png"], "2.png has no class"),
        (["cat/1.png", "cat/more/2.png"], "cat/more must be an image"),
        (["cat/1.png", "cat/2.png/"], "2.png must be an image"),
    ],
)
def test_unusable_folders_are_refused(root, names, message):
    with pytest.raises(InputError, match=message) as raised:
        find_class_folders(root(*names))
    assert "\n" not in str(raised.value)


def test_a_file_is_refused(root):
    with pytest.raises(InputError, match=r"folder of class folders. Received: a file"):
        find_class_folders(root("cat/1.png") / "cat/1.png")


# ---------------------------------------------------------------------------------------
# How it is labeled


@pytest.mark.parametrize("labels", [None, (), LABELS])
def test_folders_are_named_by_class_number(root, labels):
    folder = root("2/a.png", "0/b.png", "01/c.png")
    assert labeled(folder, labels) == [("0/b.png", 0), ("01/c.png", 1), ("2/a.png", 2)]


def test_labels_that_look_like_numbers_are_labels(root):
    folder = root("2/a.png", "0/b.png")
    assert labeled(folder, ("2", "1", "0")) == [("0/b.png", 2), ("2/a.png", 0)]


def test_a_label_that_two_classes_have_needs_numbers(root):
    labels, folder = ("crane", "dog", "crane"), root("dog/a.png")
    assert labeled(folder, labels) == [("dog/a.png", 1)]
    root("crane/b.png")
    with pytest.raises(InputError, match=r"2 classes .* label 'crane'; .* number, 0 to 2"):
        labeled(folder, labels)


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("Cat", LABELS, r"\(cat, dog, owl\).*Received: 'Cat'. Did you mean 'cat'\?"),
        ("cat ", LABELS, "Received: 'cat '"),
        ("n01440764", LABELS, "or all by class number, 0 to 2. Received: 'n01440764'.$"),
        ("3", LABELS, "0 to 2: the model has 3 classes. Received: '3'"),
        ("3", None, "0 to 2: the model has no labels and 3 classes. Received: '3'"),
        ("cat", None, "named by class number, 0 to 2.*no labels.*Received: 'cat'"),
        ("-1", None, "Received: '-1'"),
        ("1.0", None, "Received: '1.0'"),
        ("²", None, "Received: '²'"),
        ("٣", None, "Received: '٣'"),
        ("9" * 200, None, "Received: '999"),
    ],
)
def test_folders_that_are_no_class_are_refused(root, name, labels, message):
    with pytest.raises(InputError, match=message):
        labeled(root(f"{name}/a.png"), labels)


def test_labels_and_numbers_do_not_mix(root):
    with pytest.raises(InputError, match="Received: '1'"):
        labeled(root("cat/a.png", "1/b.png"))


def test_many_labels_are_not_all_shown(root):
    with pytest.raises(InputError, match=r"\(class 0 ... class 999\)"):
        labeled(root("x/a.png"), [f"class {i}" for i in range(1000)], 1000)


# ---------------------------------------------------------------------------------------
# Which are read


def test_a_limit_takes_the_same_share_of_every_class():
    examples = [(f"{index}/{image}", index) for index in range(4) for image in range(25)]
    taken = spread(examples, 20)
    assert [index for _, index in taken] == sorted([0, 1, 2, 3] * 5)
    assert len(set(taken)) == 20
    assert spread(examples, None) == spread(examples, 100) == spread(examples, 101) == examples
    assert spread(examples, 1) == examples[:1]


EXAMPLES = [(f"{index}.png", index) for index in range(7)]


def prepare(path):
    number = int(path.removesuffix(".png"))
    if number in (2, 6):
        raise ImageError(f"{path} is broken")
    return np.full((2, 2), number)


def test_batches_are_full_but_the_last():
    batches = list(read_batches(EXAMPLES, lambda path: np.array([ord(path[0])]), 3))
    assert [indices.tolist() for _, indices in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [arrays[:, 0].tolist() for arrays, _ in batches] == [[48, 49, 50], [51, 52, 53], [54]]


def test_images_are_read_when_they_are_asked_for():
    batches = read_batches(EXAMPLES, prepare, 2)
    assert next(batches)[1].tolist() == [0, 1]
    with pytest.raises(InputError, match=r"2.png is broken"):
        next(batches)


def test_broken_images_are_left_out_if_asked():
    broken = []
    batches = list(read_batches(EXAMPLES, prepare, 2, lambda *one: broken.append(one)))
    assert [indices.tolist() for _, indices in batches] == [[0, 1], [3, 4], [5]]
    assert all((arrays[:, 0, 0] == indices).all() for arrays, indices in batches)
    assert [(path, str(error)) for path, error in broken] == [
        ("2.png", "2.png is broken"),
        ("6.png", "6.png is broken"),
    ]
