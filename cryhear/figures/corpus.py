"""Figures of the data audit: classes, infants, platforms, ages, measurements, the split."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cryhear.corpus.labels import display_name
from cryhear.figures.style import (
    INK,
    bars,
    drawn,
    errors,
    fill,
    groups_of,
    legend,
    matrix,
    new,
    style_of,
)

AGE_BANDS = {
    "04": "0 to 4 weeks", "48": "4 to 8 weeks", "26": "2 to 6 months", "72": "7 months to 2 years",
    "22": "over 2 years",
}  # fmt: skip
"""Donate-a-Cry's age codes, youngest first."""


@drawn("unit", "part", "label", "n")
def class_distribution(table: pd.DataFrame) -> Figure:
    """Classes of each part of a split: a panel for each unit that stays whole, all parts side by side.

    Parameters
    ----------
    table : pandas.DataFrame
        ``unit`` ('file', 'infant'), ``part``, ``label`` (class), ``n`` (int).
    """
    units = groups_of(table, "unit")
    figure, grid = new(len(units), 1, height=0.8 + 2.3 * len(units), squeeze=False)
    for axes, unit in zip(grid.flat, units, strict=True):
        rows = table[table["unit"] == unit]
        bars(axes, rows, "part", "label", "n")
        for box in axes.containers:
            axes.bar_label(box, fontsize=9, padding=1)
        axes.set(
            title=f"Split by {display_name(unit)} (n = {rows['n'].sum():,})", ylabel="Recordings"
        )
        axes.margins(y=0.15)
    legend(figure)
    return figure


@drawn("group", "n")
def counts(table: pd.DataFrame, by: str) -> Figure:
    """Horizontal bars of counts, longest first: codecs, statuses, rules, duplicates.

    Parameters
    ----------
    table : pandas.DataFrame
        ``group`` (str), ``n`` (int) and the column named by `by`.
    by : str
        Column whose groups are stacked in each bar (``label``, ``set``, ``platform``).
    """
    total = table.groupby("group", sort=False, observed=True)["n"].sum()
    total = total.sort_values(ascending=False, kind="stable")
    figure, axes = new(height=float(np.clip(1.2 + 0.28 * len(total), 2.0, 10.0)))
    _stack(axes, table.assign(by=table[by]), list(total.index))
    legend(figure)
    axes.bar_label(axes.containers[-1], [f"{n:,}" for n in total], fontsize=9, padding=3)
    axes.set_yticks(range(len(total)), map(display_name, total.index))
    axes.set_xlabel("Recordings")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    return figure


@drawn("age_band", "label", "n")
def ages(table: pd.DataFrame) -> Figure:
    """Recordings by age band, stacked by class.

    Parameters
    ----------
    table : pandas.DataFrame
        ``age_band`` (Donate-a-Cry's code, '' unknown), ``label``, ``n``.
    """
    bands = [band for band in [*AGE_BANDS, ""] if band in set(table["age_band"])]
    figure, axes = new(height=3.2)
    _stack(axes, table.rename(columns={"age_band": "group", "label": "by"}), bands)
    axes.set_yticks(range(len(bands)), [AGE_BANDS.get(band, "unknown") for band in bands])
    axes.set(xlabel="Recordings", ylabel="Age given by the contributor")
    axes.invert_yaxis()
    legend(figure)
    return figure


def _stack(axes: Axes, table: pd.DataFrame, groups: list[str]) -> None:
    """Stacked horizontal bars of ``n`` for each ``group``, one layer for each value of ``by``."""
    left = np.zeros(len(groups))
    layers = groups_of(table, "by")
    for layer in layers:
        one = table[table["by"] == layer]
        n = one.groupby("group", observed=True)["n"].sum().reindex(groups, fill_value=0)
        style = style_of(layer, layers)
        axes.barh(range(len(groups)), n, left=left, label=display_name(layer), **fill(style))
        left = left + n.to_numpy(float)


@drawn("infant", "label", "n")
def infant_mosaic(table: pd.DataFrame) -> Figure:
    """Mosaic of infants by class: a column an infant, as wide as its recordings are many.

    Parameters
    ----------
    table : pandas.DataFrame
        ``infant`` (id), ``label`` (class), ``n`` (recordings of that infant and class).
    """
    wide = table.pivot_table(
        index="infant", columns="label", values="n", aggfunc="sum", fill_value=0
    )
    labels = groups_of(table, "label")
    size, most = wide[labels].sum(axis=1), wide[labels].to_numpy().argmax(axis=1)
    mixed = (wide[labels] > 0).sum(axis=1).gt(1)
    order = np.lexsort((wide.index.astype(str), -size, mixed, most))
    edges = np.concatenate([[0.0], np.cumsum(size.to_numpy()[order])])
    top = np.zeros(len(wide))
    figure, axes = new(height=3.8)
    for label in labels:
        share = (wide[label] / size).to_numpy()[order]
        style = style_of(label)
        x, under, over = (np.repeat(v, 2) for v in (edges, top, top + share))
        outline = np.concatenate([x[1:-1], x[-2:0:-1]]), np.concatenate([under, over[::-1]])
        axes.fill(*outline, linewidth=0, label=display_name(label), facecolor=style["color"],
                  hatch=style["hatch"])  # fmt: skip
        top = top + share
    # A line beside every single recording would wash out its colour.
    large = size.to_numpy()[order] > 2
    axes.vlines(edges[1:-1][large[1:] | large[:-1]], 0, 1, color="white", linewidth=0.4)
    axes.set(xlim=(0, edges[-1]), ylim=(0, 1), ylabel="Share of the infant's recordings")
    axes.set_xlabel(f"Recordings; one column for each of {len(wide):,} infants")
    legend(figure)
    return figure


