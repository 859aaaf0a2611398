"""`yamnet`: YAMNet's 1,024-value embedding, and its 521 AudioSet scores for the cry gate.

A MobileNet trained on AudioSet, whose classes include 'Baby cry, infant cry' (Google, Apache-2.0).
It runs as TensorFlow Lite through LiteRT, which loads in half a second.
"""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cryhear.embedding.base import (
    Backend,
    check_clips,
    within_full_scale,
)
from cryhear.errors import RepresentationError
from cryhear.files import sha256_of

PACKAGES = ("ai_edge_litert",)
URL = "https://tfhub.dev/google/lite-model/yamnet/classification/tflite/1?lite-format=tflite"
SHA256 = "687f226c147a2caab4706fbbab5e9cecb14b9a368264bf61108078b1fddf68f5"
VARIABLE = "CRYHEAR_YAMNET"
"""Environment variable that names a local copy of the model."""

WINDOW = 15_600
"""Samples the model takes: 0.975 s."""
WINDOW_STARTS = (0, 8_200, 16_400)
"""Three windows cover a 32,000-sample clip from its first sample to its last, overlapping by 47 %."""

DIMENSION = 1024
N_SCORES = 521
BABY_CRY = 20
"""Index of the score 'Baby cry, infant cry'."""
CRYING = (19, BABY_CRY)
"""AudioSet's 'Crying, sobbing' and 'Baby cry, infant cry'."""

_EMBEDDING = "global_average_pooling2d/Mean"


class YAMNet(Backend):
    """Mean over three windows of the layer before YAMNet's classifier."""

    name = "yamnet"
    batch_size = 64
    dimension = DIMENSION
    version = f"{SHA256[:12]}-mean{len(WINDOW_STARTS)}"

    def __init__(self, path: str | os.PathLike[str] | None = None, num_threads: int = 1) -> None:
        model = model_file(path)
        self.num_threads = num_threads
        # One interpreter a thread: side by side they scale better than threads inside one.
        self._models = [_Interpreter(model) for _ in range(self.num_threads)]

    def scores(self, clips: np.ndarray) -> np.ndarray:
        """AudioSet scores of clips, the mean over each clip's three windows.

        Parameters
        ----------
        clips : numpy.ndarray, shape (n, 32000), float32

        Returns
        -------
        numpy.ndarray, shape (n, 521), float32, 0 to 1
            Column `BABY_CRY` is 'Baby cry, infant cry'.
        """
        check_clips(clips)
        return self._run(clips)[1]

    def _forward(self, batch: np.ndarray) -> np.ndarray:
        return self._run(batch)[0]

    def _run(self, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        embeddings = np.zeros((len(clips), DIMENSION), dtype=np.float32)
        scores = np.zeros((len(clips), N_SCORES), dtype=np.float32)

        def work(thread: int) -> None:
            for row in range(thread, len(clips), self.num_threads):
                clip = within_full_scale(clips[row : row + 1])[0]
                for start in WINDOW_STARTS:
                    embedding, score = self._models[thread](clip[start : start + WINDOW])
                    embeddings[row] += embedding
                    scores[row] += score

        with ThreadPoolExecutor(self.num_threads) as pool:
            list(pool.map(work, range(self.num_threads)))
        n = np.float32(len(WINDOW_STARTS))
        return embeddings / n, scores / n


class _Interpreter:
    """One LiteRT interpreter: a window in, its embedding and scores out."""

    def __init__(self, model: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with warnings.catch_warnings():
            # Keeping all tensors costs memory, which LiteRT warns of; this model needs 20 MB.
            warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors.*")
            self._interpreter = Interpreter(
                model_path=str(model), num_threads=1, experimental_preserve_all_tensors=True
            )
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._scores = self._interpreter.get_output_details()[0]["index"]
        # Two tensors carry the pooled layer's name, the other holds reduction indices.
        self._embedding = next(
            tensor["index"]
            for tensor in self._interpreter.get_tensor_details()
            if tensor["name"].split(";")[0].endswith(_EMBEDDING)
            and tensor["dtype"] == np.float32
            and tuple(tensor["shape"]) == (1, DIMENSION)
        )

    def __call__(self, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._interpreter.set_tensor(self._input, window)
        self._interpreter.invoke()
        get = self._interpreter.get_tensor
        return get(self._embedding)[0], get(self._scores)[0]


load = YAMNet
"""Load YAMNet from `path`, ``CRYHEAR_YAMNET``, the local cache or its public address."""


def fetch() -> None:
    """Find or download the weights."""
    model_file()


def available() -> tuple[bool, str]:
    """Whether the weights are at hand."""
    local = named()
    if local:
        there = Path(local).is_file()
        return (
            there,
            f"{VARIABLE} names {'a file' if there else 'no file: set it to yamnet.tflite'}",
        )
    if _cached().is_file():
        return True, "downloaded before"
    return False, f"run `cryhear embed` with a network, or set {VARIABLE} to a copy of {URL}"


def named() -> str | None:
    """The file that ``CRYHEAR_YAMNET`` names, there or not; None where it names none."""
    return os.environ.get(VARIABLE) or None


def model_file(path: str | os.PathLike[str] | None = None) -> Path:
    """Find the model file, download it if need be, and check its SHA-256.

    Raises
    ------
    RepresentationError
        It is not there and cannot be downloaded, or is another file.
    """
    local = named() if path is None else path
    file = _download() if local is None else Path(local)
    if not file.is_file():
        raise RepresentationError(
            f"yamnet: {file} is not a file; the model yamnet.tflite was expected there. Correct the "
            f"path (parameter or {VARIABLE}), or leave both out to have it downloaded."
        )
    found = sha256_of(file)
    if found != SHA256:
        raise RepresentationError(
            f"yamnet: {file} has SHA-256 {found}; {SHA256} was expected. Get the file from {URL}"
        )
    return file


def _cached() -> Path:
    import pooch

    return Path(pooch.os_cache("cryhear")) / "yamnet.tflite"


def _download() -> Path:
    import pooch

    target = _cached()
    try:
        return Path(pooch.retrieve(URL, f"sha256:{SHA256}", fname=target.name, path=target.parent))
    except Exception as problem:  # requests, urllib3 and pooch each have their own
        raise RepresentationError(
            f"yamnet: the model could not be downloaded ({type(problem).__name__}). Expected to get "
            f"{URL} into {target.parent} . Connect to a network and run again, set XDG_CACHE_HOME if that "
            f"folder cannot be written, or download it elsewhere and set {VARIABLE} to the file."
        ) from problem
