"""What is written as a SavedModel, and what is said about it."""

import logging

import tensorflow as tf

from keras_poolformer.export.graphs import save_graphs


def test_nothing_is_said_in_a_notebook(tmp_path, monkeypatch):
    said, logger = [], tf.get_logger()
    handler = logging.Handler()
    handler.emit = said.append
    monkeypatch.setattr(logger, "handlers", [handler])
    logger.setLevel(logging.INFO)  # as TensorFlow itself does in notebooks
    try:
        spec = tf.TensorSpec((1,), tf.float32, "images")
        save_graphs(tmp_path / "saved", [], [("double", lambda images: {"y": 2 * images}, spec)])
        assert logger.level == logging.INFO
    finally:
        logger.setLevel(logging.WARNING)
    assert [record.getMessage() for record in said] == []
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    assert served(images=tf.constant([3.0]))["y"].numpy() == 6
