"""`hear-pytorch`: HeAR's PyTorch release behind our own front end.

The release is a ViT that takes spectrograms; `cryhear.embedding.hear_frontend` makes them. No code
from the Hub is run. Its weights are gated.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from cryhear.embedding import weights
from cryhear.embedding.base import BaseBackend, need_package
from cryhear.errors import RepresentationError

RELEASE = weights.Release(
    name="hear-pytorch",
    repository="google/hear-pytorch",
    revision="main",  # `version` is made from the weights, so that another revision is another store
    files=("config.json", "model.safetensors"),
    required=("config.json", "model.safetensors"),
    variable="HEAR_PYTORCH_MODEL_DIR",
    package="transformers",
)

FRONT_END = "pcen1"
"""Part of the version: change it with the front end's numbers."""

BATCH = 8


class HeARPyTorch(BaseBackend):
    """HeAR through PyTorch and transformers, on a GPU where there is one."""

    name = RELEASE.name
    batch_size = BATCH

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        num_threads: int | None = None,
        device: str | None = None,
    ) -> None:
        _need_packages()
        folder = weights.folder_of(RELEASE, path)
        self.version = f"{weights.content_version(folder, list(RELEASE.required))}-{FRONT_END}"
        import torch

        if num_threads is not None:
            torch.set_num_threads(num_threads)
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = _vit(folder).to(self.device)
        self.dimension = int(self._forward(np.zeros((1, 32_000), np.float32)).shape[1])

    def _forward(self, batch: np.ndarray) -> np.ndarray:
        import torch

        from cryhear.embedding.hear_frontend import spectrogram

        with torch.inference_mode():
            image = spectrogram(torch.from_numpy(batch).to(self.device))
            return self._model(image).pooler_output.float().cpu().numpy()


def load(
    path: str | os.PathLike[str] | None = None,
    num_threads: int | None = None,
    device: str | None = None,
) -> HeARPyTorch:
    """Load HeAR from `path`, ``HEAR_PYTORCH_MODEL_DIR``, the Hub's cache or the Hub."""
    return HeARPyTorch(path, num_threads, device)


def fetch() -> None:
    """Find or download the weights, without loading PyTorch."""
    _need_packages()
    weights.folder_of(RELEASE)


def available() -> tuple[bool, str]:
    """Whether transformers and the weights are at hand."""
    return weights.available(RELEASE)


def _need_packages() -> None:
    for package in ("torch", "transformers"):
        need_package(package, "hear-pytorch", RELEASE.name)


def _vit(folder: Path) -> Any:
    """The encoder, if it is one that takes 1 x 192 x 128 images and has a pooler."""
    import torch
    from transformers import AutoModel

    from cryhear.embedding.hear_frontend import SIZE

    try:
        model = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
        )
    except (OSError, ValueError, KeyError) as problem:
        raise RepresentationError(
            f"hear-pytorch: {folder} does not load as a transformers model ({problem}). Expected the "
            f"files of {RELEASE.repository}: remove the folder and download it again."
        ) from problem
    config = model.config
    found = (getattr(config, "num_channels", None), getattr(config, "image_size", None))
    if found != (1, list(SIZE)) and found != (1, SIZE):
        raise RepresentationError(
            f"hear-pytorch: the model takes {found[0]} channels of size {found[1]}; 1 of {SIZE} was "
            f"expected. Point {RELEASE.variable} at {RELEASE.repository}."
        )
    if getattr(model, "pooler", None) is None:
        raise RepresentationError(
            "hear-pytorch: the model has no pooler, whose output is the embedding. "
            f"Point {RELEASE.variable} at {RELEASE.repository}."
        )
    return model.eval()
