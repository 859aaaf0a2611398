"""Embedding with stand-ins of HeAR's size, beside the bare forward pass and the original's loop.

The stand-ins are ViT-L encoders with random weights (HeAR's are gated): a SavedModel with HeAR's signature,
and a transformers ViT behind this project's front end. Work and memory are those of the real model; the
vectors mean nothing. The bare forward pass gets clips that are ready in memory, in batches; ours reads,
prepares, embeds and stores the recordings; the original embeds one recording's clips a call.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import bench, made
from cryhear import params
from cryhear.audio import decode, preprocess
from cryhear.embedding import extract, load
from cryhear.embedding.hear_pytorch import CONFIGURATION
from cryhear.embedding.store import Store, preprocess_key

CLIP = 32_000
SETTINGS = params.Preprocess()
ORIGINAL = params.Preprocess(rms_target=1.0, tail="drop", silence_dbfs=-120.0)
"""The original's: no clip for the rest of a recording."""
BATCH_ROUNDING = 1e-3
"""Largest relative difference of a vector in another batch: `hear.BATCH_TOLERANCE`."""

LARGE = {"hidden": 1024, "layers": 24, "heads": 16, "wide": 4096}
"""ViT-L: 303 million weights."""

SMALL = {"hidden": 64, "layers": 2, "heads": 4, "wide": 128}


def configuration(size: dict[str, int]) -> dict[str, Any]:
    """What the release's own configuration says, at another size."""
    return {
        **CONFIGURATION, "hidden_size": size["hidden"], "num_hidden_layers": size["layers"],
        "num_attention_heads": size["heads"], "intermediate_size": size["wide"],
    }  # fmt: skip


def save_vit(folder: Path, size: dict[str, int]) -> Path:
    """A transformers ViT with the shape of HeAR's release."""
    import torch
    from transformers import ViTConfig, ViTModel

    chosen = {k: v for k, v in configuration(size).items() if k != "model_type"}
    config = ViTConfig(**chosen, pooler_output_size=512)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ViTModel(config).save_pretrained(folder)
    return folder


def save_hear(folder: Path, size: dict[str, int]) -> Path:
    """A SavedModel with HeAR's signature: a spectrogram, 96 patches, a ViT, a pooled vector of 512."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    rng = tf.random.Generator.from_seed(0)
    h, heads = size["hidden"], size["heads"]

    def weight(*shape: int) -> tf.Variable:
        return tf.Variable(rng.normal(shape, stddev=0.02))

    class Encoder(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch, self.head = weight(256, h), weight(h, 512)
            self.layers = [
                [weight(h, 3 * h), weight(h, h), weight(h, size["wide"]), weight(size["wide"], h)]
                for _ in range(size["layers"])
            ]

        @tf.function(input_signature=[tf.TensorSpec([None, CLIP], tf.float32, name="x")])
        def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            spectrum = tf.abs(tf.signal.stft(tf.pad(x, [[0, 0], [0, 300]]), 255, 167, 256))
            image = tf.math.log(spectrum[:, :192, :128] + 1e-3)
            patches = tf.reshape(image, [-1, 12, 16, 8, 16])
            z = tf.reshape(tf.transpose(patches, [0, 1, 3, 2, 4]), [-1, 96, 256]) @ self.patch
            for qkv, out, up, down in self.layers:
                z += _attention(_normal(z) @ qkv, heads) @ out
                z += tf.nn.gelu(_normal(z) @ up) @ down
            return {"output_0": tf.reduce_mean(_normal(z), axis=1) @ self.head}

    def _normal(z: tf.Tensor) -> tf.Tensor:
        mean, variance = tf.nn.moments(z, axes=[-1], keepdims=True)
        return (z - mean) * tf.math.rsqrt(variance + 1e-6)

    def _attention(z: tf.Tensor, heads: int) -> tf.Tensor:
        z = tf.transpose(tf.reshape(z, [-1, 96, 3, heads, h // heads]), [2, 0, 3, 1, 4])
        q, k, v = z[0], z[1], z[2]
        a = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / np.sqrt(h // heads))
        return tf.reshape(tf.transpose(tf.matmul(a, v), [0, 2, 1, 3]), [-1, 96, h])

    module = Encoder()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder


def ours(paths: list[Path], backend: Any, folder: Path, settings: Any = SETTINGS) -> np.ndarray:
    """Read, prepare, embed and store; the vectors in the order of their keys."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        store = Store(place, backend, preprocess_key(settings))
        failed = extract.embed_recordings(made.listed(paths), backend, settings, store)
        bench.check_same(len(failed), 0, "recordings that failed")
        return store.read()[1]


def bare(clips: np.ndarray, backend: Any, batch: int) -> np.ndarray:
    """The forward pass on clips in memory."""
    parts = [backend._forward(clips[i : i + batch].copy()) for i in range(0, len(clips), batch)]
    return np.concatenate(parts)


