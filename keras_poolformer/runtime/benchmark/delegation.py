"""Which operators of a loaded graph XNNPACK took, and which were left to LiteRT's own kernels.

LiteRT lists the operators of the file and, behind them, one DELEGATE for each partition that
XNNPACK took; it does not say which operators a partition replaced. The tensors do: a partition
is everything between the tensors that its DELEGATE reads and those that it writes.
"""

DELEGATE = "DELEGATE"


def count_partitions(nodes):
    """Returns into how many pieces XNNPACK took the graph.

    Args:
        nodes: of a graph, as `Interpreter._get_ops_details()` lists them.
    """
    return sum(node["op_name"] == DELEGATE for node in nodes)


def operators_outside(nodes):
    """Returns the names of the operators that no DELEGATE replaced, with repetition.

    An operator that nobody reads counts as outside, even if a partition holds it.

    Args:
        nodes: of a graph, as `Interpreter._get_ops_details()` lists them.
    """
    operators = [node for node in nodes if node["op_name"] != DELEGATE]
    producers = {int(tensor): node for node in operators for tensor in node["outputs"]}
    replaced = set()
    for node in nodes:
        if node["op_name"] == DELEGATE:
            replaced |= _between(node["inputs"], node["outputs"], producers)
    return [node["op_name"] for node in operators if node["index"] not in replaced]


def _between(inputs, outputs, producers):
    """The indices of the operators that make the tensors `outputs` from the tensors `inputs`."""
    found, waiting, inputs = set(), list(outputs), set(map(int, inputs))
    while waiting:
        tensor = int(waiting.pop())
        producer = None if tensor in inputs else producers.get(tensor)
        if producer is not None and producer["index"] not in found:
            found.add(producer["index"])
            waiting.extend(producer["inputs"])
    return found
