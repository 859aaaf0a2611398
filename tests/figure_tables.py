"""A small table for every figure, as chapters would make it: numbers mean nothing."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from cryhear import figures
from cryhear.corpus.labels import CLASSES

PARTS = ("train", "validation", "test", "holdout")
MODELS = (
    "svm_rbf",
    "logistic_regression",
    "random_forest",
    "gradient_boosting",
    "soft_voting",
    "mlp",
)


def frame(rows: list[tuple], *columns: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns))


def spread(values: list[float], width: float = 0.05) -> pd.DataFrame:
    value = np.asarray(values)
    return pd.DataFrame({"value": value, "low": value - width, "high": value + 1.3 * width})


def waves() -> pd.DataFrame:
    time = np.linspace(0, 6, 400)
    parts = []
    for i, label in enumerate(CLASSES):
        size = np.abs(np.sin(time * (1 + i))) * 0.7 + 0.02
        table = pd.DataFrame({"time_s": time, "low": -size, "high": size * 0.9})
        parts.append(table.assign(label=label, recording=f"{i}f3a9c0d1e2b4a56"))
    return pd.concat(parts, ignore_index=True)


def spectrogram() -> pd.DataFrame:
    time, hertz = np.arange(0, 4, 0.05), 700 * (10 ** (np.linspace(0, 2840, 66)[1:-1] / 2595) - 1)
    parts = []
    for i, label in enumerate(CLASSES):
        t, f = np.meshgrid(time, hertz)
        level = -70 + 60 * np.exp(-(((f - 500 * (i + 1)) / 400) ** 2)) * np.abs(np.sin(3 * t))
        parts.append(
            pd.DataFrame(
                {"time_s": t.ravel(), "frequency_hz": f.ravel(), "level_db": level.ravel()}
            ).assign(label=label)
        )
    return pd.concat(parts, ignore_index=True)


def steps() -> pd.DataFrame:
    parts = []
    for i, step in enumerate(("recording", "Wiener", "Gaussian", "RMS")):
        time, hertz = np.linspace(0, 6, 200), np.geomspace(40, 7800, 64)
        size = np.abs(np.sin(time)) * (0.2 + 0.2 * i)
        parts.append(
            pd.DataFrame({"kind": "envelope", "x": time, "low": -size, "high": size, "step": step})
        )
        level = -40 - 20 * np.log10(hertz / 40) * (1 + 0.2 * i)
        parts.append(
            pd.DataFrame(
                {"kind": "spectrum", "x": hertz, "low": level, "high": level, "step": step}
            )
        )
    return pd.concat(parts, ignore_index=True)


def points(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    label = rng.choice(CLASSES, n, p=[0.15, 0.75, 0.1])
    return pd.DataFrame(
        {
            "x": rng.normal(size=n), "y": rng.normal(size=n), "label": label,
            "infant": [f"i{v:03d}" for v in (rng.pareto(1, n) * 5).astype(int)],
            "platform": rng.choice(["android", "ios", ""], n), "part": rng.choice(PARTS, n),
            "age_band": rng.choice(["04", "48", "26", ""], n), "correct": rng.random(n) < 0.6,
            "confidence": rng.uniform(1 / 3, 1, n), "level_dbfs": rng.normal(-30, 6, n),
            "duration_s": rng.gamma(30, 0.23, n), "seed": rng.integers(0, 4, n),
        }
    )  # fmt: skip


def distribution() -> pd.DataFrame:
    share = {"train": 0.4, "validation": 0.15, "test": 0.15, "holdout": 0.3}
    rows = [
        (unit, p, c, round(n * share[p]))
        for unit in ("file", "infant")
        for p in PARTS
        for c, n in zip(CLASSES, (102, 742, 88), strict=True)
    ]
    return frame(rows, "unit", "part", "label", "n")


def proof() -> pd.DataFrame:
    rows = []
    for unit, shared in (("file", 31), ("infant", 0)):
        for i, a in enumerate(PARTS):
            for b in PARTS[i + 1 :]:
                rows.append((unit, a, b, 120, 90, shared))
    return frame(rows, "unit", "part_a", "part_b", "infants_a", "infants_b", "shared_infants")


def curves(x: str, y: str) -> pd.DataFrame:
    grid = np.linspace(0, 1, 101)
    parts = []
    for i, label in enumerate((*CLASSES, "macro")):
        value = (
            grid ** (0.9 - 0.15 * i) if y == "true_positive_rate" else 0.9 - 0.6 * grid ** (0.5 + i)
        )
        parts.append(
            pd.DataFrame(
                {x: grid, y: value, "low": value - 0.08, "high": value + 0.08, "label": label}
            )
        )
    return pd.concat(parts, ignore_index=True)


def areas() -> pd.DataFrame:
    return pd.concat(
        [frame([(c,) for c in (*CLASSES, "macro")], "label"), spread([0.55, 0.6, 0.58, 0.57])],
        axis=1,
    )


def history() -> pd.DataFrame:
    epoch = np.arange(1, 51)
    return pd.DataFrame(
        {
            "epoch": epoch, "train_loss": 1.1 * np.exp(-epoch / 30), "valid_loss": 1 + 0.004 * epoch,
            "train_acc": 1 - 0.6 * np.exp(-epoch / 20), "valid_acc": 0.45 + 0.001 * epoch, "valid_majority": 0.5,
            "guessing_loss": 1.12,
            "lr": 1e-3 * (1 + np.cos(epoch / 50 * np.pi)) / 2, "best": epoch == 18,
        }
    )  # fmt: skip


def confusions() -> pd.DataFrame:
    rows = [
        (p, t, *(12 * (t == q) + 5 for q in CLASSES))
        for p in ("validation", "test", "holdout") for t in CLASSES
    ]  # fmt: skip
    return frame(rows, "part", "true", *CLASSES)


def ladder() -> pd.DataFrame:
    rows = [
        (
            rung,
            series,
            0.8 - 0.07 * i - 0.02 * j,
            0.75 - 0.07 * i - 0.02 * j,
            0.85 - 0.07 * i - 0.02 * j,
        )
        for i, rung in enumerate(("L0", "L1", "L2", "L3", "L4"))
        for j, series in enumerate(("yamnet", "egemaps", "logmel", "metadata alone"))
    ]
    return frame(rows, "rung", "series", "value", "low", "high")


def strengths() -> pd.DataFrame:
    loss = (1.099, 1.109, 1.17, 1.48, 2.49, 4.76)
    C = 10.0 ** np.arange(-5, 1)
    table = pd.DataFrame({"C": C, "log_loss": loss, "chosen": [0, 50, 0, 0, 0, 0]})
    return pd.concat([table, spread([0.48, 0.5, 0.53, 0.55, 0.55, 0.54])], axis=1)


def probes() -> pd.DataFrame:
    C = 10.0 ** np.arange(-4, 1)
    targets = {"label": 0.5, "infant": 0.8, "age band": 0.62, "sex": 0.49, "platform": 0.9}
    return pd.concat([
        pd.concat([pd.DataFrame({"C": C, "target": name}), spread([value] * 5)], axis=1)
        for name, value in targets.items()
    ])  # fmt: skip


def scored(column: str, names: tuple[str, ...], low: float = 0.45) -> pd.DataFrame:
    value = np.linspace(low, low + 0.25, len(names))
    return pd.concat([pd.DataFrame({column: names}), spread(list(value))], axis=1)


def specifications() -> pd.DataFrame:
    cells = [("primary", "as frozen"), ("labels", "strict"), ("set", "cleaned"), ("age", "0 to 4 weeks"),
             ("band", "low-passed at 4 kHz"), ("gate", "cry-gated by YAMNet"), ("Wiener", "off"), ("RMS", "off"),
             ("embeddings", "centred"), ("pooling", "maximum"), ("time gap", "at least 1 h"),
             ("weights", "infants")]  # fmt: skip
    table = frame(cells, "factor", "level").assign(primary=lambda t: t["factor"] == "primary")
    rng = np.random.default_rng(0)
    return pd.concat([table, spread(list(rng.normal(0.53, 0.03, len(cells))))], axis=1)


def model_rows() -> pd.DataFrame:
    table = scored("model", ("majority", "metadata alone", *MODELS), 0.33)
    hear = pd.DataFrame({"model": ["hear"], "note": ["not run: gated weights"]})
    return pd.concat([table, hear], ignore_index=True).fillna({"note": ""})


def both_sets(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(
        [table.assign(set="uploads"), table.assign(set="cleaned", value=table["value"] - 0.02)]
    )


def lottery() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.concat(
        [
            pd.DataFrame({"unit": u, "value": rng.normal(m, 0.05, 60)})
            for u, m in (("file", 0.6), ("infant", 0.52))
        ]
    )


def mosaic() -> pd.DataFrame:
    return points(900).groupby(["infant", "label"]).size().rename("n").reset_index()


def platforms() -> pd.DataFrame:
    rows = [("android", "pain", 0.07, 37), ("android", "hunger", 0.86, 485), ("android", "neurological", 0.07, 40),
            ("ios", "pain", 0.18, 65), ("ios", "hunger", 0.7, 257), ("ios", "neurological", 0.12, 48)]  # fmt: skip
    table = frame(rows, "platform", "label", "share", "n")
    return table.assign(low=table["share"] - 0.03, high=table["share"] + 0.04)


def gaps() -> pd.DataFrame:
    rows = [("under 1 min", 312, 0.1), ("1 to 5 min", 459, 0.21), ("5 to 60 min", 130, 0.3), ("1 to 24 h", 80, 0.34),
            ("over 1 day", 150, 0.35)]  # fmt: skip
    table = frame(rows, "gap", "n", "share")
    return table.assign(low=table["share"] - 0.04, high=table["share"] + 0.05)


def histogram_rows(groups: tuple[str, ...], column: str, value: str, n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    return pd.concat(
        [pd.DataFrame({column: g, value: rng.gamma(3 + i, 0.1, n)}) for i, g in enumerate(groups)],
        ignore_index=True,
    )


def power() -> pd.DataFrame:
    rows = [
        (0.0, 0.5, 0.05),
        (0.2, 0.53, 0.2),
        (0.5, 0.585, 0.7),
        (0.8, 0.65, 0.95),
        (1.2, 0.73, 1.0),
    ]
    table = frame(rows, "effect", "auc", "power")
    return table.assign(
        low=(table["power"] - 0.06).clip(0), high=(table["power"] + 0.06).clip(upper=1)
    )


def spectra_rows() -> pd.DataFrame:
    hertz = np.linspace(50, 7900, 80)
    parts = []
    for i, group in enumerate(("uploads", "cleaned")):
        level = -30 - hertz / 250 - 25 * i * (hertz > 4000)
        parts.append(
            pd.DataFrame(
                {
                    "group": group,
                    "frequency_hz": hertz,
                    "level_db": level,
                    "low": level - 6,
                    "high": level + 6,
                    "empty": 0.9 * i * (hertz > 4000),
                }
            )
        )
    return pd.concat(parts)


def barcode() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.concat(
        [
            pd.DataFrame({"label": c, "dimension": np.arange(256), "value": rng.normal(size=256)})
            for c in CLASSES
        ]
    )


def purity() -> pd.DataFrame:
    rows = [
        (t, k, p - 0.05 * np.log(k), c, p - 0.05 * np.log(k) - 0.03, p - 0.05 * np.log(k) + 0.03)
        for t, p, c in (("pain", 0.4, 0.11), ("hunger", 0.85, 0.79), ("neurological", 0.3, 0.1), ("same infant", 0.6, 0.02))
        for k in (1, 5, 10, 20)
    ]  # fmt: skip
    return frame(rows, "target", "k", "purity", "chance", "low", "high")


def hazard() -> pd.DataFrame:
    rows = [("per clip", "alone", 0.0), ("per clip", "8 clips", 2e-6), ("per clip", "8 clips, one loud", 3e-6),
            ("per batch", "alone", 0.0), ("per batch", "8 clips", 0.02), ("per batch", "8 clips, one loud", 1.4)]  # fmt: skip
    return frame(rows, "scaling", "batch", "difference")


def folds() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [(g, r, f, rng.normal(m, 0.04)) for g, m in (("rows, augmented", 0.8), ("recordings", 0.45), ("infants", 0.36))
            for r in range(10) for f in range(5)]  # fmt: skip
    return frame(rows, "group", "repeat", "fold", "value")


def searched() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = frame(
        [(m, c, f) for m in MODELS for c in range(12) for f in range(2)],
        "model",
        "candidate",
        "fold",
    )
    return table.assign(
        scoring=np.where(table["model"] == "svm_rbf", "balanced_accuracy", "balanced_log_loss"),
        chance=-1.1,
        mean_score=np.repeat(rng.normal(-1.05, 0.03, len(MODELS) * 12), 2),
        chosen=table["candidate"] == 3,
    )


def bins() -> pd.DataFrame:
    parts = []
    for label in CLASSES:
        predicted = np.linspace(0.05, 0.9, 10)
        parts.append(
            pd.DataFrame(
                {"label": label, "predicted": predicted, "observed": predicted * 0.7 + 0.1, "n": 90}
            )
        )
    table = pd.concat(parts)
    return table.assign(low=table["observed"] - 0.08, high=table["observed"] + 0.08)


def original() -> pd.DataFrame:
    rows = [("MLP accuracy, holdout", 0.684, 0.62), ("MLP weighted F1, holdout", 0.695, 0.6), ("AUC pain", 0.808, 0.63),
            ("AUC hunger", 0.788, 0.6), ("AUC neurological", 0.876, 0.66), ("SVM accuracy, 5 folds over rows", 0.819, 0.88)]  # fmt: skip
    table = frame(rows, "quantity", "original", "ours").assign(
        chance=[0.8, 0.71, 0.5, 0.5, 0.5, 0.8]
    )
    shared = ["same folds and grid"] + ["same split only"] * 5
    return table.assign(
        low=table["ours"] - 0.05, high=table["ours"] + 0.05, infants=0.5, shared=shared
    )


def metric_rows(column: str, groups: tuple[str, ...], metrics: tuple[str, ...]) -> pd.DataFrame:
    table = frame([(g, m) for g in groups for m in metrics], column, "metric")
    return pd.concat([table, spread(list(np.linspace(0.3, 0.7, len(table))))], axis=1)


def controls() -> pd.DataFrame:
    names = (
        "planted signal",
        "platform",
        "permuted labels",
        "infant identity (top 1)",
        "age band",
        "sex",
        "cause of crying",
    )
    table = scored("target", names, 0.5).assign(value=[0.99, 0.93, 0.5, 0.41, 0.55, 0.52, 0.53])
    return table.assign(
        low=table["value"] - 0.03,
        high=table["value"] + 0.01,
        chance=[0.5, 0.5, 0.5, 0.01, 0.5, 0.5, 0.5],
    )


def degraded() -> pd.DataFrame:
    rows = [(s, r) for r in ("yamnet", "egemaps", "logmel") for s in (-5, 0, 5, 10, 20, 30)]
    return pd.concat(
        [
            frame(rows, "severity", "representation"),
            spread(list(np.tile(np.linspace(0.5, 0.56, 6), 3))),
        ],
        axis=1,
    )


EXAMPLES: dict[str, Callable[[], tuple[tuple, dict[str, Any]]]] = {
    "class_distribution": lambda: ((distribution(),), {}),
    "counts": lambda: ((frame([("3gp amr_nb", 600, "android"), ("caf ima4", 360, "ios"), ("wav", 20, "ios"), ("wav", 100, "android")], "group", "n", "platform"),), {"by": "platform"}),
    "ages": lambda: ((points().groupby(["age_band", "label"]).size().rename("n").reset_index(),), {}),
    "infant_mosaic": lambda: ((mosaic(),), {}),
    "labels_by_platform": lambda: ((platforms(),), {}),
    "follow_up": lambda: ((gaps(),), {}),
    "measurement": lambda: ((points(), "duration_s"), {}),
    "measurement:platform": lambda: ((points(), "level_dbfs"), {"by": "platform"}),
    "split_proof": lambda: ((proof(),), {}),
    "waveforms": lambda: ((waves(),), {}),
    "spectrograms": lambda: ((spectrogram(),), {}),
    "preprocessing_steps": lambda: ((steps(),), {}),
    "augmentation_distance": lambda: ((histogram_rows(("noise", "time stretch", "pitch", "shift", "another recording"), "kind", "distance"),), {}),
    "spectra": lambda: ((spectra_rows(),), {"mark_hz": 4000}),
    "gain": lambda: ((frame([(f, -f / 4000) for f in range(0, 8001, 100)], "frequency_hz", "gain_db"), 4000), {}),
    "batch_hazard": lambda: ((hazard(),), {"tolerance": 1e-4}),
    "barcodes": lambda: ((barcode(),), {}),
    "pca_variance": lambda: ((frame([(i, 0.3 * 0.7 ** (i - 1), 1 - 0.7**i) for i in range(1, 41)], "component", "share", "cumulative"),), {}),
    "projection": lambda: ((points(),), {}),
    "projection:infant": lambda: ((points(),), {"by": "infant"}),
    "projection:age": lambda: ((points(),), {"by": "age_band"}),
    "projection:part": lambda: ((points(),), {"panel": "part", "axis_names": ("PC 1 (21 % of the variance)", "PC 2 (9 %)")}),
    "projection:seed": lambda: ((points(),), {"panel": "seed"}),
    "right_and_wrong": lambda: ((points(),), {}),
    "umap_stability": lambda: ((histogram_rows(("trustworthiness", "neighbour overlap", "shape agreement"), "quantity", "value", 10).assign(chance=0.04),), {}),
    "neighbour_purity": lambda: ((purity(),), {}),
    "model_comparison": lambda: ((model_rows(),), {}),
    "model_comparison:sets": lambda: ((both_sets(model_rows()),), {"series": "set"}),
    "search": lambda: ((searched(), "Mean score on inner folds"), {}),
    "learning_curves": lambda: ((history(),), {}),
    "generalisation_gap": lambda: ((history().assign(value=lambda t: t["train_acc"] - t["valid_acc"]),), {}),
    "confusion": lambda: ((confusions(),), {"panel": "part"}),
    "roc": lambda: ((curves("false_positive_rate", "true_positive_rate"), areas()), {}),
    "precision_recall": lambda: ((curves("recall", "precision"), areas()), {"prevalence": {"pain": 0.11, "hunger": 0.79, "neurological": 0.1}}),
    "score_bars": lambda: ((metric_rows("part", PARTS[1:], ("accuracy", "balanced_accuracy", "f1_weighted", "auc_macro")).assign(chance=lambda t: t["metric"].map({"accuracy": 0.79, "balanced_accuracy": 1 / 3, "f1_weighted": 0.7, "auc_macro": 0.5})),), {"series": "part", "chance_label": "always naming the commonest class"}),
    "reliability": lambda: ((bins(),), {"series": "label"}),
    "confidence": lambda: ((points(),), {}),
    "train_holdout_gap": lambda: ((frame([(m, p, 0.9 if p == "train" else 0.4) for m in MODELS for p in ("train", "holdout")], "model", "part", "value"),), {}),
    "fold_scores": lambda: ((folds(), scored("group", ("rows, augmented", "recordings", "infants"))), {}),
    "split_lottery": lambda: ((lottery(),), {"own": {"file": 0.57}}),
    "ladder": lambda: ((ladder(),), {}),
    "strengths": lambda: ((strengths(),), {"knows_nothing": 1.0986}),
    "probes": lambda: ((probes(),), {}),
    "inflation": lambda: ((both_sets(scored("comparison", ("L0 minus L3", "L1 minus L3", "L2 minus L3", "L4 minus L3"), -0.02)),), {"series": "set"}),
    "null_distribution": lambda: ((pd.DataFrame({"auc": np.random.default_rng(0).normal(0.5, 0.03, 1000), "permutation": range(1000)}), 0.531, 0.153), {}),
    "power_curve": lambda: ((power(),), {"detectable": 0.6}),
    "precision_curve": lambda: ((frame([(n, 0.5 / np.sqrt(n)) for n in range(10, 400, 10)], "n", "half_width"),), {"here": 60}),
    "ceiling": lambda: ((frame([("75 % agreement of adults", 0.63), ("same-instance pairs\nwithin five minutes", 0.84)], "source", "value"),), {}),
    "specification_curve": lambda: ((specifications(), "Macro AUC"), {}),
    "controls": lambda: ((controls(), "Score"), {}),
    "robustness": lambda: ((degraded(),), {"series": "representation"}),
    "robustness:codecs": lambda: ((both_sets(scored("severity", ("plain", "AMR-NB 12.2", "Opus 16", "MP3 64", "8 kHz", "4 kHz"))),), {"series": "set", "x_label": "Round trip", "chance": None}),
    "out_of_distribution": lambda: ((histogram_rows(("cries, held out", "other babies' cries", "dog", "rain", "clock", "speech"), "source", "score"), 0.8, "Distance"), {}),
    "decisions": lambda: ((frame([(1.8 * i, 1.8 * i + 2, c, q, "") for i in range(2) for c, q in zip(CLASSES, (0.1, 0.8, 0.1), strict=True)] + [(3.6, 5.6, "no answer", 1.0, "too quiet")], "start_s", "end_s", "label", "share", "reason"),), {}),
    "gates": lambda: ((frame([(g, s, v, v - 0.1, v + 0.05, n) for g in ("logmel", "yamnet") for s, v, n in (("cries", 0.9, 400), ("other sounds", 0.2, 72))], "gate", "sounds", "passed", "low", "high", "recordings"),), {}),
    "beside_original": lambda: ((original(),), {}),
}  # fmt: skip


def draw(case: str):
    arguments, options = EXAMPLES[case]()
    return getattr(figures, case.split(":")[0])(*arguments, **options)
