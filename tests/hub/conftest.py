"""Skips this folder without KerasHub, which `make test-hub` installs."""

import importlib.util

IS_INSTALLED = importlib.util.find_spec("keras_hub") is not None
collect_ignore_glob = [] if IS_INSTALLED else ["test_*.py"]
