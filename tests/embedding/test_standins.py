"""Models that are not quite HeAR: fed as they must be, or refused by name; no random weights, no traceback.

The stand-ins are those of a review of the first release, and more of their kinds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from standins import STANDIN_DIMENSION, VIT, save_hear, save_vit

from cryhear import embedding
from cryhear.embedding import hear, hear_pytorch, weights
from cryhear.errors import RepresentationError

SINGLE = "model.safetensors"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SAME = 4e-5
"""Float32 kernels sum in another order in another batch: `test_backends.BATCHING`."""


@pytest.fixture(scope="module")
def plain(hear_folder: Path, clips: np.ndarray) -> np.ndarray:
    return embedding.load("hear", path=hear_folder).embed(clips)


@pytest.mark.parametrize(
    ("how", "batch"),
    [
        ({"rows": 1}, 1),
        ({"rows": 8}, 8),
        ({"rows": 5}, 5),
        ({"wired": 1}, 1),
        ({"wired": 8}, 8),
        ({"wired": 2}, 2),
        ({"wired": 8, "rows": 8}, 8),
        ({"wired": 4, "scaling": "batch"}, 1),
        ({"width": "length"}, hear.BATCH),
        ({"width": "rank"}, hear.BATCH),
        ({"width": "rank", "wired": 8}, 8),
        ({"samples": None}, hear.BATCH),
        ({"more": True}, hear.BATCH),
    ],
    ids=str,
)
def test_a_graph_is_fed_as_it_must_be(how, batch, plain, clips, tmp_path):
    backend = embedding.load("hear", path=save_hear(tmp_path, **how))
    assert (backend.batch_size, backend.dimension) == (batch, STANDIN_DIMENSION)
    found = backend.embed(clips)  # nine clips: not a whole number of any batch but one
    assert np.abs(found - plain).max() < SAME * plain.std()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"names": ("audio", "output_0")}, r"takes \['audio'\]"),
        ({"names": ("x", "embedding")}, r"gives \['embedding'\]"),
        ({"dtype": "float16"}, "takes x: float16"),
        ({"dtype": "float64"}, "takes x: float64"),
        ({"rank": 3}, r"gives output_0: float32 \(None, 1, 48\)"),
        ({"rank": 3, "width": "rank"}, r"output_0 of shape \(\d+, 1, 48\)"),
        ({"signature": "embed"}, r"has the signatures \['embed'\]"),
        ({"samples": 16_000}, r"takes x: float32 \(None, 16000\)"),
        ({"samples": 16_000, "rows": 8}, r"takes x: float32 \(8, 16000\)"),
        ({"fails": True}, "the model failed on 1 clips .InvalidArgumentError"),
        ({"fails": True, "rows": 8}, "the model failed on 8 clips .InvalidArgumentError"),
    ],
    ids=str,
)
def test_another_graph_is_refused_with_what_it_is(how, said, tmp_path):
    with pytest.raises(RepresentationError, match=said) as caught:
        embedding.load("hear", path=save_hear(tmp_path, **how))
    message = str(caught.value)
    assert "expected" in message
    assert "google/hear" in message
    assert "\n" not in message


def test_an_error_of_a_later_pass_is_ours(hear_folder, clips, monkeypatch):
    backend = embedding.load("hear", path=hear_folder)

    def spent(**_sound):
        raise MemoryError("none left")

    monkeypatch.setattr(backend, "_signature", spent)
    with pytest.raises(RepresentationError, match="MemoryError: none left"):
        backend.embed(clips)


def test_a_tensorflow_too_old_for_the_release_is_refused(monkeypatch, hear_folder):
    monkeypatch.setattr(weights, "version", lambda _package: "2.17.1")
    with pytest.raises(
        RepresentationError, match=r"2\.17\.1 is installed; 2\.18 or newer.*StableHLO"
    ):
        embedding.load("hear", path=hear_folder)
    monkeypatch.setenv("HEAR_MODEL_DIR", str(hear_folder))
    here, what = embedding.availability()["hear"]
    assert not here
    assert "2.18" in what


@pytest.mark.parametrize("found", ["2.18.0", "2.18.0rc1", "2.21.0", "3.0"])
def test_a_tensorflow_that_can_read_the_release_is_taken(monkeypatch, found):
    monkeypatch.setattr(weights, "version", lambda _package: found)
    assert not weights.too_old(hear.RELEASE)


def altered(vit_folder: Path, to: Path, change: Callable[[dict], dict]) -> Path:
    """A copy of the stand-in with other weights in its file."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(vit_folder, to, dirs_exist_ok=True)
    kept = change(load_file(to / SINGLE))
    kept = {name: value.contiguous() for name, value in kept.items()}
    save_file(kept, to / SINGLE, metadata={"format": "pt"})
    return to


