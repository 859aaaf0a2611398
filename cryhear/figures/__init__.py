"""Every picture of the study: a function takes a tidy table and returns a matplotlib figure.

Nothing here computes a result: binning a histogram, sorting rows and placing marks is all. Each
function names the columns it needs (``figures.roc.columns``) and refuses a table without them.
matplotlib is loaded at the first use of a function, not at import.
"""

from __future__ import annotations

import importlib
from typing import Any

_ROOMS: dict[str, tuple[str, ...]] = {
    "style": ("CLASS_STYLE", "SERIES", "png_bytes", "svg_bytes"),
    "data": (
        "ages", "class_distribution", "counts", "follow_up", "infant_mosaic", "labels_by_platform",
        "split_proof",
    ),
    "signal": (
        "augmentation_distance", "batch_hazard", "measurement", "preprocessing_steps", "spectra",
        "spectrograms", "waveforms",
    ),
    "embedding": (
        "backends", "barcodes", "matrix", "neighbour_purity", "pca_variance", "projection",
        "umap_stability",
    ),
    "scores": (
        "class_bars", "generalisation_gap", "learning_curves", "model_comparison",
        "precision_recall", "roc", "search", "summary_bars",
    ),
    "calibration": (
        "confidence", "confusion", "fold_scores", "reliability", "right_and_wrong",
        "split_lottery", "train_holdout_gap",
    ),
    "audit": (
        "ceiling", "detectable", "inflation", "ladder", "null_distribution", "power_curve",
        "precision_curve",
    ),
    "answers": ("decisions", "gates"),
    "sensitivity": (
        "beside_original", "controls", "out_of_distribution", "robustness", "specification_curve",
    ),
}  # fmt: skip
_HOME = {name: room for room, names in _ROOMS.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"cryhear.figures.{_HOME[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"cryhear.figures.{name}")
    raise AttributeError(f"cryhear.figures has no figure {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*__all__, *_ROOMS]
