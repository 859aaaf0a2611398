"""Stand-ins for the gated models: small, random, with HeAR's signatures.

They drive the code that runs the real models; their vectors mean nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryhear.embedding.hear_pytorch import CONFIGURATION

CLIP = 32_000
FRAME = 400
STANDIN_DIMENSION = 48
"""Not HeAR's 512, so that a test fails where the dimension is written down instead of read."""


VIT = {
    **CONFIGURATION, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 64,
}  # fmt: skip
"""The release's configuration, at another size: `cryhear.embedding.load` takes it as `configuration`."""


def save_hear(
    folder: Path,
    scaling: str = "clip",
    samples: int | None = CLIP,
    *,
    rows: int | None = None,
    wired: int | None = None,
    width: str = "declared",
    names: tuple[str, str] = ("x", "output_0"),
    signature: str = "serving_default",
    dtype: str = "float32",
    rank: int = 2,
    more: bool = False,
    fails: bool = False,
) -> Path:
    """Save a SavedModel with HeAR's signature: x float32 (n, 32000) -> output_0 float32 (n, d).

    Frames' spectra, pooled, through two dense layers.

    Parameters
    ----------
    folder : pathlib.Path
        Where to save.
    scaling : {'clip', 'batch'}
        What the waveform is scaled by: each clip's own peak, or unfaithfully the whole batch's.
    samples : int or None
        Samples of a clip; another number than 32,000 makes a model that is not HeAR's, None takes any.
    rows, wired : int, optional
        Clips that the signature declares, and that the graph needs without saying so.
    width : {'declared', 'length', 'rank'}
        What the signature says of the output: all, not its length, or nothing.
    names : tuple of str
        Of the input and the output.
    signature : str
    dtype : str
        Of input and output.
    rank : int
        Of the output: 3 puts an axis of one between.
    more : bool
        Whether there is a second output.
    fails : bool
        Whether every pass ends in an error.
    """
    import tensorflow as tf

    rng = np.random.default_rng(3)
    given, taken = names

    class Standin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = tf.Variable(rng.normal(size=(2 * 201, 64)).astype(np.float32) / 20)
            self.outer = tf.Variable(
                rng.normal(size=(64, STANDIN_DIMENSION)).astype(np.float32) / 8
            )

        @tf.function(input_signature=[tf.TensorSpec([rows, samples], dtype, name=given)])
        def serve(self, sound: tf.Tensor) -> dict[str, tf.Tensor]:
            x = tf.cast(sound, tf.float32)
            if wired:
                x = tf.reshape(x, [wired, samples])
            if fails:
                with tf.control_dependencies([tf.debugging.assert_less(x, -9.0)]):
                    x = tf.identity(x)
            axes, keep = (None, True) if scaling == "batch" else (1, True)
            scaled = x / (tf.reduce_max(tf.abs(x), axis=axes, keepdims=keep) + 1e-6)
            frames = tf.reshape(scaled, [tf.shape(x)[0], -1, FRAME])
            spectrum = tf.math.log(tf.abs(tf.signal.rfft(frames)) + 1e-3)
            pooled = tf.concat(
                [tf.reduce_mean(spectrum, axis=1), tf.math.reduce_std(spectrum, axis=1)], axis=1
            )
            found = tf.cast(tf.tanh(pooled @ self.inner) @ self.outer, dtype)
            found = found[:, None] if rank == 3 else found
            shape = {"declared": found.shape, "length": [None, None], "rank": None}[width]
            outputs = {taken: tf.compat.v1.placeholder_with_default(found, shape)}
            return {**outputs, "frames": frames} if more else outputs

    module = Standin()
    tf.saved_model.save(module, str(folder), signatures={signature: module.serve})
    return folder


def save_vit(folder: Path, **changes: Any) -> Path:
    """Save a small random ViT with the shape of HeAR's: 1 x 192 x 128 in, a pooler out.

    `changes` are made to its configuration, `VIT`.
    """
    import torch
    from transformers import ViTConfig, ViTModel

    chosen = {k: v for k, v in VIT.items() if k != "model_type"}
    config = ViTConfig(**{**chosen, "pooler_output_size": STANDIN_DIMENSION, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(3)
        ViTModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def hear_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for HeAR's TensorFlow release."""
    pytest.importorskip("tensorflow")
    return save_hear(tmp_path_factory.mktemp("hear"))


@pytest.fixture(scope="session")
def unfaithful_hear_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in that scales by the whole batch, as Google's PyTorch reference does."""
    pytest.importorskip("tensorflow")
    return save_hear(tmp_path_factory.mktemp("unfaithful"), scaling="batch")


@pytest.fixture(scope="session")
def vit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for HeAR's PyTorch release."""
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    return save_vit(tmp_path_factory.mktemp("vit"))
