"""Stand-ins for the gated models: small, random, with HeAR's signatures.

They drive the code that runs the real models; their vectors mean nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

CLIP = 32_000
FRAME = 400
STANDIN_DIMENSION = 48
"""Not HeAR's 512, so that a test fails where the dimension is written down instead of read."""


def save_hear(folder: Path, scaling: str = "clip", samples: int = CLIP) -> Path:
    """Save a SavedModel with HeAR's signature: x float32 (n, 32000) -> output_0 float32 (n, d).

    Frames' spectra, pooled, through two dense layers.

    Parameters
    ----------
    folder : pathlib.Path
        Where to save.
    scaling : {'clip', 'batch'}
        What the waveform is scaled by: each clip's own peak, or unfaithfully the whole batch's.
    samples : int
        Samples of a clip; another number than 32,000 makes a model that is not HeAR's.
    """
    import tensorflow as tf

    rng = np.random.default_rng(3)

    class Standin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = tf.Variable(rng.normal(size=(2 * 201, 64)).astype(np.float32) / 20)
            self.outer = tf.Variable(
                rng.normal(size=(64, STANDIN_DIMENSION)).astype(np.float32) / 8
            )

        @tf.function(input_signature=[tf.TensorSpec([None, samples], tf.float32, name="x")])
        def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            axes, keep = (None, True) if scaling == "batch" else (1, True)
            scaled = x / (tf.reduce_max(tf.abs(x), axis=axes, keepdims=keep) + 1e-6)
            frames = tf.reshape(scaled, [-1, samples // FRAME, FRAME])
            spectrum = tf.math.log(tf.abs(tf.signal.rfft(frames)) + 1e-3)
            pooled = tf.concat(
                [tf.reduce_mean(spectrum, axis=1), tf.math.reduce_std(spectrum, axis=1)], axis=1
            )
            return {"output_0": tf.tanh(pooled @ self.inner) @ self.outer}

    module = Standin()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder


def save_vit(folder: Path, image_size: tuple[int, int] = (192, 128)) -> Path:
    """Save a small random ViT with the shape of HeAR's: 1 x 192 x 128 in, a pooler out."""
    import torch
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=list(image_size),
        patch_size=16,
        num_channels=1,
        pooler_output_size=STANDIN_DIMENSION,
    )
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
