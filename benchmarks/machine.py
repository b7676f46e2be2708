"""What a comparison ran on: processor, cores, versions."""

import importlib.metadata
import os
import platform
import time
from pathlib import Path

CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
PACKAGES = (
    "keras-poolformer", "numpy", "keras", "tensorflow-cpu", "tensorflow", "ai-edge-litert",
    "litert-torch", "ai-edge-quantizer", "onnxruntime", "onnx", "tf2onnx", "openvino", "torch",
    "timm", "jax",
)  # fmt: skip


def describe_machine():
    """Returns {"cpu", "cores", "flags": {flag: present}, "python", "packages"}."""
    info = _cpuinfo()
    held = info.get("flags", info.get("Features", "")).split()
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "flags": {flag: flag in held for flag in CPU_FLAGS} if held else {},
        "python": platform.python_version(),
        "packages": _versions(),
    }


def busy_cores(seconds=1.0):
    """How many cores work, on average, while this process sleeps; None where Linux tells not.

    Asked while the contestants wait, it is what other processes take away from them.
    """
    before = _ticks()
    time.sleep(seconds)
    after = _ticks()
    if before is None or after is None:
        return None
    spent = [late - early for early, late in zip(before, after, strict=True)]
    idle = spent[3] + spent[4]  # idle, and waiting for a disk
    return (os.cpu_count() or 1) * (1 - idle / max(sum(spent), 1))


def _ticks():
    """Ticks of all cores since the start: user, nice, system, idle, iowait, irq, softirq, steal."""
    path = Path("/proc/stat")
    if not path.exists():
        return None
    return [int(field) for field in path.read_text(encoding="utf-8").split()[1:9]]


def _cpuinfo():
    """The first processor's fields where Linux tells them, else none."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    fields = (line.partition(":") for line in reversed(lines))
    return {name.strip(): value.strip() for name, _, value in fields}


def _versions():
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
