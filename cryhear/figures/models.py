"""Figures of scores: model comparison, search, training, ROC and precision-recall, bars."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cryhear.corpus.labels import display_name
from cryhear.figures.plots import band_line, bars, chance_marks, forest, forest_height
from cryhear.figures.style import (
    ACCENT,
    CHANCE,
    CHANCE_DASHES,
    INK,
    SERIES,
    chance_line,
    drawn,
    groups_of,
    legend,
    new,
    parts_of,
    style_of,
)


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


@drawn("model", "candidate", "mean_score")
def search(table: pd.DataFrame, x_label: str) -> Figure:
    """Every candidate of every search, as a strip a model; the chosen one in a ring.

    Parameters
    ----------
    table : pandas.DataFrame
        What a search returns (`cryhear.models.search.SearchResult.table`), of one or several models:
        ``model``, ``candidate`` (int), ``mean_score``, optionally ``chosen`` (bool) and ``chance``
        (score of knowing nothing); rows of further folds of a candidate are the same dot.
    x_label : str
        What was scored (greater is better).
    """
    table = table.drop_duplicates(["model", "candidate"])
    models = groups_of(table, "model")
    figure, axes = new(height=1.3 + 0.42 * len(models))
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
    axes.set_xlabel(x_label)
    legend(figure)
    return figure


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


@drawn("label", "metric", "value")
def class_bars(table: pd.DataFrame) -> Figure:
    """Precision, recall and F1 of each class, with intervals.

    Parameters
    ----------
    table : pandas.DataFrame
        ``label``, ``metric``, ``value`` (0 to 1), optionally ``low``, ``high``, and ``chance``: what
        guessing in the classes' proportions scores.
    """
    figure, axes = new(height=3.5)
    bars(axes, table, "metric", "label", chance_label="guessing in the classes' proportions")
    axes.set(ylabel="Score", ylim=(0, 1))
    legend(figure)
    return figure


@drawn("part", "metric", "value", "chance")
def summary_bars(table: pd.DataFrame) -> Figure:
    """Scores on validation, test and holdout side by side, each bar with the majority rule's score.

    Parameters
    ----------
    table : pandas.DataFrame
        ``part``, ``metric`` ('accuracy', ...), ``value`` (0 to 1), optionally ``low``, ``high``, and
        ``chance``: the score of the same metric on the same part when every recording is called by the
        commonest class.
    """
    figure, axes = new(height=3.6)
    bars(axes, table, "metric", "part", chance_label="always naming the commonest class")
    axes.set(ylabel="Score", ylim=(0, 1))
    legend(figure)
    return figure