def looped(paths: list[Path], backend: Any, settings: Any = SETTINGS) -> np.ndarray:
    """The original's loop: a recording's clips a call."""
    parts = [
        backend._forward(preprocess.run(decode.decode(path).samples, settings)[1]) for path in paths
    ]
    return np.concatenate(parts)


def throughput(results: bench.Results, key: str, backend: Any, folder: Path) -> None:
    """Ours beside the bare forward pass at its best batch, and beside the original's loop."""
    count, repeats = (2, 1) if results.quick else (4, 4)
    paths = made.recordings(folder / "recordings", count, 7.0, 16_000)
    clips = np.concatenate([preprocess.run(decode.decode(p).samples, SETTINGS)[1] for p in paths])
    sizes = (backend.batch_size,) if results.quick else (4, 8, 16)
    bare(clips[:4], backend, 4)
    times = {b: bench.timed(partial(bare, clips, backend, b))[0] for b in sizes}
    best = min(times, key=times.__getitem__)
    ways = {
        "ours": lambda: ours(paths, backend, folder),
        "bare": lambda: bare(clips, backend, best),
        "loop": lambda: looped(paths, backend),
    }
    # All three in turn, so that both ratios share the runs of ours.
    runs = [{way: bench.timed(work) for way, work in ways.items()} for _ in range(repeats)]
    seconds = {way: [run[way][0] for run in runs] for way in ways}
    vectors = {way: runs[-1][way][1] for way in ways}
    notes = {
        "bare": f"{len(clips)} clips of {count} recordings; the bare pass at batches of {best}",
        "loop": "the original's loop, a recording's clips a call",
    }
    for way, note in notes.items():
        bench.check_close(vectors["ours"], vectors[way], BATCH_ROUNDING, f"{key}: vectors")
        both = bench.Pair(seconds["ours"], seconds[way], vectors["ours"], vectors[way])
        results.ratio(f"{key}_{way}", both, note=note)
    pieces = made.recordings(folder / "pieces", 2 * count, 4.0, 16_000)
    found = bench.pair(
        lambda: ours(pieces, backend, folder, ORIGINAL),
        lambda: looped(pieces, backend, ORIGINAL), repeats, False,
    )  # fmt: skip
    bench.check_close(found.our_output, found.their_output, BATCH_ROUNDING, f"{key}: pieces")
    note = "recordings of 4 s, as most of the original's, cut as it did: two clips a call"
    results.ratio(f"{key}_pieces", found, note=note)
    a_clip = float(np.median(seconds["ours"])) / len(clips)
    results.number(f"{key}_clip", a_clip, "seconds", note="a clip")


def peak_memory(results: bench.Results, folder: Path) -> None:
    """Peak memory of a process that embeds up to 10,000 recordings with a cheap backend."""
    paths = made.recordings(folder / "few", 20, 2.5, 16_000)
    peaks = {}
    for count in (10, 100) if results.quick else (100, 1_000, 10_000):
        command = [
            sys.executable,
            "-m",
            "benchmarks.embed",
            "--peak",
            str(count),
            str(paths[0].parent),
        ]
        done = subprocess.run(command, cwd=bench.ROOT, capture_output=True, text=True, check=True)
        peaks[count] = float(done.stdout.split()[-1])
        results.number(
            f"peak_{len(peaks)}",
            round(peaks[count]),
            "count",
            n=count,
            note="MiB, peak of the process",
        )
    for count in list(peaks)[:-1]:
        results.number(
            f"peak_from_{count}", peaks[max(peaks)] / peaks[count], "ratio", n=max(peaks)
        )


def embed_many(count: int, folder: Path) -> float:
    """Embed `count` recordings (the files of a folder over and over); the process's peak, MiB."""
    paths = sorted(folder.glob("*.wav"))
    backend = load("logmel")
    with tempfile.TemporaryDirectory() as place:
        store = Store(place, backend, preprocess_key(SETTINGS))
        table = made.listed([paths[i % len(paths)] for i in range(count)])
        extract.embed_recordings(table, backend, SETTINGS, store)
    # Not ru_maxrss, which starts at the memory of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(results: bench.Results) -> None:
    """Measure both stand-ins, then memory."""
    size = SMALL if results.quick else LARGE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backend = load(
            "hear", path=save_hear(folder / "tensorflow", size), num_threads=os.cpu_count()
        )
        throughput(results, "tensorflow", backend, folder)
        del backend
        gc.collect()
        backend = load(
            "hear-pytorch",
            path=save_vit(folder / "pytorch", size),
            num_threads=os.cpu_count(),
            device="cpu",
            configuration=configuration(size),
        )
        throughput(results, "pytorch", backend, folder)
        del backend
        peak_memory(results, folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print(embed_many(int(sys.argv[2]), Path(sys.argv[3])))
    else:
        raise SystemExit(bench.run("embed", measure))
