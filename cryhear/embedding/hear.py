"""`hear`: HeAR's TensorFlow release, a SavedModel with its front end inside.

Health Acoustic Representations, Baur et al. 2024, arXiv:2403.02522: a ViT-L masked auto-encoder
trained on two-second clips of health-related sounds. Its weights are gated.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from cryhear.embedding import weights
from cryhear.embedding.base import CLIP_SAMPLES, SAMPLE_RATE, BaseBackend, need_package
from cryhear.errors import RepresentationError

RELEASE = weights.Release(
    name="hear",
    repository="google/hear",
    revision="9b2eb2853c426676255cc6ac5804b7f1fe8e563f",
    files=("saved_model.pb", "fingerprint.pb", "variables/*"),  # the event detector stays there
    required=("saved_model.pb", "variables/variables.index", "variables/variables.data-*"),
    variable="HEAR_MODEL_DIR",
    package="tensorflow",
)

BATCH = 8
"""Clips a forward pass: on two cores about twice as fast a clip as one at a time."""

BATCH_TOLERANCE = 1e-3
"""Largest relative difference (L2) of a clip's vector alone and in a batch that still counts as
rounding. Float32 kernels differ by about 4e-6 with the size of a batch; a front end that scales by
the extremes of the whole batch moves a spectrogram by about a third."""


class HeAR(BaseBackend):
    """HeAR through TensorFlow.

    `note` says if the model failed the probe of batch independence and is fed one clip at a time.
    """

    name = RELEASE.name

    def __init__(
        self, path: str | os.PathLike[str] | None = None, num_threads: int | None = None
    ) -> None:
        need_package("tensorflow", "hear", self.name)
        folder = weights.folder_of(RELEASE, path)  # before TensorFlow's import, which takes seconds
        index = ["saved_model.pb", "variables/variables.index"]  # holds a checksum of each weight
        self.version = weights.content_version(folder, index)
        # Keeps the SavedModel alive: its signature holds only weak references to the variables.
        self._model = _saved_model(folder, num_threads)
        self._signature, self.dimension = _signature(self._model)
        self.batch_size = BATCH
        difference = _batch_dependence(self)
        if difference > BATCH_TOLERANCE:
            self.batch_size = 1
            self.note = (
                "This model's vector of a clip depends on the other clips of its batch (relative "
                f"difference {difference:.2g} beside a much louder clip), so it is fed one clip at "
                "a time."
            )

    def _forward(self, batch: np.ndarray) -> np.ndarray:
        import tensorflow as tf

        return self._signature(x=tf.constant(batch))["output_0"].numpy()


def load(path: str | os.PathLike[str] | None = None, num_threads: int | None = None) -> HeAR:
    """Load HeAR from `path`, ``HEAR_MODEL_DIR``, the Hub's cache or the Hub."""
    return HeAR(path, num_threads)


def fetch() -> None:
    """Find or download the weights, without loading TensorFlow."""
    need_package("tensorflow", "hear", RELEASE.name)
    weights.folder_of(RELEASE)


def available() -> tuple[bool, str]:
    """Whether TensorFlow and the weights are at hand."""
    return weights.available(RELEASE)


def _saved_model(folder: Path, num_threads: int | None) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    if num_threads is not None:
        # Refused once TensorFlow has started: its threads are fixed until the process ends.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    try:
        return tf.saved_model.load(str(folder))
    except (OSError, ValueError, tf.errors.OpError) as problem:
        raise RepresentationError(
            f"hear: {folder} does not load as a SavedModel ({type(problem).__name__}: {problem}). "
            f"Expected the files of {RELEASE.repository}: remove the folder and download it again."
        ) from problem


def _signature(model: Any) -> tuple[Any, int]:
    """The serving signature and the length of its vectors, if they are HeAR's."""
    signatures = getattr(model, "signatures", {})
    if "serving_default" not in signatures:
        raise _not_hear(f"has the signatures {sorted(signatures)}")
    signature = signatures["serving_default"]
    inputs = signature.structured_input_signature[1]
    outputs = signature.structured_outputs
    x, y = inputs.get("x"), outputs.get("output_0") if isinstance(outputs, dict) else None
    if len(inputs) != 1 or x is None or y is None:
        raise _not_hear(f"takes {sorted(inputs)} and gives {sorted(outputs)}")
    if x.dtype != "float32" or not x.shape.is_compatible_with([None, CLIP_SAMPLES]):
        raise _not_hear(f"takes x: {x.dtype.name} {x.shape}")
    if y.dtype != "float32" or y.shape.rank != 2 or y.shape[1] is None:
        raise _not_hear(f"gives output_0: {y.dtype.name} {y.shape}")
    return signature, int(y.shape[1])


def _not_hear(came: str) -> RepresentationError:
    return RepresentationError(
        f"hear: the SavedModel {came}; serving_default with x: float32 (n, {CLIP_SAMPLES}) and "
        f"output_0: float32 (n, d) was expected. Point {RELEASE.variable} at {RELEASE.repository}."
    )


def _batch_dependence(backend: HeAR) -> float:
    """Relative L2 difference of a quiet clip's vector alone and beside a clip 40 dB louder."""
    time = np.arange(CLIP_SAMPLES) / SAMPLE_RATE
    tones = sum(np.sin(2 * np.pi * 450 * k * time) / k for k in range(1, 8))
    noise = np.random.default_rng(0).standard_normal((2, CLIP_SAMPLES))
    quiet = 0.005 * tones * np.sin(np.pi * time) + 1e-4 * noise[0]
    loud = 0.5 * np.sin(2 * np.pi * 180 * time) + 0.05 * noise[1]
    pair = np.stack([quiet, loud]).astype(np.float32)
    alone, beside = backend.embed(pair[:1])[0], backend.embed(pair)[0]
    return float(np.linalg.norm(alone - beside) / max(float(np.linalg.norm(alone)), 1e-12))
