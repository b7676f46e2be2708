"""Prints what a comparison found."""

from benchmarks.readme import markdown_table

DOT_PRODUCTS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
QUIET = 0.25  # cores that others may keep busy; the waiting contestants themselves take up to 0.1


def print_tables(results):
    """Prints machine, latencies, throughput and targets.

    Args:
        results: Results of `compare.compare`.
    """
    _print_machine(results["machine"])
    _print_load(results["busy_cores"])
    print(
        f"\n{results['size']} pixels, {results['rounds']} interleaved rounds of "
        f"{results['calls']} calls; intervals hold the median with {results['coverage']:.1%}"
    )
    print("\nLatency: one image, one thread; error: relative L2 distance from the Keras model")
    _print_latencies(results["contestants"])
    if results["throughput"]:
        print("\nThroughput: two cores, each contestant at its best batch size")
        _print_throughput(results["throughput"])
    if results["targets"]:
        print("\nTargets: a bound applies to the lower end of the ratio's interval")
        _print_targets(results["targets"])


def markdown(results):
    """Returns latencies and throughput as Markdown, for docs/export.md."""
    machine, throughput = results["machine"], {row["name"]: row for row in results["throughput"]}
    header = ["", "MB", "error", "ms", "95 % interval", "to floor", "ms an image, two cores"]
    rows = [
        [
            row["name"],
            f"{row['bytes'] / 1e6:.2f}",
            "" if row["error"] is None else f"{row['error']:.1e}",
            *_milliseconds(row["ms"]),
            "" if row["to_floor"] is None else _ratio(row["to_floor"]),
            f"{throughput[row['name']]['ms']['value']:.2f}" if row["name"] in throughput else "",
        ]
        for row in sorted(results["contestants"], key=lambda row: row["ms"]["value"])
    ]
    return (
        f"{results['size']} pixels, one image, one thread; {results['rounds']} rounds of "
        f'{results["calls"]} calls on {processor(machine)}. "error" is the relative L2 '
        f"distance of the logits from Keras, on randomized weights; the last column is "
        f"throughput at the best batch size.\n\n{markdown_table(header, rows)}"
    )


def processor(machine):
    """Returns the name of a machine's processor, with what makes 8-bit files slow on it."""
    if any(machine["flags"].get(flag) for flag in DOT_PRODUCTS):
        return machine["cpu"]
    return f"{machine['cpu']} (no 8-bit dot products: int8 saves space, not time)"


def _print_machine(machine):
    flags = ", ".join(
        f"{flag} {'yes' if held else 'no'}" for flag, held in machine["flags"].items()
    )
    print(f"{machine['cpu']}, {machine['cores']} cores" + (f"; {flags}" if flags else ""))
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    print(f"Python {machine['python']}, {packages}")


def _print_load(busy):
    """Says what others took of the machine: the throughput of a busy one means nothing."""
    for what, cores in busy.items():
        if cores is not None:
            warning = f" -- NOT QUIET: distrust {what}" if cores > QUIET else ""
            print(f"Busy with other work before {what} was measured: {cores:.2f} cores{warning}")


def _print_latencies(rows):
    _print_row(_LATENCY, "name", "MB", "error", "ms", "interval", "/ floor", "/ best peer")
    for row in sorted(rows, key=lambda row: row["ms"]["value"]):
        _print_row(
            _LATENCY,
            row["name"],
            f"{row['bytes'] / 1e6:.2f}",
            "-" if row["error"] is None else f"{row['error']:.1e}",
            *_milliseconds(row["ms"]),
            _ratio(row["to_floor"]),
            "best peer" if row["best_peer"] else _ratio(row["to_best_peer"]),
        )


def _print_throughput(rows):
    _print_row(_THROUGHPUT, "name", "batch", "ms/image", "interval", "/ best peer")
    for row in sorted(rows, key=lambda row: row["ms"]["value"]):
        _print_row(
            _THROUGHPUT,
            row["name"],
            str(row["batch"]),
            *_milliseconds(row["ms"]),
            "best peer" if row["best_peer"] else _ratio(row["to_best_peer"]),
        )


def _print_targets(rows):
    _print_row(_TARGETS, "target", "measured", "interval", "met or not")
    for row in rows:
        _print_row(_TARGETS, row["target"], *_judgement(row))


def _judgement(row):
    """Ratio, interval and verdict of a target, as text."""
    quotient = row["ratio"]
    if quotient is None:
        return "-", "-", "not measured"
    verdict = "met" if row["met"] else "not met"
    if row["met"] and not row["median_met"]:
        verdict = "met by lower end only"
    return f"{quotient['value']:.3f}", f"{quotient['low']:.3f} to {quotient['high']:.3f}", verdict


def _milliseconds(estimate):
    return f"{estimate['value']:.2f}", f"{estimate['low']:.2f} to {estimate['high']:.2f}"


def _ratio(estimate):
    return "-" if estimate is None else f"{estimate['value']:.3f}"


# Widths of the columns; the first is a name.
_LATENCY = (26, 8, 8, 8, 18, 8, 11)
_THROUGHPUT = (26, 6, 9, 18, 11)
_TARGETS = (58, 9, 16, 21)


def _print_row(widths, name, *cells):
    padded = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
    print(" | ".join((f"{name:<{widths[0]}}", *padded)))
