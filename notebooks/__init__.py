"""Notebooks, and what runs and strips them: `python -m notebooks` (or `make notebooks`)."""
