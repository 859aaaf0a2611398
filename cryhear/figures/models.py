"""Figures of models: comparison, search, training, curves, bars, calibration, mistakes, folds and splits."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cryhear.corpus.labels import display_name
from cryhear.figures.style import (
    ACCENT,
    CHANCE,
    CHANCE_DASHES,
    INK,
    SERIES,
    band_line,
    bars,
    chance_line,
    chance_marks,
    drawn,
    errors,
    forest,
    forest_height,
    groups_of,
    handles_below,
    legend,
    marks,
    matrix,
    new,
    parts_of,
    style_of,
)

OUTERMOST = 0.03
"""Share of a map's points, on each side, that are moved to its edge."""


@drawn("model", "value")
def model_comparison(
    table: pd.DataFrame,
    x_label: str = "Balanced accuracy",
    chance: float | None = 1 / 3,
    series: str | None = None,
) -> Figure:
    """Scores with intervals, a line a model; baselines and 'not run' rows stand among them.

    Parameters
    ----------
    table : pandas.DataFrame
        ``model``, ``value``; optionally ``low``, ``high``, ``chance`` (a row's own), ``note`` (drawn
        where ``value`` is missing), and the column named by `series`.
    x_label : str
        The metric, with its unit if any.
    chance : float or None
        Score of knowing nothing; None when the table has its own.
    series : str, optional
        Column of symbols side by side: ``representation``, ``set``, ``metric``.
    """
    figure, axes = new(height=forest_height(table, "model", series))
    forest(axes, table, "model", series, chance)
    axes.set_xlabel(x_label)
    legend(figure)
    return figure


SCORED = {
    "balanced_log_loss": "minus log loss, classes weighing alike (nats)",
    "balanced_accuracy": "balanced accuracy",
}
"""What searches score by, as written on an axis (greater is better), where it is not as it is named."""


@drawn("model", "candidate", "mean_score", "scoring")
def search(table: pd.DataFrame, x_label: str) -> Figure:
    """Every candidate of every search, as a strip a model; the chosen one in a ring.

    Searches that scored by different things stand in a panel each, for their scores share no axis.

    Parameters
    ----------
    table : pandas.DataFrame
        What a search returns (`cryhear.models.classical.SearchResult.table`), of one or several models:
        ``model``, ``candidate`` (int), ``mean_score``, ``scoring``, optionally ``chosen`` (bool) and
        ``chance`` (score of knowing nothing); rows of further folds of a candidate are the same dot.
    x_label : str
        Where it was scored: 'inner folds'.
    """
    table = table.drop_duplicates(["model", "candidate"])
    scorings = groups_of(table, "scoring")
    sizes = [table.loc[table["scoring"] == scoring, "model"].nunique() for scoring in scorings]
    height = 0.5 + 0.75 * len(sizes) + 0.42 * sum(sizes)
    figure, grid = new(len(sizes), 1, height=height, squeeze=False, height_ratios=sizes)
    for axes, scoring in zip(grid.flat, scorings, strict=True):
        _candidates(axes, table[table["scoring"] == scoring])
        axes.set_xlabel(f"{x_label}: {SCORED.get(scoring, display_name(scoring))}")
    legend(figure)
    return figure


def _candidates(axes: Axes, table: pd.DataFrame) -> None:
    models = groups_of(table, "model")
    at = np.array([models.index(m) for m in table["model"]]) + (table["candidate"] % 7 - 3) * 0.07
    score = table["mean_score"]
    axes.plot(score, at, color=INK, marker="o", linestyle="", alpha=0.45, label="candidate")
    if "chosen" in table:
        ring = table["chosen"].to_numpy(bool)
        axes.scatter(score[ring], at[ring], s=110, facecolors="none", edgecolors=ACCENT,
                     linewidths=1.8, label="chosen")  # fmt: skip
    if "chance" in table:
        own = table.drop_duplicates("model")
        chance_marks(axes, [models.index(m) for m in own["model"]], own["chance"], 0.38, "x",
                     "knowing nothing")  # fmt: skip
    names = [f"{display_name(m)} ({int((table['model'] == m).sum())})" for m in models]
    axes.set_yticks(range(len(models)), names)
    axes.set_ylim(len(models) - 0.5, -0.5)


