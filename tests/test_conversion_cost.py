"""What converting the largest variant costs; `make test-slow` prints it."""

import resource
import subprocess
import sys
import time

import pytest

from keras_poolformer import PoolFormerConfig

torch = pytest.importorskip("torch")
oracles = pytest.importorskip("conversion.oracles")

CONVERT = "import sys; from keras_poolformer.cli import main; sys.exit(main())"


@pytest.mark.slow
def test_converting_m48_stays_within_3_gb(tmp_path):
    config = PoolFormerConfig.from_variant("poolformer_m48")
    state = oracles.build_oracle(config, "hf").module.state_dict()
    path = tmp_path / "poolformer_m48.pth.tar"
    torch.save({oracles.sail_name(name): tensor for name, tensor in state.items()}, path)
    arguments = ["convert", path, "-o", tmp_path / "poolformer_m48.keras"]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", CONVERT, *map(str, arguments)], check=True)
    seconds = time.perf_counter() - start
    gigabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    print(f"converting poolformer_m48 took {seconds:.0f} s and {gigabytes:.2f} GB")
    assert gigabytes < 3
