"""`hear-pytorch`: HeAR's PyTorch release behind our own front end.

The release is a ViT that takes spectrograms; `cryhear.embedding.hear_frontend` makes them. No code
from the Hub is run. Its weights are gated.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cryhear.embedding import weights
from cryhear.embedding.base import Backend, told
from cryhear.errors import RepresentationError

PACKAGES = ("torch", "transformers")
RELEASE = weights.Release(
    name="hear-pytorch",
    repository="google/hear-pytorch",
    revision="main",  # resolved at download; `version` is made from the weights themselves
    files=("config.json", "model*.safetensors*"),  # in one file, or several with their index
    required=("config.json", "model*.safetensors"),
    variable="HEAR_PYTORCH_MODEL_DIR",
    package="transformers",
)

FRONT_END = "pcen1"
"""Part of the version: change it with the front end's numbers."""

BATCH = 8

CONFIGURATION: Mapping[str, Any] = {
    "model_type": "vit", "image_size": [192, 128], "patch_size": 16, "num_channels": 1,
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
    "hidden_act": "gelu_fast", "layer_norm_eps": 1e-6, "pooler_act": "linear",
}  # fmt: skip
"""What the release's ``config.json`` must say, from Google's notebook for it. Another activation or
epsilon loads without a word and gives other vectors: a ViT's own pooler ends in tanh."""


class HeARPyTorch(Backend):
    """HeAR through PyTorch and transformers, on a GPU where there is one.

    `configuration` is what the model must say of itself; only a test's small model has another.
    """

    name = RELEASE.name
    batch_size = BATCH

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        num_threads: int | None = None,
        device: str | None = None,
        configuration: Mapping[str, Any] = CONFIGURATION,
    ) -> None:
        folder = weights.folder_of(RELEASE, path)
        self.revision = weights.revision_of(folder)
        files = ["config.json", *sorted(p.name for p in folder.glob("model*.safetensors*"))]
        self.version = f"{weights.content_version(folder, files)}-{FRONT_END}"
        import torch

        if num_threads is not None:
            torch.set_num_threads(num_threads)
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = _vit(folder, configuration).to(self.device)
        self.dimension = int(self._forward(np.zeros((1, 32_000), np.float32)).shape[1])

    def _forward(self, batch: np.ndarray) -> np.ndarray:
        import torch

        from cryhear.embedding.hear_frontend import spectrogram

        try:
            with torch.inference_mode():
                image = spectrogram(torch.from_numpy(batch).to(self.device))
                return self._model(image).pooler_output.float().cpu().numpy()
        except RuntimeError as problem:
            raise RepresentationError(
                f"hear-pytorch: the model failed on {len(batch)} clips ({told(problem)}); a vector for each "
                "was expected. Free memory if that is what it lacked, or use another device."
            ) from problem


load = HeARPyTorch
"""Load HeAR from `path`, ``HEAR_PYTORCH_MODEL_DIR``, the Hub's cache or the Hub."""


def fetch() -> None:
    """Find or download the weights, without loading PyTorch."""
    weights.folder_of(RELEASE)


def available() -> tuple[bool, str]:
    """Whether the weights are at hand."""
    return weights.available(RELEASE)


def _vit(folder: Path, configuration: Mapping[str, Any]) -> Any:
    """The encoder, if it is configured as it should be and every one of its weights was read."""
    import torch
    from transformers import AutoConfig, AutoModel

    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        _check_configuration(folder, AutoConfig.from_pretrained(folder, **local), configuration)
        model, loaded = AutoModel.from_pretrained(
            folder,
            **local,
            use_safetensors=True,
            dtype=torch.float32,
            # By itself transformers fills what it does not find with random numbers.
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, with the rest
        )
    except RepresentationError:
        raise
    except Exception as problem:  # damage shows itself as many types
        raise RepresentationError(
            f"hear-pytorch: {folder} does not load as a transformers model ({told(problem)}). Expected the "
            f"files of {RELEASE.repository}: remove the folder and download it again."
        ) from problem
    _check_loaded(folder, loaded)
    return model.eval()


def _check_configuration(folder: Path, found: Any, expected: Mapping[str, Any]) -> None:
    """Refuse a model that would read the same weights in another way, or is another model."""
    for name, value in expected.items():
        given = getattr(found, name, None)
        given = list(given) if isinstance(given, tuple) else given
        if given != value:
            raise RepresentationError(
                f"hear-pytorch: {folder / 'config.json'} has {name} {given!r}; {value!r} was expected. Point "
                f"{RELEASE.variable} at {RELEASE.repository}, or download it again."
            )


def _check_loaded(folder: Path, loaded: Mapping[str, Any]) -> None:
    """Refuse a model some of whose weights are not the file's."""
    for kind, what in (
        ("missing_keys", "are not in the file and would be random"),
        ("mismatched_keys", "have another shape in the file"),
        ("unexpected_keys", "are in the file and have no place in the model"),
        ("error_msgs", "were not read"),
    ):
        # A mismatched key comes with its two shapes.
        names = sorted(k if isinstance(k, str) else str(k[0]) for k in loaded.get(kind) or ())
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise RepresentationError(
                f"hear-pytorch: weights of {folder} {what}: {shown}; each weight of the model was expected "
                f"once, in its shape. Download {RELEASE.repository} again; if it stays so, its names do not "
                "suit the installed version of transformers (the release was made with 4.50.3)."
            )
