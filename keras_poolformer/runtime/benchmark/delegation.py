"""Finds which operators of a loaded graph run in XNNPACK and which in LiteRT's own kernels.

LiteRT lists the operators of the file and, behind them, one DELEGATE for each partition that
XNNPACK took; it does not say which operators a partition replaced. The tensors do: a partition
is everything between the tensors that its DELEGATE reads and those that it writes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

Node: TypeAlias = Mapping[str, Any]  # an entry of `Interpreter._get_ops_details()`

DELEGATE = "DELEGATE"


def count_partitions(nodes: Iterable[Node]) -> int:
    """Returns into how many partitions XNNPACK took the graph.

    Args:
        nodes: Nodes of a graph, as `Interpreter._get_ops_details()` lists them.
    """
    return sum(node["op_name"] == DELEGATE for node in nodes)


def operators_outside(nodes: Sequence[Node]) -> list[str]:
    """Returns the names of the operators that no DELEGATE replaced, with repetition.

    An operator whose result is never read counts as outside, even if a partition contains it.

    Args:
        nodes: Nodes of a graph, as `Interpreter._get_ops_details()` lists them.
    """
    operators = [node for node in nodes if node["op_name"] != DELEGATE]
    producers = {int(tensor): node for node in operators for tensor in node["outputs"]}
    replaced: set[int] = set()
    for node in nodes:
        if node["op_name"] == DELEGATE:
            replaced |= _between(node["inputs"], node["outputs"], producers)
    return [node["op_name"] for node in operators if node["index"] not in replaced]


def _between(
    inputs: Iterable[int], outputs: Iterable[int], producers: Mapping[int, Node]
) -> set[int]:
    """The indices of the operators that compute the tensors `outputs` from the tensors `inputs`."""
    found: set[int] = set()
    given = {int(tensor) for tensor in inputs}
    waiting = list(outputs)
    while waiting:
        tensor = int(waiting.pop())
        producer = None if tensor in given else producers.get(tensor)
        if producer is not None and producer["index"] not in found:
            found.add(producer["index"])
            waiting.extend(producer["inputs"])
    return found
