"""Where the time of an int8 file goes: prints a table of docs/quantization.md.

    python -m benchmarks.operators build/bench/ours-int8.tflite build/bench/floor-int8.tflite

Runs each operator as a file of its own, on one thread, with random numbers. XNNPACK runs the same
ones as in the whole file.
"""

import argparse
import copy
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from benchmarks.readme import markdown_table
from keras_poolformer.cli import one_line_errors
from keras_poolformer.export.tflite_graph import builtin_code, read_graph, write_graph

NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


def alone(model, operator):
    """The flatbuffer of one operator of a model, with its constants."""
    graph, part = schema.SubGraphT(), copy.copy(model)
    original = model.subgraphs[0]
    tensors, inputs, buffers = [], [], [schema.BufferT()]
    graph.tensors, part.buffers, part.subgraphs = tensors, buffers, [graph]
    part.metadata, part.signatureDefs = None, None
    numbers = {-1: -1}

    def number(index, is_input):
        if index not in numbers:
            tensor = copy.copy(original.tensors[index])
            data = model.buffers[tensor.buffer].data
            has_data = data is not None and len(data) > 0
            tensor.buffer = len(buffers) if has_data else 0
            if has_data:
                buffers.append(model.buffers[original.tensors[index].buffer])
            elif is_input:
                inputs.append(len(tensors))
            numbers[index] = len(tensors)
            tensors.append(tensor)
        return numbers[index]

    operator = copy.copy(operator)
    operator.inputs = np.int32([number(int(index), True) for index in operator.inputs])
    operator.outputs = np.int32([number(int(index), False) for index in operator.outputs])
    graph.inputs, graph.outputs = np.int32(inputs), operator.outputs
    graph.operators = [operator]
    return write_graph(part)


def shortest(content, repeats):
    """Seconds of CPU time of a file's shortest run."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    random = np.random.default_rng(0)
    for details in interpreter.get_input_details():
        limits = np.iinfo(details["dtype"])
        values = random.integers(limits.min, limits.max, details["shape"], endpoint=True)
        interpreter.set_tensor(details["index"], values.astype(details["dtype"]))
    seconds = []
    for _ in range(1 + repeats):
        start = time.thread_time()
        interpreter.invoke()
        seconds.append(time.thread_time() - start)
    return min(seconds[1:])


def measure(path, repeats):
    """({operator: how many}, {operator: microseconds}) of an int8 file."""
    model = read_graph(Path(path).read_bytes())
    counts, microseconds = Counter(), Counter()
    for operator in model.subgraphs[0].operators:
        name = NAMES[builtin_code(model, operator)]
        counts[name] += 1
        microseconds[name] += 1e6 * shortest(alone(model, operator), repeats)
    return counts, microseconds


def run(options):
    """Prints the table."""
    measured = [measure(path, options.repeats) for path in options.files]
    total = sum((microseconds for _, microseconds in measured), Counter())
    rows = [_row(name, measured, lambda counter, name=name: counter[name]) for name in total]
    rows.sort(key=lambda row: -sum(map(int, row[2::2])))
    rows.append(_row("total", measured, Counter.total))
    files = [Path(path).stem for path in options.files]
    header = [cell for name in files for cell in (f"{name}: number", "microseconds")]
    print(markdown_table(["operator", *header], rows), end="")


def _row(name, measured, value):
    """A row of the table: for each file the number of operators and their microseconds."""
    return [name, *(f"{value(counter):.0f}" for pair in measured for counter in pair)]


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help="int8 .tflite file")
    parser.add_argument("--repeats", type=int, default=30, help="runs of each operator (30)")
    return one_line_errors("operators", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