@drawn(
    "epoch", "train_loss", "valid_loss", "train_acc", "valid_acc", "valid_majority",
    "guessing_loss", "lr", "best",
)  # fmt: skip
def learning_curves(table: pd.DataFrame) -> Figure:
    """Training history: accuracy, loss and learning rate by epoch.

    Parameters
    ----------
    table : pandas.DataFrame
        What `cryhear.models.mlp.history` returns: ``epoch`` (from 1), ``train_acc``, ``valid_acc``,
        ``train_loss``, ``valid_loss``, ``lr`` and ``best`` (bool: these weights were kept); and
        what knowing nothing reaches: ``valid_majority``, the validation accuracy of always naming the
        commonest class, and ``guessing_loss`` (nats), the loss of giving every class one third.
    """
    figure, grid = new(3, 1, height=5.4, sharex=True)
    for axes, what, name in zip(grid, ("acc", "loss"), ("Accuracy", "Loss (nats)"), strict=False):
        for style, part in zip(SERIES, ("train", "validation"), strict=False):
            axes.plot(table["epoch"], table[f"{part[:5]}_{what}"], color=style["color"],
                      linestyle=style["linestyle"], label=part)  # fmt: skip
        axes.set_ylabel(name)
    for axes, nothing in zip(grid, ("valid_majority", "guessing_loss"), strict=False):
        chance_line(axes, table[nothing].iloc[0], label="knowing nothing")
    grid[2].plot(table["epoch"], table["lr"], color=INK)
    grid[2].set(ylabel="Learning rate", xlabel="Epoch")
    grid[2].xaxis.get_major_locator().set_params(integer=True)
    for epoch in table.loc[table["best"], "epoch"]:
        for axes in grid:
            axes.axvline(epoch, color=INK, linewidth=1, linestyle=":", label="weights kept")
    figure.align_ylabels()
    legend(figure)
    return figure


@drawn("epoch", "value")
def generalisation_gap(table: pd.DataFrame) -> Figure:
    """Training score minus validation score by epoch.

    Parameters
    ----------
    table : pandas.DataFrame
        ``epoch``, ``value`` (difference of scores), optionally ``series``.
    """
    figure, axes = new(height=3.2)
    for label, rows, style in parts_of(table, "series"):
        band_line(axes, rows, "epoch", "value", style, label)
    chance_line(axes, 0.0, label="no gap")
    axes.set(xlabel="Epoch", ylabel="Train minus validation accuracy")
    axes.xaxis.get_major_locator().set_params(integer=True)
    legend(figure)
    return figure


@drawn("label", "false_positive_rate", "true_positive_rate")
def roc(table: pd.DataFrame, areas: pd.DataFrame, panel: str | None = None) -> Figure:
    """One-vs-rest ROC curves of the three classes with their bands.

    Parameters
    ----------
    table : pandas.DataFrame
        ``label``, ``false_positive_rate``, ``true_positive_rate`` (0 to 1), optionally
        ``low``, ``high`` (band of the true-positive rate) and `panel`. The classes and 'macro', as
        `cryhear.evaluation.bands.roc_band` returns them.
    areas : pandas.DataFrame
        ``label``, ``value``, optionally ``low``, ``high`` and `panel`: areas for the legend.
    panel : str, optional
        Column whose groups get a panel each: ``part``.
    """
    named = ("False-positive rate", "True-positive rate")
    x, y = "false_positive_rate", "true_positive_rate"
    figure = _curves(table, x, y, areas, panel, "AUC", named)
    if panel is None:
        legend(figure)
    # Several panels have a legend inside each, for its areas are its own.
    for axes in figure.axes if panel else ():
        axes.legend(loc="lower right", frameon=True, framealpha=0.85, edgecolor="none")
    return figure