@drawn("platform", "label", "share", "n")
def labels_by_platform(table: pd.DataFrame) -> Figure:
    """The platform confound: what share of each platform's recordings has each label.

    Parameters
    ----------
    table : pandas.DataFrame
        ``platform``, ``label``, ``share`` (0 to 1, of the platform's recordings), ``n`` (int), and
        optionally ``low``, ``high``.
    """
    platforms = groups_of(table, "platform")
    figure, axes = new(height=3.4)
    bars(axes, table.rename(columns={"share": "value"}), "platform", "label")
    for box, label in zip(
        [c for c in axes.containers if hasattr(c, "patches")],
        groups_of(table, "label"),
        strict=True,
    ):
        counted = table.loc[table["label"] == label, "n"]
        axes.bar_label(box, [f"{n:,}" for n in counted], fontsize=9, padding=2)
    totals = table.groupby("platform", observed=True)["n"].sum()
    axes.set_xticks(
        range(len(platforms)), [f"{display_name(p)} (n = {totals[p]:,})" for p in platforms]
    )
    axes.set(ylabel="Share of the platform's recordings", ylim=(0, 1.08))
    legend(figure)
    return figure


@drawn("gap", "n", "share")
def follow_up(table: pd.DataFrame) -> Figure:
    """How soon an infant's recordings follow each other, and how often their labels contradict.

    Parameters
    ----------
    table : pandas.DataFrame
        ``gap`` (time between two recordings of one infant, as text, in order), ``n`` (pairs),
        ``share`` of pairs with different labels (0 to 1), optionally ``low``, ``high``.
    """
    figure, (above, below) = new(2, 1, height=4.6, sharex=True)
    at = range(len(table))
    above.bar_label(above.bar(at, table["n"], 0.7, color="#8C8C8C"), fontsize=9, padding=1)
    above.set_ylabel("Pairs of one\ninfant's recordings")
    above.margins(y=0.15)
    interval = errors(table.rename(columns={"share": "value"}))
    below.errorbar(
        at, table["share"], yerr=interval, color=INK, marker="o", linestyle="", capsize=3
    )
    below.set(ylabel="Share of pairs whose\nlabels contradict", ylim=(0, None))
    below.set_xticks(at, table["gap"])
    below.set_xlabel("Time between the two recordings")
    return figure


@drawn("unit", "part_a", "part_b", "infants_a", "infants_b", "shared_infants")
def split_proof(table: pd.DataFrame) -> Figure:
    """Who is in two parts of a split at once: a matrix of parts for each unit that stays whole.

    Parameters
    ----------
    table : pandas.DataFrame
        What `cryhear.corpus.splits.overlap_proof` returns (``part_a``, ``part_b``, ``infants_a``,
        ``infants_b``, ``shared_infants``), for one split or for several stacked, with ``unit``
        ('file', 'infant'): what stays whole. Drawn on the diagonal are all infants of a part,
        beside it those in both.
    """
    units = groups_of(table, "unit")
    parts = list(dict.fromkeys([*table["part_a"], *table["part_b"]]))
    height = 0.6 + len(units) * (0.75 + 0.34 * len(parts))
    figure, grid = new(len(units), 1, height=height, squeeze=False)
    for axes, unit in zip(grid.flat, units, strict=True):
        shared = np.zeros((len(parts), len(parts)), dtype=int)
        for row in table[table["unit"] == unit].to_dict("records"):
            a, b = parts.index(row["part_a"]), parts.index(row["part_b"])
            shared[a, a], shared[b, b] = row["infants_a"], row["infants_b"]
            shared[a, b] = shared[b, a] = row["shared_infants"]
        diagonal = np.eye(len(parts), dtype=bool)
        leak = (shared > 0) & ~diagonal
        texts = [f"{n:,}" for n in shared.flat]
        matrix(axes, leak * 0.5 + diagonal * 0.12, texts, [display_name(part) for part in parts])
        for text, bold in zip(axes.texts, leak.flat, strict=True):
            text.set_weight("bold" if bold else "normal")
        axes.set_title(f"Infants in both parts, split by {display_name(unit)}")
    return figure
