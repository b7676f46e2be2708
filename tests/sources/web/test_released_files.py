"""Presets whose file is missing: downloaded once, checked ever after."""

import hashlib
import io

import pytest

from keras_poolformer import ImageTransform, PoolFormerImageClassifier
from keras_poolformer.cli import main
from keras_poolformer.shipped import ASSETS
from keras_poolformer.sources import presets, resolve
from keras_poolformer.support.errors import InputError
from keras_poolformer.variants import VARIANTS
from tests.helpers import TOLERANCE, randomized_module, relative_error

torch = pytest.importorskip("torch")

PRESET, NAME = "poolformer_s12", "/v1.0/poolformer_s12.pth.tar"
PHOTO = ASSETS / "photos/chelsea.jpg"


@pytest.fixture
def release(site, web_file, tiny_config, images, monkeypatch, tmp_path):
    """A tiny network as if it were the authors' s12: (its `File`, its logits, its place)."""
    from conversion.oracles import build_oracle, sail_name

    config = tiny_config.replace(num_classes=1000)
    oracle = build_oracle(config, "hf")
    randomized_module(oracle.module)
    buffer = io.BytesIO()
    state = {sail_name(name): value for name, value in oracle.module.state_dict().items()}
    torch.save(state, buffer)
    file = site.files[NAME] = web_file(buffer.getvalue())
    monkeypatch.setitem(VARIANTS, PRESET, config)
    monkeypatch.setattr(presets, "RELEASE", f"{site.url}/v1.0")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    yield file, oracle.run(images)["logits"], tmp_path / "keras/models/keras_poolformer"


def test_downloaded_once(release, site, images, capfd):
    file, logits, folder = release
    file.cut = [file_half := len(file.data) // 2]
    model = PoolFormerImageClassifier.from_preset(PRESET)
    assert file_half > 0 and relative_error(model(images), logits) <= TOLERANCE
    assert model.config.labels[1].startswith("goldfish")
    assert model.provenance["sha256"] == hashlib.sha256(file.data).hexdigest()
    assert capfd.readouterr().err == f"[1/1] downloading {site.url}{NAME}\n"
    again = PoolFormerImageClassifier.from_preset(f"{PRESET}_in1k")
    assert relative_error(again(images), logits) <= TOLERANCE
    assert site.asked() == [NAME, NAME]
    assert (folder / "poolformer_s12.pth.tar.sha256").exists()


def test_a_checksum_that_the_user_gives(release):
    sha256 = hashlib.sha256(release[0].data).hexdigest()
    with pytest.raises(InputError, match=f"expected the sha256 {'0' * 64}. Received: {sha256}"):
        resolve(PRESET).read(sha256="0" * 64)
    assert resolve(PRESET).read(sha256=sha256).named is not None


def test_what_is_known_without_weights(release, site, capfd):
    PoolFormerImageClassifier.from_preset(PRESET, load_weights=False)
    ImageTransform.from_preset(PRESET)
    assert main(["presets"]) == main(["summary", PRESET]) == 0
    assert site.requests == []


def test_predict_shows_the_download(release, site, capfd):
    assert main(["predict", PRESET, str(PHOTO)]) == 0
    printed = capfd.readouterr()
    assert printed.err.splitlines() == [
        f"[1/2] loading {PRESET}",
        f"[1/1] downloading {site.url}{NAME}",
        "[2/2] working through 1 images",
    ]
    assert printed.out.startswith(str(PHOTO))


@pytest.mark.parametrize("by_hand", [False, True])
def test_the_first_checksum_holds(by_hand, release):
    """Of a download and of a file that was placed by hand."""
    file, _, folder = release
    weights = folder / "poolformer_s12.pth.tar"
    if by_hand:
        folder.mkdir(parents=True)
        weights.write_bytes(file.data)
    PoolFormerImageClassifier.from_preset(PRESET)
    damaged = file.data[:-1] + bytes([file.data[-1] ^ 1])
    weights.write_bytes(damaged)
    sums = [hashlib.sha256(data).hexdigest() for data in (file.data, damaged)]
    with pytest.raises(InputError) as caught:
        PoolFormerImageClassifier.from_preset(PRESET)
    assert all(one in str(caught.value) for one in sums)
    assert str(caught.value).endswith(f"to download it again, delete {weights}")
    weights.unlink()
    PoolFormerImageClassifier.from_preset(PRESET)


@pytest.mark.parametrize("command", ["convert", "export", "predict", "evaluate"])
def test_a_download_that_fails_is_one_line(command, release, site, tmp_path, capfd):
    site.files.clear()
    (tmp_path / "data/cat").mkdir(parents=True)
    (tmp_path / "data/cat/1.jpg").write_bytes(PHOTO.read_bytes())
    rest = {
        "convert": ["-o", tmp_path / "x.keras"],
        "export": ["-o", tmp_path / "x.tflite"],
        "predict": [PHOTO],
        "evaluate": ["--data", tmp_path / "data"],
    }
    assert main([command, PRESET, *map(str, rest[command])]) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line[0] != "["]
    assert lines == [
        f"keras-poolformer {command}: error: {site.url}{NAME} cannot be downloaded: HTTP 404 "
        f"Not Found; with a browser or another machine, put the file at "
        f"{release[2] / 'poolformer_s12.pth.tar'}"
    ]
    assert not list(tmp_path.glob("x.*"))