def without(part: str) -> Callable[[dict], dict]:
    return lambda found: {k: v for k, v in found.items() if part not in k}


def prefixed(found: dict) -> dict:
    return {f"model.{k}": v for k, v in found.items()}


def extra(found: dict) -> dict:
    return {**found, "decoder.weight": found["pooler.dense.weight"].clone()}


def misshapen(found: dict) -> dict:
    return {**found, "pooler.dense.weight": found["pooler.dense.weight"][:7]}


def renamed(found: dict) -> dict:
    return {k.replace("layernorm.", "final_norm."): v for k, v in found.items()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("pooler"), "would be random: pooler.dense.bias, pooler.dense.weight"),
        (without("pooler.dense.bias"), "would be random: pooler.dense.bias;"),
        (without("position_embeddings"), "would be random: embeddings.position_embeddings"),
        (prefixed, "would be random: .* and 37 more"),
        (renamed, "would be random: layernorm.bias, layernorm.weight"),
        (extra, "have no place in the model: decoder.weight"),
        (misshapen, "have another shape in the file: pooler.dense.weight"),
    ],
    ids=[
        "no pooler",
        "no bias",
        "no positions",
        "another prefix",
        "renamed",
        "one more",
        "a shape",
    ],
)
def test_weights_that_do_not_match_are_refused(vit_folder, tmp_path, change, said):
    folder = altered(vit_folder, tmp_path / "vit", change)
    with pytest.raises(RepresentationError, match=said) as caught:
        embedding.load("hear-pytorch", path=folder, configuration=VIT)
    assert "expected" in str(caught.value)
    assert "google/hear-pytorch" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_size": [224, 224]}, r"image_size \[224, 224\]; \[192, 128\] was expected"),
        ({"patch_size": 32}, "patch_size 32; 16"),
        ({"num_hidden_layers": 1}, "num_hidden_layers 1; 2"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'; 'gelu_fast'"),
        ({"layer_norm_eps": 1e-12}, "layer_norm_eps 1e-12; 1e-06"),
        ({"pooler_act": "tanh"}, "pooler_act 'tanh'; 'linear'"),
        ({"num_channels": 3}, "num_channels 3; 1"),
    ],
    ids=str,
)
def test_another_configuration_is_refused(tmp_path, changes, said):
    pytest.importorskip("transformers")
    with pytest.raises(RepresentationError, match=said):
        embedding.load("hear-pytorch", path=save_vit(tmp_path, **changes), configuration=VIT)


def test_a_small_model_is_not_the_release(vit_folder):
    with pytest.raises(RepresentationError, match="hidden_size 32; 1024 was expected"):
        embedding.load("hear-pytorch", path=vit_folder)
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    assert [hear_pytorch.CONFIGURATION[name] for name in sizes] == [1024, 24, 16, 4096]


