"""`keras-poolformer benchmark`: .tflite files side by side, in two tables or as JSON.

The JSON is {"litert": version, "architecture": ..., "cores": number that this process may use,
"runs": number of timed calls, "files": the fields of `Benchmark` for each file, in order}.
"""

import argparse
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_poolformer.commands.arguments import CommandGroup, add_command, positive
from keras_poolformer.support.messages import json_text
from keras_poolformer.support.progress import Progress

if TYPE_CHECKING:
    from keras_poolformer.runtime.benchmark.latency import Benchmark, Latency

MEGABYTE = 1_000_000  # bytes
SHOWN_OPERATORS = 6  # kinds
TEXT_COLUMNS = ("file", "outside XNNPACK")  # aligned to the left
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


def add_parser(group: CommandGroup) -> None:
    """Adds the subcommand."""
    command = add_command(
        group,
        "benchmark",
        benchmark,
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


def benchmark(options: argparse.Namespace) -> None:
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
        + f"{options.runs} calls each; images/s with {results[0].workers} workers of one thread"
    )
    print()
    _print_table(FILE_COLUMNS, [_file_row(result) for result in results])
    print()
    rows = [_latency_row(result, latency) for result in results for latency in result.latencies]
    _print_table(LATENCY_COLUMNS, rows)


def _machine() -> dict[str, Any]:
    """The machine that the numbers are from."""
    from keras_poolformer.runtime.benchmark.latency import available_cores
    from keras_poolformer.runtime.interpreters import litert_version

    return {
        "litert": litert_version(),
        "architecture": platform.machine(),
        "cores": available_cores(),
    }


def _file_row(result: "Benchmark") -> tuple[str, ...]:
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


def _operator_list(counts: dict[str, int]) -> str:
    """The most frequent operators as text."""
    frequent = dict(list(counts.items())[:SHOWN_OPERATORS])
    words = [f"{count} {name}" for name, count in frequent.items()]
    rest = sum(counts.values()) - sum(frequent.values())
    if rest:
        words.append(f"{rest} more")
    return ", ".join(words) or "none"


def _latency_row(result: "Benchmark", latency: "Latency") -> tuple[str, ...]:
    times = (latency.min_ms, latency.p50_ms, latency.p90_ms, latency.p99_ms)
    speed = f"{latency.relative_speed:.2f}x"
    return (result.path, f"{latency.threads}", *(f"{time:.2f}" for time in times), speed)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints rows under their columns: text aligned to the left, numbers to the right."""
    lines = [columns, *rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.ljust(width) if column in TEXT_COLUMNS else cell.rjust(width)
            for column, cell, width in zip(columns, line, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _thread_counts(text: str) -> list[int]:
    return [positive(count) for count in text.split(",")]