@drawn("label", "recall", "precision")
def precision_recall(
    table: pd.DataFrame, areas: pd.DataFrame, prevalence: dict[str, float]
) -> Figure:
    """One-vs-rest precision-recall curves; each class's share is where chance lies.

    Parameters
    ----------
    table : pandas.DataFrame
        ``label``, ``recall``, ``precision`` (0 to 1), optionally ``low``, ``high``.
    areas : pandas.DataFrame
        As in `roc`, of average precisions.
    prevalence : dict
        Class to its share (0 to 1), drawn as a thin dashed line in its colour.
    """
    figure = _curves(table, "recall", "precision", areas, None, "AP", ("Recall", "Precision"))
    [axes] = figure.axes
    for label, share in prevalence.items():
        axes.axhline(share, color=style_of(label)["color"], linestyle=CHANCE_DASHES, linewidth=1)
    axes.plot(
        [],
        [],
        color=CHANCE,
        linestyle=CHANCE_DASHES,
        linewidth=1,
        label="chance: the class's share",
    )
    legend(figure)
    return figure


def _curves(
    table: pd.DataFrame, x: str, y: str, areas: pd.DataFrame, panel: str | None, area: str,
    axis_names: tuple[str, str],
) -> Figure:  # fmt: skip
    panels = groups_of(table, panel) if panel else [None]
    figure, grid = new(len(panels), 1, height=0.8 + 3.6 * len(panels), squeeze=False)
    for axes, one in zip(grid.flat, panels, strict=True):
        part = table if one is None else table[table[panel] == one]
        scored = areas if one is None else areas[areas[panel] == one]
        for label in groups_of(part, "label"):
            text = f"{display_name(label)}{_area(scored, label, area)}"
            band_line(axes, part[part["label"] == label], x, y, style_of(label), text)
        if x == "false_positive_rate":
            axes.plot([0, 1], [0, 1], color=CHANCE, linestyle=CHANCE_DASHES, linewidth=1.2,
                      label="chance")  # fmt: skip
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=axis_names[0], ylabel=axis_names[1])
        if one is not None:
            axes.set_title(display_name(one))
    return figure


