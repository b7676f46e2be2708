"""JSON beside a checkpoint, read and refused."""

import pytest

from keras_poolformer.support.json_files import read_json


def test_read_json(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"a": [1, 2.5, null, "ä"]}', encoding="utf-8", newline="\n")
    assert read_json(path) == {"a": [1, 2.5, None, "ä"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b"[1]", "Received: list"),
        (b"null", "Received: NoneType"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"a": "' + b"x" * 2**21 + b'"}', "bytes"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_read_json_refuses(tmp_path, content, said, refusal):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    assert said in refusal(path, read=read_json, max_bytes=2**21)


def test_read_json_of_no_file(tmp_path, refusal):
    assert "does not exist" in refusal(tmp_path / "config.json", read=read_json)
    assert "not a regular file" in refusal(tmp_path, read=read_json)


@pytest.mark.parametrize("depth", [33, 880, 950, 998])
def test_nesting_that_a_later_reader_would_fail_over(depth, tmp_path, refusal):
    path = tmp_path / "config.json"
    path.write_text('{"a": ' + "[" * depth + "]" * depth + "}", encoding="utf-8", newline="\n")
    assert "nested too deeply" in refusal(path, read=read_json)


def test_more_objects_than_memory_should_hold(tmp_path, refusal):
    path = tmp_path / "config.json"
    path.write_text('{"a": [' + "{}," * 300_000 + "{}]}", encoding="utf-8", newline="\n")
    assert "at most 200,000 lists and objects" in refusal(path, read=read_json)
