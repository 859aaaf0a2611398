"""What predictions are worth: metrics, intervals, curves and calibration, under one name.

`metrics` and `ranking` score arrays, `intervals` and `bands` score tables of predictions with
their spread over infants, `calibration` mends and shows probabilities. Nothing here fits a model
on features or draws a figure.
"""

from __future__ import annotations

from cryhear.bands import POINTS, confusion_table, pr_band, roc_band
from cryhear.calibration import Calibration, cross_calibrate, fit_temperature, reliability
from cryhear.intervals import (
    CELL,
    PROBABILITIES,
    bootstrap,
    draw_weights,
    interval_of,
    paired_difference,
    repeated_scores,
)
from cryhear.metrics import (
    METRICS,
    Scorer,
    accuracy,
    balanced_accuracy,
    brier,
    confusion,
    ece,
    f1,
    log_loss,
    log_loss_prior,
    majority_rate,
    precision,
    recall,
    scores,
    weighted_mean,
)
from cryhear.predictions import codes, strata, validate
from cryhear.ranking import average_precision, class_auc, macro_auc

__all__ = [
    "CELL",
    "METRICS",
    "POINTS",
    "PROBABILITIES",
    "Calibration",
    "Scorer",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "bootstrap",
    "brier",
    "class_auc",
    "codes",
    "confusion",
    "confusion_table",
    "cross_calibrate",
    "draw_weights",
    "ece",
    "f1",
    "fit_temperature",
    "interval_of",
    "log_loss",
    "log_loss_prior",
    "macro_auc",
    "majority_rate",
    "paired_difference",
    "pr_band",
    "precision",
    "recall",
    "reliability",
    "repeated_scores",
    "roc_band",
    "scores",
    "strata",
    "validate",
    "weighted_mean",
]
