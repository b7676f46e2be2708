"""What `keras-poolformer benchmark` does: .tflite files side by side, in two tables or JSON.

The JSON is {"litert": version, "architecture", "cores": those this process may use, "runs":
timed calls of each, "files": the fields of one `Benchmark` for each file, in order}.
"""

import platform

from keras_poolformer.commands.arguments import add_command, positive
from keras_poolformer.support.messages import json_text
from keras_poolformer.support.progress import Progress

MEGABYTE = 1_000_000
SHOWN_OPERATORS = 6
NAMES = ("file", "outside XNNPACK")
FILE_COLUMNS = (
    "file",
    "MB",
    "peak memory MB",
    "images/s",
    "operators",
    "partitions",
    "outside XNNPACK",
)
LATENCY_COLUMNS = ("file", "threads", "min ms", "p50 ms", "p90 ms", "p99 ms", "speed")


def add_parser(group):
    """Adds the subcommand."""
    command = add_command(
        group,
        "benchmark",
        benchmark,
        "measure latency, throughput and memory of .tflite files",
        "benchmark s12_fp32.tflite s12_int8.tflite --threads 1,4",
    )
    command.add_argument(
        "files", metavar="FILE", nargs="+", help=".tflite files of any origin that take one image"
    )
    command.add_argument(
        "--threads",
        type=_thread_counts,
        metavar="N,N",
        help="numbers of threads to measure latency with (default: 1 and the number of cores)",
    )
    command.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="number of interpreters that share the images when throughput is measured "
        "(default: the number of cores)",
    )
    command.add_argument(
        "--runs",
        type=positive,
        default=50,
        metavar="N",
        help="number of timed calls for each file and number of threads (default: %(default)s)",
    )
    command.add_argument("--json", action="store_true", help="print the results as JSON")


def benchmark(options):
    """Measures .tflite files."""
    from keras_poolformer.runtime.benchmark.latency import benchmark_files

    count = len(options.files)
    progress = Progress([f"measuring {count} file{'s' if count > 1 else ''}"])
    progress.start()
    results = benchmark_files(
        options.files, options.threads, options.workers, options.runs, progress.advance
    )
    progress.finish()
    machine = _machine()
    if options.json:
        files = [result.to_dict() for result in results]
        print(json_text(machine | {"runs": options.runs, "files": files}))
        return
    print(
        "LiteRT {litert} on {architecture}, {cores} cores; ".format(**machine)
        + f"{options.runs} calls each; images/s: {results[0].workers} workers of one thread"
    )
    print()
    _print_table(FILE_COLUMNS, [_file_row(result) for result in results])
    print()
    rows = [_latency_row(result, one) for result in results for one in result.latencies]
    _print_table(LATENCY_COLUMNS, rows)


def _machine():
    """What the numbers hold for."""
    from keras_poolformer.runtime.benchmark.latency import available_cores
    from keras_poolformer.runtime.interpreters import litert_version

    return {
        "litert": litert_version(),
        "architecture": platform.machine(),
        "cores": available_cores(),
    }


def _file_row(result):
    peak = result.peak_memory_bytes
    return (
        result.path,
        f"{result.file_bytes / MEGABYTE:.1f}",
        "unknown" if peak is None else f"{peak / MEGABYTE:.1f}",
        f"{result.images_per_second:.1f}",
        f"{sum(result.operators.values()):,}",
        f"{result.partitions}",
        _operator_list(result.outside_xnnpack),
    )


def _operator_list(counts):
    """The most frequent operators in words."""
    shown = [f"{count} {name}" for name, count in list(counts.items())[:SHOWN_OPERATORS]]
    rest = sum(counts.values()) - sum(list(counts.values())[:SHOWN_OPERATORS])
    return ", ".join([*shown, f"{rest} more"] if rest else shown) or "none"


def _latency_row(result, latency):
    times = (latency.min_ms, latency.p50_ms, latency.p90_ms, latency.p99_ms)
    speed = f"{latency.relative_speed:.2f}x"
    return (result.path, f"{latency.threads}", *(f"{time:.2f}" for time in times), speed)


def _print_table(columns, rows):
    """Prints rows under their columns: names to the left, numbers to the right."""
    lines = [columns, *rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.ljust(width) if column in NAMES else cell.rjust(width)
            for column, cell, width in zip(columns, line, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _thread_counts(text):
    return [positive(count) for count in text.split(",")]
