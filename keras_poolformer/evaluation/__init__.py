"""Accuracy of anything that classifies, on labelled images."""
