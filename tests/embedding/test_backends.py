"""Every backend: the same vector alone, in any batch, in any order; inputs kept; vectors finite."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from standins import STANDIN_DIMENSION, VIT, save_hear

from cryhear import embedding
from cryhear.embedding import hear, logmel, yamnet
from cryhear.errors import RepresentationError

BATCHING = 4e-5
"""Largest difference of a vector with the batch around it, relative to the vectors' own spread:
float32 kernels sum in another order (4e-6 seen in TensorFlow, 1.1e-5 in PyTorch, by processor).
A clip's neighbours differ by 1."""

OPTIONS = {
    "hear": ("hear_folder", "path"),
    "hear-pytorch": ("vit_folder", "path"),
    "yamnet": ("yamnet_path", "path"),
}
PACKAGES = {
    "hear": "tensorflow",
    "hear-pytorch": "transformers",
    "yamnet": "ai_edge_litert",
    "egemaps": "opensmile",
}


def need(package: str) -> None:
    """Skip without a package; unlike importorskip, leave its import to the backend."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


@pytest.fixture(scope="module", params=embedding.REPRESENTATIONS)
def backend(request):
    name = request.param
    need(PACKAGES.get(name, "scipy"))
    fixture, option = OPTIONS.get(name, (None, None))
    options = {option: request.getfixturevalue(fixture)} if fixture else {}
    if name == "hear-pytorch":
        options["configuration"] = VIT
    return embedding.load(name, **options)


@pytest.fixture(scope="module")
def vectors(backend, clips):
    return backend.embed(clips)


def spread(a: np.ndarray, b: np.ndarray, vectors: np.ndarray) -> float:
    return float(np.abs(a - b).max() / (vectors - vectors.mean(axis=0)).std())


def test_vectors(backend, vectors, clips):
    assert isinstance(backend, embedding.Backend)
    assert vectors.shape == (len(clips), backend.dimension)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert np.isfinite(vectors).all()
    assert len(np.unique(vectors, axis=0)) == len(clips)
    assert backend.note == ""


def test_alone_as_in_the_batch(backend, vectors, clips):
    alone = np.concatenate([backend.embed(clips[row : row + 1]) for row in range(4)])
    assert spread(alone, vectors[:4], vectors) < BATCHING


def test_in_any_order(backend, vectors, clips):
    order = np.random.default_rng(5).permutation(len(clips))
    assert spread(backend.embed(clips[order]), vectors[order], vectors) < BATCHING


def test_the_tolerance_tells_neighbours_apart(vectors):
    assert spread(vectors[:-1], vectors[1:], vectors) > 1000 * BATCHING
    assert spread(np.zeros_like(vectors), vectors, vectors) > 1000 * BATCHING


def test_the_input_is_kept_whatever_its_strides(backend, vectors, clips):
    wide = np.repeat(clips, 2, axis=0)
    before = wide.copy()
    found = backend.embed(wide[::2])
    np.testing.assert_array_equal(wide, before)
    assert spread(found, vectors, vectors) < BATCHING


def test_silence_and_loud_clips_give_finite_vectors(backend, clips):
    extreme = np.stack([np.zeros(32_000), 40 * clips[0], np.sign(clips[1])]).astype(np.float32)
    assert np.isfinite(backend.embed(extreme)).all()


def test_the_version_is_stable_and_holds_no_path(backend):
    assert backend.version
    assert "/" not in backend.version


def test_hear_reads_its_dimension_and_passes_the_probe(hear_folder):
    backend = embedding.load("hear", path=hear_folder)
    assert (backend.dimension, backend.batch_size, backend.note) == (
        STANDIN_DIMENSION,
        hear.BATCH,
        "",
    )


def test_hear_from_the_environment(hear_folder, monkeypatch):
    monkeypatch.setenv("HEAR_MODEL_DIR", str(hear_folder))
    assert embedding.availability()["hear"][0]
    assert embedding.load("hear").dimension == STANDIN_DIMENSION


def test_a_batch_dependent_hear_is_fed_one_clip_at_a_time(
    unfaithful_hear_folder, hear_folder, clips
):
    backend = embedding.load("hear", path=unfaithful_hear_folder)
    assert backend.batch_size == 1
    assert "one clip at a time" in backend.note
    faithful = embedding.load("hear", path=hear_folder).embed(clips)
    # Alone in its batch, a clip is scaled by its own peak even by the unfaithful stand-in.
    assert spread(backend.embed(clips), faithful, faithful) < BATCHING


def test_another_saved_model_is_refused(tmp_path):
    need("tensorflow")
    save_hear(tmp_path, samples=16_000)
    with pytest.raises(RepresentationError, match=r"takes x: float32 \(None, 16000\)"):
        embedding.load("hear", path=tmp_path)


def test_a_damaged_saved_model_is_refused(hear_folder, tmp_path):
    import shutil

    folder = shutil.copytree(hear_folder, tmp_path / "damaged")
    (folder / "saved_model.pb").write_bytes(b"no protocol buffer")
    with pytest.raises(RepresentationError, match="does not load"):
        embedding.load("hear", path=folder)


def test_lacking_weight_shards_are_noticed(hear_folder, tmp_path):
    import shutil

    folder = shutil.copytree(hear_folder, tmp_path / "half")
    data = next(folder.glob("variables/variables.data-*"))
    data.rename(data.with_name("variables.data-00000-of-00002"))
    with pytest.raises(RepresentationError, match="does not load as a SavedModel"):
        embedding.load("hear", path=folder)


def test_yamnet_windows_cover_the_clip():
    covered = np.zeros(32_000, bool)
    for start in yamnet.WINDOW_STARTS:
        covered[start : start + yamnet.WINDOW] = True
    assert covered.all()
    assert yamnet.WINDOW_STARTS[-1] + yamnet.WINDOW == 32_000


def test_yamnet_scores_and_threads(yamnet_path, clips):
    need("ai_edge_litert")
    one, two = (embedding.load("yamnet", path=yamnet_path, num_threads=n) for n in (1, 2))
    scores = one.scores(clips)
    assert scores.shape == (len(clips), yamnet.N_SCORES)
    assert scores.min() >= 0
    assert scores.max() <= 1
    np.testing.assert_array_equal(two.scores(clips), scores)
    np.testing.assert_array_equal(two.embed(clips), one.embed(clips))


def test_another_yamnet_is_refused(tmp_path):
    need("ai_edge_litert")
    with pytest.raises(RepresentationError, match="is not a file"):
        embedding.load("yamnet", path=tmp_path / "yamnet.tflite")
    (tmp_path / "yamnet.tflite").write_bytes(b"another")
    with pytest.raises(RepresentationError, match="SHA-256"):
        embedding.load("yamnet", path=tmp_path / "yamnet.tflite")


def test_yamnet_offline_says_what_to_do(monkeypatch, tmp_path):
    pooch = pytest.importorskip("pooch")
    monkeypatch.delenv("CRYHEAR_YAMNET", raising=False)
    monkeypatch.setattr(yamnet, "_cached", lambda: tmp_path / "yamnet.tflite")

    def offline(*_args, **_options):
        raise ConnectionError("no route")

    monkeypatch.setattr(pooch, "retrieve", offline)
    with pytest.raises(RepresentationError, match=r"XDG_CACHE_HOME.*CRYHEAR_YAMNET"):
        embedding.load("yamnet")


def test_logmel_finds_a_tone():
    backend = embedding.load("logmel")
    time = np.arange(32_000) / 16_000
    tone = np.sin(2 * np.pi * 1000 * time).astype(np.float32)[None]
    bands = backend.log_mel(tone)
    assert bands.shape == (1, 198, logmel.N_BANDS)
    assert bands.max() == pytest.approx(0, abs=3)  # dB; a band's triangle may share the line
    names = dict(zip(backend.feature_names, backend.embed(tone)[0], strict=True))
    loudest = max((n for n in names if n.endswith("_mean")), key=names.get)
    mel = 2595 * np.log10(1 + np.array([50, 1000, 8000]) / 700)
    assert int(loudest[3:5]) == round((mel[1] - mel[0]) / (mel[2] - mel[0]) * 65 - 1)
    assert names[loudest.replace("mean", "std")] < 0.1  # dB: a steady tone
    quieter = backend.embed(tone / 10)[0]
    moved = dict(zip(backend.feature_names, quieter, strict=True))[loudest] - names[loudest]
    assert moved == pytest.approx(-20, abs=0.1)


def test_logmel_quantiles_equal_numpy():
    rows = np.sort(np.random.default_rng(2).standard_normal((3, 198, 5)).astype(np.float32), axis=1)
    for share in (0.1, 0.9):
        # In double: older NumPy places a quantile of single values less exactly.
        exact = np.quantile(rows.astype(np.float64), share, axis=1)
        np.testing.assert_allclose(logmel._quantile(rows, share), exact, atol=1e-6)


def test_egemaps_finds_the_pitch():
    need("opensmile")
    backend = embedding.load("egemaps", num_threads=2)
    assert backend.dimension == 88
    time = np.arange(32_000) / 16_000
    voices = np.stack(
        [sum(np.sin(2 * np.pi * f * k * time) / k for k in range(1, 9)) for f in (220, 440)]
    )
    found = backend.embed((0.3 * voices).astype(np.float32))
    column = backend.feature_names.index("F0semitoneFrom27.5Hz_sma3nz_amean")
    semitones = 12 * np.log2(np.array([220, 440]) / 27.5)
    np.testing.assert_allclose(found[:, column], semitones, atol=0.3)
