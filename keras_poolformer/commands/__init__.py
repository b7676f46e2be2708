"""One module for each subcommand: its parser and its handler.

Heavy imports are inside the handlers, and the program imports only the modules of the subcommands
that it was given, so that --help is instant.
"""

# {name of a subcommand and of its module: what it does, as an imperative phrase}, in the order of
# --help.
COMMANDS = {
    "presets": "list the named weights",
    "summary": "show an architecture and its cost: parameters, MACs, activations",
    "convert": "turn a PyTorch checkpoint into a .keras file, or a model into weights for PyTorch; "
    "PyTorch is not needed",
    "predict": "classify images, or segment them: overlays, and each class's share of the pixels",
    "explain": "show which parts of an image speak for a class (Grad-CAM)",
    "evaluate": "measure top-1 and top-5 accuracy, or mIoU of a segmenter, in percent, on class "
    "folders, images with masks, records or a data set of tensorflow-datasets",
    "train": "train a model; rerun the same command to resume where it was interrupted",
    "prepare": "write a folder of images or a tfds data set as TFRecords, to train from",
    "export": "write a .tflite file or a SavedModel",
    "benchmark": "measure latency, throughput and memory of .tflite files",
    "card": "write a model as a hub repository: Keras, PyTorch, TFLite, labels and model card",
}
