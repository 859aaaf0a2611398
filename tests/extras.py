"""What only an extra of the project brings, so that a test which needs it is skipped where it is absent."""

from __future__ import annotations

from importlib.util import find_spec

EXTRAS = {
    "hear": ("tensorflow",), "hear-pytorch": ("transformers",), "mlp": ("torch", "skorch"),
    "yamnet": ("ai_edge_litert",), "egemaps": ("opensmile",),
    "report": (
        "docutils", "ipykernel", "IPython", "ipywidgets", "jupyter_book", "latex2mathml", "librosa",
        "matplotlib", "nbclient", "nbformat", "papermill", "seaborn", "snakemake", "sphinx", "umap",
    ),
}  # fmt: skip
"""Packages that only an extra brings, by the name they are imported by."""


def absent(error: BaseException | None) -> str:
    """Why a test cannot run here, where an import failed of what an extra brings; else ''."""
    package = (getattr(error, "name", None) or "").split(".")[0]
    extra = next((extra for extra, packages in EXTRAS.items() if package in packages), "")
    if not isinstance(error, ModuleNotFoundError) or not extra or find_spec(package):
        return ""
    return f"{package} is not installed; pip install -e '.[{extra}]' brings it"
