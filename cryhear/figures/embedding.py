"""Figures of embeddings: backends, class means, PCA, UMAP and its instability, neighbours."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cryhear.corpus.labels import display_name
from cryhear.figures.corpus import AGE_BANDS
from cryhear.figures.style import (
    CHANCE,
    INK,
    SERIES,
    chance_line,
    chance_marks,
    class_handles,
    drawn,
    groups_of,
    handles_below,
    legend,
    marks,
    new,
    require,
    style_of,
)

LARGEST = 6
"""Groups of points that are coloured at most."""


@drawn("label", "dimension", "value")
def barcodes(table: pd.DataFrame) -> Figure:
    """Mean embedding of each class as a barcode, on one colour scale.

    Parameters
    ----------
    table : pandas.DataFrame
        ``label`` (class, or 'difference'-like names), ``dimension`` (int), ``value`` (float).
    """
    labels = groups_of(table, "label")
    figure, grid = new(len(labels), 1, height=0.9 + 0.75 * len(labels), sharex=True, squeeze=False)
    limit = float(np.nanquantile(np.abs(table["value"]), 0.995)) or 1.0
    signed = bool((table["value"] < 0).any())
    for axes, label in zip(grid.flat, labels, strict=True):
        values = table[table["label"] == label].sort_values("dimension")["value"].to_numpy(float)
        # From dark to light, so that the sign survives in grey.
        image = axes.imshow(
            values[None, :], aspect="auto", interpolation="nearest", rasterized=True,
            cmap="cividis" if signed else "Greys", vmin=-limit if signed else 0, vmax=limit,
            extent=(0, len(values), 0, 1),
        )  # fmt: skip
        axes.set_yticks([])
        axes.set_title(
            display_name(label), loc="left", color=style_of(label)["color"], weight="bold"
        )
    grid[-1, 0].set_xlabel("Dimension of the embedding")
    figure.colorbar(image, ax=list(grid.flat), label="Standard deviations", aspect=20, pad=0.02,
                    extend="both" if signed else "max")  # fmt: skip
    return figure


@drawn("component", "share", "cumulative")
def pca_variance(table: pd.DataFrame) -> Figure:
    """Variance of each principal component, and of all up to it.

    Parameters
    ----------
    table : pandas.DataFrame
        ``component`` (from 1), ``share`` and ``cumulative`` (0 to 1).
    """
    figure, axes = new(height=3.4)
    component, share = table["component"], table["share"]
    axes.plot(component, table["cumulative"], **marks(SERIES[0]), markevery=[0],
              label="up to this component")  # fmt: skip
    axes.plot(component, share, **marks(SERIES[3], "-"), markersize=3.5, label="this component")
    chance_line(axes, 0.95, label="share kept (95%)")
    # Each on its own: on an even axis the first few, which hold most, fall under the axis line.
    axes.set_xscale("log")
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tick <= component.max()]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.annotate(f"first: {share.iloc[0]:.0%}", (component.iloc[0], share.iloc[0]), (8, -4),
                  textcoords="offset points", va="top", fontsize=9)  # fmt: skip
    axes.set(xlabel="Principal component (log scale)", ylabel="Share of the variance")
    axes.set(xlim=(0.9, component.max() * 1.05), ylim=(0, 1.03))
    legend(figure)
    return figure


@drawn()
def projection(
    table: pd.DataFrame,
    by: str = "label",
    x: str = "x",
    y: str = "y",
    panel: str | None = None,
    axis_names: tuple[str, str] = ("UMAP 1", "UMAP 2"),
) -> Figure:
    """A map of recordings (PCA or UMAP) coloured by class, infant, platform or age band.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a point, with `x`, `y`, `by` and, for small multiples, `panel`.
    by : str, default 'label'
        Column that gives colour and marker. With more than LARGEST groups (infants), only the
        largest are coloured and the rest is grey.
    panel : str, optional
        Column whose groups get a panel each: ``part`` (train, holdout, all), ``seed``.
    axis_names : (str, str)
        With the explained share for PCA: ``("PC 1 (21 %)", "PC 2 (9 %)")``.
    """
    import seaborn  # brings pyplot along

    require(table, [c for c in (x, y, by, panel) if c], "projection")
    groups = groups_of(table, by)
    if by == "age_band":
        groups = [band for band in [*AGE_BANDS, ""] if band in groups]
    if len(groups) > LARGEST:
        groups = sorted(table.loc[table[by] != "", by].value_counts().index[:LARGEST])
        table = table.assign(**{by: table[by].where(table[by].isin(groups), "other")})
        groups = [*groups, "other"]
    styles = {group: style_of(group, groups) for group in groups}
    colours = {group: style["color"] for group, style in styles.items()}
    shapes = {group: style["marker"] for group, style in styles.items()}
    counts = table[by].value_counts()
    panels = groups_of(table, panel) if panel else [None]
    wide = min(2, len(panels))
    rows = -(-len(panels) // wide)
    height, shared = 0.8 + (3.8 if wide == 1 else 2.6 * rows), panel == "part"
    figure, grid = new(rows, wide, height=height, squeeze=False, sharex=shared, sharey=shared)
    for axes, one in zip(grid.flat, panels, strict=False):
        part = table if one is None else table[table[panel] == one]
        # The most numerous first, so that the rare ones are not hidden.
        part = part.sort_values(by, key=lambda group: -group.map(counts), kind="stable")
        seaborn.scatterplot(part, x=x, y=y, hue=by, hue_order=groups, palette=colours, style=by,
                            markers=shapes, s=20, alpha=0.75, linewidth=0, legend=False, ax=axes)  # fmt: skip
        if one is not None:
            axes.set_title(
                f"{display_name(one) if shared else f'{panel} {one}'} (n = {len(part):,})"
            )
        axes.set(xticks=[], yticks=[])
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    for place, axes in enumerate(list(grid.flat)[: len(panels)]):
        axes.set_xlabel(axis_names[0] if place + wide >= len(panels) else "")
        axes.set_ylabel(axis_names[1] if place % wide == 0 else "")
    handles, names = class_handles("marker", groups)
    if by == "age_band":
        names = [AGE_BANDS.get(group, display_name(group)) for group in groups]
    handles_below(figure, handles, [name[:24] for name in names])
    return figure


@drawn("quantity", "value", "chance")
def umap_stability(table: pd.DataFrame) -> Figure:
    """How alike UMAP maps of the same embeddings are from seed to seed, as dots and their median.

    Parameters
    ----------
    table : pandas.DataFrame
        ``quantity`` ('trustworthiness', 'neighbour overlap', ...), ``value`` (0 to 1) and ``chance``
        (the same quantity of unrelated maps); a row a seed or pair of seeds.
    """
    quantities = groups_of(table, "quantity")
    figure, axes = new(height=1.5 + 0.45 * len(quantities))
    for place, quantity in enumerate(quantities):
        values = table.loc[table["quantity"] == quantity, "value"].to_numpy(float)
        spread = (np.arange(len(values)) % 7 - 3) * 0.06
        axes.plot(values, place + spread, color=INK, marker="o", linestyle="", alpha=0.5,
                  markersize=4)  # fmt: skip
        axes.plot([np.median(values)] * 2, [place - 0.35, place + 0.35], color=INK, linewidth=2)
    chance = table.groupby("quantity", observed=True)["chance"].mean()[quantities]
    chance_marks(
        axes, range(len(quantities)), chance, 0.38, "x", "the same map, recordings shuffled"
    )
    names = [f"{display_name(q)} ({int((table['quantity'] == q).sum())})" for q in quantities]
    axes.set_yticks(range(len(quantities)), names)
    axes.set(xlim=(-0.02, 1.02), xlabel="Value (1: maps agree fully; line: median)")
    axes.set_ylim(len(quantities) - 0.5, -0.5)
    legend(figure)
    return figure


@drawn("target", "k", "purity", "chance")
def neighbour_purity(table: pd.DataFrame) -> Figure:
    """Share of nearest neighbours that share a class, or an infant, with chance beside it.

    Parameters
    ----------
    table : pandas.DataFrame
        ``target`` (class, 'same infant', ...), ``k`` (int), ``purity`` (0 to 1), ``chance`` (0 to 1).
    """
    figure, axes = new(height=4.0)
    targets = groups_of(table, "target")
    for place, target in enumerate(targets):
        rows, style = table[table["target"] == target].sort_values("k"), style_of(target, targets)
        at = rows["k"] * 1.03 ** (place - (len(targets) - 1) / 2)
        axes.plot(at, rows["purity"], label=display_name(target), **marks(style))
        axes.plot(at, rows["chance"], color=style["color"], linestyle=":", linewidth=1, marker="_",
                  markersize=9)  # fmt: skip
    axes.plot([], [], color=CHANCE, linestyle=":", marker="_", label="chance of the same colour")
    ticks = sorted(table["k"].unique())
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="Nearest neighbours looked at", ylabel="Share of neighbours alike")
    axes.set_ylim(0, None)
    legend(figure)
    return figure
