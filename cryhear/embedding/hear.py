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
from cryhear.embedding.base import CLIP_SAMPLES, SAMPLE_RATE, Backend, told
from cryhear.errors import RepresentationError

PACKAGES = ("tensorflow",)
RELEASE = weights.Release(
    name="hear",
    repository="google/hear",
    revision="9b2eb2853c426676255cc6ac5804b7f1fe8e563f",
    files=("saved_model.pb", "fingerprint.pb", "variables/*"),  # the event detector stays there
    required=("saved_model.pb", "variables/variables.index", "variables/variables.data-*"),
    variable="HEAR_MODEL_DIR",
    package="tensorflow",
    least="2.18",
    why="the release holds StableHLO, which older ones cannot read",
)

BATCH = 8
"""Clips a forward pass: on two cores about twice as fast a clip as one at a time."""

BATCH_TOLERANCE = 1e-3
"""Largest relative difference (L2) of a clip's vector alone and in a batch that still counts as
rounding. Float32 kernels differ by about 4e-6 with the size of a batch; a front end that scales by
the extremes of the whole batch moves a spectrogram by about a third."""


TRIED = (1, 2, 4, 8, 16, 32)
"""Sizes of a batch that are tried on a model that does not take any number of clips."""


class HeAR(Backend):
    """HeAR through TensorFlow.

    How many clips the model takes at a time and how long its vectors are is learned by running it,
    since a signature may leave either open. `note` says if it failed the probe of batch independence
    and is fed one clip at a time.
    """

    name = RELEASE.name

    def __init__(
        self, path: str | os.PathLike[str] | None = None, num_threads: int | None = None
    ) -> None:
        folder = weights.folder_of(RELEASE, path)  # before TensorFlow's import, which takes seconds
        self.revision = weights.revision_of(folder)
        index = ["saved_model.pb", "variables/variables.index"]  # holds a checksum of each weight
        self.version = weights.content_version(folder, index)
        # Keeps the SavedModel alive: its signature holds only weak references to the variables.
        self._model = _saved_model(folder, num_threads)
        self._signature, declared = _signature(self._model)
        self._rows, self.dimension = self._learned(declared)
        self.batch_size = self._rows or BATCH
        difference = _batch_dependence(self)
        if difference > BATCH_TOLERANCE:
            self.batch_size = 1
            self.note = (
                "This model's vector of a clip depends on the other clips of its batch (relative "
                f"difference {difference:.2g} beside a much louder clip), so it is fed one clip at "
                "a time."
            )

    def _learned(self, declared: int | None) -> tuple[int | None, int]:
        """The number of clips it must be given, None for any, and the length of its vectors."""
        if declared is None:
            with contextlib.suppress(RepresentationError):
                self._run(np.zeros((3, CLIP_SAMPLES), np.float32))
                return None, self._run(np.zeros((1, CLIP_SAMPLES), np.float32)).shape[1]
        problem = None
        for rows in TRIED if declared is None else (declared,):
            try:
                return rows, self._run(np.zeros((rows, CLIP_SAMPLES), np.float32)).shape[1]
            except RepresentationError as error:
                problem = problem or error
        raise problem or _not_hear("takes no clip")

    def _forward(self, batch: np.ndarray) -> np.ndarray:
        rows = len(batch)
        if self._rows:
            # Copies of the last clip, so that a model that scales by its whole batch sees no other sound.
            batch = np.concatenate([batch, np.repeat(batch[-1:], self._rows - rows, axis=0)])
        return self._run(batch)[:rows]

    def _run(self, batch: np.ndarray) -> np.ndarray:
        """One pass through the graph: (n, 32000) to (n, d)."""
        import tensorflow as tf

        try:
            vectors = self._signature(x=tf.constant(batch))["output_0"].numpy()
        except Exception as problem:  # whatever a graph can raise
            raise RepresentationError(
                f"hear: the model failed on {len(batch)} clips ({told(problem)}); a vector for each was "
                f"expected. Download {RELEASE.repository} again, or free memory if that is what it lacked."
            ) from problem
        if vectors.ndim != 2 or len(vectors) != len(batch):
            raise _not_hear(f"gives output_0 of shape {vectors.shape} for {len(batch)} clips")
        return vectors


load = HeAR
"""Load HeAR from `path`, ``HEAR_MODEL_DIR``, the Hub's cache or the Hub."""


def fetch() -> None:
    """Find or download the weights, without loading TensorFlow."""
    weights.folder_of(RELEASE)


def available() -> tuple[bool, str]:
    """Whether the weights are at hand, and TensorFlow can read them."""
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
    except Exception as problem:  # damage shows itself as many types
        raise RepresentationError(
            f"hear: {folder} does not load as a SavedModel ({told(problem)}). "
            f"Expected the files of {RELEASE.repository}: remove the folder and download it again."
        ) from problem


def _signature(model: Any) -> tuple[Any, int | None]:
    """The serving signature and the number of clips it says it takes, if it is HeAR's."""
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
    if y.dtype != "float32" or y.shape.rank not in (2, None):
        raise _not_hear(f"gives output_0: {y.dtype.name} {y.shape}")
    fixed = [shape[0] for shape in (x.shape, y.shape) if shape.rank and shape[0] is not None]
    return signature, fixed[0] if fixed else None


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
