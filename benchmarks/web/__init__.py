"""LiteRT.js next to onnxruntime-web, in one Chromium."""
