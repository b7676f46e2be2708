"""The one place that names the version (setup.cfg reads it)."""

__version__ = "0.1.0"
"""The version of this package."""