def test_weights_in_several_files_are_read(vit_folder, tmp_path, clips):
    from transformers import ViTModel

    whole = embedding.load("hear-pytorch", path=vit_folder, configuration=VIT)
    ViTModel.from_pretrained(vit_folder).save_pretrained(tmp_path, max_shard_size="20KB")
    assert not (tmp_path / SINGLE).exists()
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    parts = embedding.load("hear-pytorch", path=tmp_path, configuration=VIT)
    expected = whole.embed(clips)
    assert np.abs(parts.embed(clips) - expected).max() < SAME * expected.std()
    before = parts.version
    one = sorted(tmp_path.glob("model-*.safetensors"))[-1]
    one.rename(tmp_path / "elsewhere")
    with pytest.raises(RepresentationError, match="does not load as a transformers model"):
        embedding.load("hear-pytorch", path=tmp_path, configuration=VIT)
    (tmp_path / "elsewhere").rename(one)
    again = embedding.load("hear-pytorch", path=tmp_path, configuration=VIT)
    assert again.version == before


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"weight_map": {"a": "model-2.safetensors"}}'])
def test_an_index_that_does_not_list_the_files_is_refused(vit_folder, tmp_path, index):
    shutil.copytree(vit_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / SINGLE).rename(tmp_path / "model-1.safetensors")
    (tmp_path / f"{SINGLE}.index.json").write_text(index)
    with pytest.raises(RepresentationError, match="does not load as a transformers model"):
        embedding.load("hear-pytorch", path=tmp_path, configuration=VIT)


def test_names_of_the_release_are_read_by_this_transformers(vit_folder, tmp_path, clips):
    """The release was made with transformers 4.50.3, whose names of weights later ones changed."""
    from safetensors.torch import load_file

    old = {
        "attention.q_proj": "attention.attention.query", "attention.k_proj": "attention.attention.key",
        "attention.v_proj": "attention.attention.value", "attention.o_proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense",
    }  # fmt: skip

    def as_released(found: dict) -> dict:
        named = {}
        for key, value in found.items():
            inner = key.startswith("layers.")
            for new, before in old.items() if inner else ():
                key = key.replace(new, before)
            named[key.replace("layers.", "encoder.layer.", 1) if inner else key] = value
        return named

    folder = altered(vit_folder, tmp_path / "vit", as_released)
    assert "encoder.layer.1.attention.attention.query.weight" in load_file(folder / SINGLE)
    found = embedding.load("hear-pytorch", path=folder, configuration=VIT).embed(clips)
    expected = embedding.load("hear-pytorch", path=vit_folder, configuration=VIT).embed(clips)
    assert np.abs(found - expected).max() < SAME * expected.std()


@pytest.mark.parametrize("name", ["hear", "hear-pytorch"])
def test_the_commit_of_a_download_is_kept(request, tmp_path, name):
    fixture = {"hear": "hear_folder", "hear-pytorch": "vit_folder"}[name]
    options = {"configuration": VIT} if name == "hear-pytorch" else {}
    snapshot = tmp_path / "snapshots" / COMMIT
    shutil.copytree(request.getfixturevalue(fixture), snapshot)
    assert embedding.load(name, path=snapshot, **options).revision == COMMIT
    own = snapshot.rename(tmp_path / "mine")
    assert embedding.load(name, path=own, **options).revision == ""


def test_a_branch_is_resolved_when_it_is_downloaded(monkeypatch, tmp_path, vit_folder):
    hub = pytest.importorskip("huggingface_hub")
    snapshot = tmp_path / "snapshots" / COMMIT
    shutil.copytree(vit_folder, snapshot)
    monkeypatch.delenv("HEAR_PYTORCH_MODEL_DIR", raising=False)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_a, **_k: None)
    monkeypatch.setattr(hub.HfApi, "auth_check", lambda *_a, **_k: None)
    monkeypatch.setattr(hub, "snapshot_download", lambda *_a, **_k: str(snapshot))
    assert embedding.load("hear-pytorch", configuration=VIT).revision == COMMIT


def test_the_command_ends_in_our_message(vit_folder, tmp_path):
    folder = altered(vit_folder, tmp_path / "vit", without("pooler"))
    found = json.loads((folder / "config.json").read_text())
    code = (
        "from standins import VIT; from cryhear import embedding; "
        f"embedding.load('hear-pytorch', path={str(folder)!r}, configuration=VIT)"
    )
    path = [*sys.path, str(Path(__file__).parents[1])]
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.path[:] = {path!r}; {code}"],
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    assert found["pooler_act"] == "linear"
    assert done.returncode == 1
    assert "RepresentationError" in done.stderr.splitlines()[-1]
