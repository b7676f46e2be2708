"""Errors, messages, files and progress, which every room uses; no model is known here."""
