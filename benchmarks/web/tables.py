"""Prints what was measured in the browser."""

from benchmarks.readme import markdown_table


def markdown(results):
    """Returns both networks' tables as Markdown, for docs/web.md."""
    machine, versions = results["machine"], results["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    first = results["first_result_ms"]
    text = (
        f"Milliseconds an image, one at a time, in headless Chromium on {machine['cpu']}, "
        f"{machine['cores']} cores; medians of {results['rounds']} interleaved rounds of "
        f'{results["calls"]} calls. "error" is the relative L2 distance of the logits from '
        f"Keras, on randomized weights; {packages}.\n"
    )
    for network in results["networks"]:
        text += f"\n{network['name']}, {network['size']} pixels:\n\n{_contestants(network)}"
        text += f"\n{_pairs(network)}"
    return text + (
        f"\nFrom the model's arrival to the first answer the page took {first['median']:.0f} ms "
        f"(median; at most {first['most']:.0f})."
        "\n"
    )


def _contestants(network):
    header = ["engine-arithmetic-threads", "MB", "error", "ms", "95 % interval"]
    rows = [
        [row["name"], f"{row['bytes'] / 1e6:.2f}", f"{row['error']:.1e}", *_estimate(row["ms"])]
        for row in sorted(network["contestants"], key=lambda row: row["ms"]["value"])
    ]
    return markdown_table(header, rows)


def _pairs(network):
    header = ["ours", "peer", "ours / peer", "95 % interval"]
    rows = [[pair["ours"], pair["peer"], *_estimate(pair["ratio"])] for pair in network["pairs"]]
    return markdown_table(header, rows)


def _estimate(estimate):
    return f"{estimate['value']:.2f}", f"{estimate['low']:.2f} to {estimate['high']:.2f}"
