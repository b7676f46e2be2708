"""Labelled images from outside."""
