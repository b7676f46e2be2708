"""Labeled images: from files to batches."""
