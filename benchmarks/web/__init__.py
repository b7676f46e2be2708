"""LiteRT.js beside onnxruntime-web, in one Chromium."""