def _area(areas: pd.DataFrame, label: str, name: str) -> str:
    rows = areas[areas["label"] == label]
    if rows.empty:
        return ""
    row = rows.iloc[0]
    ends = "" if np.isnan(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
    return f", {name} {row['value']:.2f}{ends}"


@drawn("metric", "value")
def score_bars(table: pd.DataFrame, series: str, chance_label: str) -> Figure:
    """Metrics side by side, a bar each part or class, with intervals and what chance scores.

    Parameters
    ----------
    table : pandas.DataFrame
        ``metric``, ``value`` (0 to 1), `series`, optionally ``low``, ``high``, and ``chance``: what
        `chance_label` says, of the same metric on the same recordings.
    series : str
        ``part`` or ``label``.
    """
    figure, axes = new(height=3.6)
    bars(axes, table, "metric", series, chance_label=chance_label)
    axes.set(ylabel="Score", ylim=(0, 1))
    legend(figure)
    return figure


@drawn("predicted", "observed", "n")
def reliability(table: pd.DataFrame, series: str) -> Figure:
    """Observed frequency against predicted probability, with how many predictions each bin holds.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a bin (`cryhear.evaluation.calibration.reliability`): ``predicted`` (mean), ``observed``
        (frequency), ``n``; optionally ``low``, ``high`` (interval of the frequency) and
        the column named by `series`.
    series : str
        ``label``, or raw against calibrated.
    """
    figure, (above, below) = new(2, 1, height=4.8, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color=CHANCE, linestyle=(0, (4, 3)), linewidth=1.2,
               label="perfect calibration")  # fmt: skip
    for label, part, style in parts_of(table, series):
        rows = part.sort_values("predicted")
        interval = errors(rows.rename(columns={"observed": "value"}))
        above.errorbar(rows["predicted"], rows["observed"], yerr=interval, capsize=2, label=label,
                       **marks(style))  # fmt: skip
        below.plot(rows["predicted"], rows["n"], **marks(style))
    above.set(ylabel="Observed frequency", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    below.set(xlabel="Predicted probability", ylabel="Predictions\nin the bin")
    below.set_ylim(0, 1.25 * table["n"].max())
    figure.align_ylabels()
    legend(figure)
    return figure


@drawn("label", "correct", "confidence")
def confidence(table: pd.DataFrame) -> Figure:
    """How sure right and wrong predictions were, a panel for each true class.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a recording: ``label`` (true class), ``correct`` (bool), ``confidence`` (largest
        probability, 0 to 1).
    """
    labels = groups_of(table, "label")
    figure, grid = new(len(labels), 1, height=0.8 + 1.3 * len(labels), sharex=True, squeeze=False)
    edges = np.linspace(1 / 3, 1, 21)
    for axes, label in zip(grid.flat, labels, strict=True):
        rows, style = table[table["label"] == label], style_of(label)
        right, wrong = (rows.loc[rows["correct"] == one, "confidence"] for one in (True, False))
        right_bars, wrong_bars = axes.hist([right, wrong], edges, stacked=True, linewidth=0)[2]
        for box in right_bars:
            box.set(facecolor=style["color"])
        for box in wrong_bars:
            box.set(facecolor="#BDBDBD", hatch="xxx")
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set_title(
            f"{display_name(label)}: {len(right):,} right, {len(wrong):,} wrong", loc="left"
        )
    handles = [Patch(facecolor="#4D4D4D"), Patch(facecolor="#BDBDBD", hatch="xxx")]
    handles_below(figure, handles, ["right (class colour)", "wrong, stacked on it"])
    grid[-1, 0].set(xlabel="Probability of the predicted class", xlim=(1 / 3 - 0.01, 1.01))
    figure.supylabel("Recordings", fontsize=10)
    return figure


@drawn("model", "part", "value")
def train_holdout_gap(table: pd.DataFrame) -> Figure:
    """Each model's score on what it was fitted on and on the holdout, joined by a line.

    Parameters
    ----------
    table : pandas.DataFrame
        ``model``, ``part`` (two values, such as 'train' and 'holdout'), ``value``.
    """
    models, parts = groups_of(table, "model"), groups_of(table, "part")
    figure, axes = new(height=1.4 + 0.35 * len(models))
    spans = table.groupby("model", observed=True)["value"].agg(["min", "max"]).loc[models]
    axes.hlines(range(len(models)), spans["min"], spans["max"], color="#B0B0B0", linewidth=2)
    for part in parts:
        rows, style = table[table["part"] == part], style_of(part, parts)
        at = [models.index(m) for m in rows["model"]]
        axes.plot(rows["value"], at, **marks(style, ""), markersize=7, label=display_name(part))
    chance_line(axes, 1 / 3, "x")
    axes.set_yticks(range(len(models)), map(display_name, models))
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.set_xlabel("Balanced accuracy")
    legend(figure)
    return figure


@drawn("group", "fold", "value")
def fold_scores(table: pd.DataFrame, means: pd.DataFrame) -> Figure:
    """Balanced accuracy of every fold of every repeat, with the mean and its interval beneath.

    Parameters
    ----------
    table : pandas.DataFrame
        ``group`` (model, representation or protocol), ``fold``, ``value``, optionally ``repeat``.
    means : pandas.DataFrame
        ``group``, ``value``, optionally ``low``, ``high``.
    """
    groups = groups_of(table, "group")
    figure, axes = new(height=1.5 + 0.55 * len(groups))
    for place, group in enumerate(groups):
        values = table.loc[table["group"] == group, "value"].to_numpy(float)
        spread = (np.arange(len(values)) * 0.618 % 1 - 0.5) * 0.34 - 0.12
        axes.plot(values, place + spread, color="#7A7A7A", marker="o", linestyle="", alpha=0.5,
                  markersize=4, label="one fold")  # fmt: skip
    at = [groups.index(group) + 0.26 for group in means["group"]]
    axes.errorbar(means["value"], at, xerr=errors(means), color=ACCENT, marker="D", linestyle="",
                  capsize=3, label="mean and interval")  # fmt: skip
    chance_line(axes, 1 / 3, "x")
    names = [f"{display_name(g)} ({int((table['group'] == g).sum())})" for g in groups]
    axes.set_yticks(range(len(groups)), names)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlabel("Balanced accuracy")
    legend(figure)
    return figure


@drawn("unit", "value")
def split_lottery(table: pd.DataFrame, own: dict[str, float]) -> Figure:
    """Holdout AUC over many random splits, as histograms: what the luck of the draw is worth.

    Parameters
    ----------
    table : pandas.DataFrame
        ``value``, a row a split; ``unit`` ('file', 'infant'): a panel each.
    own : dict
        Unit to the value on this run's own split, marked in that unit's panel.
    """
    units = groups_of(table, "unit")
    figure, grid = new(len(units), 1, height=1.0 + 1.9 * len(units), sharex=True, squeeze=False)
    edges = np.histogram_bin_edges(table["value"].to_numpy(float), bins=24)
    for axes, unit in zip(grid.flat, units, strict=True):
        values = table.loc[table["unit"] == unit, "value"]
        axes.hist(values, edges, color="#B0B0B0", edgecolor="white")
        chance_line(axes, 0.5, "x")
        if unit in own:
            axes.axvline(own[unit], color=ACCENT, linewidth=2, label="on the split shown here")
        axes.set(ylabel="Splits", title=f"dealt by {display_name(unit)} (n = {len(values)})")
    grid[-1, 0].set_xlabel("Holdout macro AUC")
    legend(figure)
    return figure


@drawn("true")
def confusion(table: pd.DataFrame, panel: str) -> Figure:
    """Confusion matrices: counts, and the share of each true class, on one scale of share.

    Parameters
    ----------
    table : pandas.DataFrame
        A row a true class and `panel`: ``true``, `panel`, and a column of counts for each class that may
        be predicted.
    panel : str
        Column whose groups get a panel each: ``part``, ``model``.
    """
    panels, labels = groups_of(table, panel), groups_of(table, "true")
    figure, grid = new(len(panels), 1, height=0.7 + 2.3 * len(panels), squeeze=False)
    for axes, one in zip(grid.flat, panels, strict=True):
        n = table[table[panel] == one].set_index("true").reindex(labels)[labels].to_numpy(float)
        with np.errstate(invalid="ignore"):
            share = n / n.sum(axis=1, keepdims=True)
        texts = [
            "none" if np.isnan(value) else f"{count:,.0f}\n{value:.0%}"
            for value, count in zip(share.flat, n.flat, strict=True)
        ]
        cells_drawn = matrix(axes, share, texts, [display_name(label) for label in labels])
        axes.set(ylabel="True class", title=f"{display_name(one)} (n = {np.nansum(n):,.0f})")
    grid[-1, 0].set_xlabel("Predicted class")
    figure.colorbar(cells_drawn, ax=list(grid.flat), label="Share of the true class", aspect=30)
    return figure


@drawn("x", "y", "label", "correct")
def right_and_wrong(table: pd.DataFrame, axis_names: tuple[str, str] = ("PC 1", "PC 2")) -> Figure:
    """Map of scored recordings, right ones hollow and wrong ones filled, a panel for each class.

    The outermost recordings on each side are drawn at the map's edge, so that a few far ones do not
    press all others into a corner.

    Parameters
    ----------
    table : pandas.DataFrame
        ``x``, ``y``, ``label`` (true class), ``correct`` (bool).
    """
    panels = groups_of(table, "label")
    ends = table[["x", "y"]].quantile([OUTERMOST, 1 - OUTERMOST])
    table = table.assign(**{axis: table[axis].clip(*ends[axis]) for axis in ("x", "y")})
    figure, grid = new(1, len(panels), height=3.2, sharex=True, sharey=True, squeeze=False)
    for axes, one in zip(grid.flat, panels, strict=True):
        axes.scatter(table["x"], table["y"], s=6, color="#DDDDDD", linewidths=0)
        rows = table[table["label"] == one]
        style = style_of(one, panels)
        for correct, face in ((True, "none"), (False, style["color"])):
            part = rows[rows["correct"] == correct]
            axes.scatter(part["x"], part["y"], s=20, facecolors=face, edgecolors=style["color"],
                         marker=style["marker"], linewidths=0.9, alpha=0.85)  # fmt: skip
        axes.set_title(f"{display_name(one)}\n{int((~rows['correct']).sum())} of {len(rows)} wrong")
        axes.set(xticks=[], yticks=[])
    figure.supxlabel(
        f"{axis_names[0]}  (hollow: right, filled: wrong, grey: other classes)", fontsize=10
    )
    figure.supylabel(axis_names[1], fontsize=10)
    return figure
