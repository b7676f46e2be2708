"""Skips this folder without ONNX, OpenVINO or TF Serving's messages: `make test-onnx` has them."""

import importlib.util

LIBRARIES = ("onnx", "onnxruntime", "openvino", "tensorflow_serving", "tf2onnx")
ARE_INSTALLED = all(importlib.util.find_spec(library) is not None for library in LIBRARIES)
collect_ignore_glob = [] if ARE_INSTALLED else ["test_*.py"]
