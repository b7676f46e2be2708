"""Latency, memory and delegation of .tflite files."""
