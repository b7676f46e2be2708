"""Labeled images of one split: class folders, tensorflow-datasets, records."""
