"""Figures of sound: envelopes, spectrograms, spectra, what preprocessing and augmentation change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cryhear.corpus.labels import display_name
from cryhear.figures.style import (
    CHANCE,
    INK,
    PLAIN,
    SERIES,
    band_line,
    boxes,
    chance_line,
    drawn,
    groups_of,
    legend,
    marks,
    new,
    require,
    style_of,
)

MEASURES = {
    "duration_s": "Duration (s)",
    "level_dbfs": "Level (dBFS, RMS)",
    "peak": "Peak (full scale = 1)",
    "bandwidth_hz": "Effective bandwidth (Hz)",
    "sample_rate": "Sample rate (Hz)",
    "clipping_share": "Share of samples clipped",
    "silence_share": "Share of the time silent",
}
"""Axis labels of what the manifest measures."""

KINDS = {
    "envelope": ("amplitude", "Time (s)"),
    "snippet": ("amplitude", "Time (ms)"),
    "spectrum": ("level (dB)", "Frequency (Hz)"),
}
"""What `preprocessing_steps` can draw: what is up, what is across."""


@drawn("label", "time_s", "low", "high")
def waveforms(table: pd.DataFrame) -> Figure:
    """Envelope of one recording a class: the lowest and highest sample in each short stretch.

    Parameters
    ----------
    table : pandas.DataFrame
        ``label``, ``time_s`` (start of the stretch), ``low``, ``high`` (full scale = 1).
    """
    panels = groups_of(table, "label")
    figure, grid = new(len(panels), 1, height=0.6 + 1.25 * len(panels), sharex=True, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=True):
        _envelope(axes, table[table["label"] == panel], style_of(panel)["color"])
        axes.set_title(display_name(panel), loc="left")
    grid[-1, 0].set_xlabel("Time (s)")
    figure.supylabel("Amplitude (full scale = 1)", fontsize=10)
    return figure


def _envelope(axes: Axes, rows: pd.DataFrame, color: str) -> None:
    time = rows["time_s"].to_numpy(float)
    axes.fill_between(
        time, rows["low"].to_numpy(float), rows["high"].to_numpy(float), color=color, linewidth=0.3
    )
    axes.axhline(0, color=INK, linewidth=0.4)
    axes.set_xlim(time.min(), time.max())


@drawn("time_s", "frequency_hz", "level_db")
def spectrograms(table: pd.DataFrame, by: str = "label") -> Figure:
    """Spectrograms, one panel a group, each down from its loudest (dense: save as PNG).

    Parameters
    ----------
    table : pandas.DataFrame
        ``time_s``, ``frequency_hz`` (band centres, drawn evenly spaced, as the mel scale is),
        ``level_db``, and `by`; every time with every band (see `cryhear.audio.features.long_bands`).
    by : str, default 'label'
        Column whose groups get a panel each: ``label``, or ``source`` for real beside synthetic.
    """
    require(table, (by,), "spectrograms")
    panels = groups_of(table, by)
    figure, grid = new(len(panels), 1, height=0.8 + 1.45 * len(panels), sharex=True, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=True):
        rows = table[table[by] == panel]
        wide = rows.pivot(index="frequency_hz", columns="time_s", values="level_db").astype(float)
        hertz, bands = wide.index.to_numpy(float), np.arange(len(wide))
        image = axes.pcolormesh(
            wide.columns.to_numpy(float), bands, wide.to_numpy() - wide.to_numpy().max(),
            shading="nearest", cmap="magma", vmin=-60, vmax=0, rasterized=True,
        )  # fmt: skip
        ticks = [t for t in (500, 1000, 2000, 4000, 7500) if hertz[0] <= t <= hertz[-1]]
        axes.set_yticks(np.interp(ticks, hertz, bands), [f"{tick:,}" for tick in ticks])
        axes.set_title(display_name(panel), loc="left")
    grid[-1, 0].set_xlabel("Time (s)")
    figure.supylabel("Frequency (Hz, mel scale)", fontsize=10)
    label = "Level (dB, loudest = 0)"
    figure.colorbar(image, ax=list(grid.flat), label=label, aspect=30, pad=0.02)
    return figure


@drawn("step", "kind", "x", "low", "high")
def preprocessing_steps(
    table: pd.DataFrame,
    kinds: tuple[str, ...] = ("envelope", "spectrum"),
    against: str = "previous",
) -> Figure:
    """A cry after each step: envelope, spectrum or a few milliseconds of it, a row a step.

    Parameters
    ----------
    table : pandas.DataFrame
        What `cryhear.audio.features.steps` returns: ``step`` (in order), ``kind``, ``x`` (s, ms or Hz),
        ``low``, ``high`` (full scale = 1, or dB; equal except for envelopes).
    kinds : tuple of {'envelope', 'snippet', 'spectrum'}
        The columns of panels; two fit a phone.
    against : {'previous', 'first'}
        What is drawn in grey behind: the step before (a chain) or the first (alternatives, such as
        augmented copies).
    """
    steps, grey = (
        groups_of(table, "step"),
        {"previous": "step before", "first": "unaltered"}[against],
    )
    height = 0.8 + 1.2 * len(steps)
    figure, grid = new(len(steps), len(kinds), height=height, sharex="col", squeeze=False)
    for (place, column), axes in np.ndenumerate(grid):
        now = table[(table["step"] == steps[place]) & (table["kind"] == kinds[column])]
        if kinds[column] == "envelope":
            _envelope(axes, now.rename(columns={"x": "time_s"}), SERIES[0]["color"])
        else:
            other = steps[0 if against == "first" else max(place - 1, 0)]
            before = table[(table["step"] == other) & (table["kind"] == kinds[column])]
            axes.plot(before["x"], before["low"], color="#B0B0B0", linewidth=3, label=grey)
            axes.plot(now["x"], now["low"], color=INK, linewidth=1.1, label="as named")
        if kinds[column] == "spectrum":
            axes.set_xscale("log")
            axes.set_xticks([100, 1000, 8000], ["100", "1,000", "8,000"])
            axes.set_xticks([], minor=True)
        title, unit = KINDS[kinds[column]]
        axes.set_title(f"{display_name(steps[place])}: {title}", loc="left")
        if place == len(steps) - 1:
            axes.set_xlabel(unit)
    legend(figure)
    return figure


@drawn("kind", "distance")
def augmentation_distance(table: pd.DataFrame) -> Figure:
    """How far each kind of copy moves from the plain recording, as boxes over recordings.

    Parameters
    ----------
    table : pandas.DataFrame
        ``kind`` ('noise', 'pitch', ..., 'another recording' as the yardstick), ``distance`` (float).
    """
    kinds = groups_of(table, "kind")
    figure, axes = new(height=1.2 + 0.42 * len(kinds))
    boxes(axes, table, "distance", "kind", [PLAIN] * len(kinds))
    axes.set_xlabel("Cosine distance to the plain copy")
    return figure


@drawn("group", "frequency_hz", "level_db", "low", "high", "empty")
def spectra(table: pd.DataFrame, mark_hz: float, y_label: str = "Level (dB)") -> Figure:
    """Median spectra by platform, set or class, with their bands, as far as there is a signal.

    Where half of a group's recordings hold none, their median is the measurement's floor and no level:
    the curve ends, and a bar along the bottom says how far. Where a quarter holds none, the band's
    lower edge would be the floor: it ends too.

    Parameters
    ----------
    table : pandas.DataFrame
        ``group``, ``frequency_hz``, ``level_db`` (median over recordings), ``low``, ``high`` (quartiles)
        and ``empty`` (share of the recordings at the floor, 0 to 1).
    mark_hz : float
        A frequency to mark, such as 4000 where the cleaned set ends.
    y_label : str
        What the level is relative to.
    """
    figure, axes = new(height=3.8)
    groups = groups_of(table, "group")
    silent = 0
    for group in groups:
        rows = table[table["group"] == group].sort_values("frequency_hz")
        style = style_of(group, groups)
        rows = rows.assign(
            kilohertz=rows["frequency_hz"] / 1000,
            level_db=rows["level_db"].mask(rows["empty"] >= 0.5),
            low=rows["low"].mask(rows["empty"] >= 0.25),
        )
        band_line(axes, rows, "kilohertz", "level_db", style, display_name(group))
        if (nothing := rows["empty"] >= 0.5).any():
            _no_signal(axes, rows.loc[nothing, "kilohertz"], display_name(group), style, silent)
            silent += 1
    chance_line(axes, mark_hz / 1000, "x", f"{mark_hz / 1000:g} kHz")
    axes.set(xlabel="Frequency (kHz)", ylabel=y_label)
    legend(figure)
    return figure


def _no_signal(
    axes: Axes, kilohertz: pd.Series, group: str, style: dict[str, Any], place: int
) -> None:
    """A pale bar along the bottom, over the frequencies at which most of a group hold no signal."""
    low, high = kilohertz.min(), kilohertz.max()
    bottom, top = 0.02 + 0.13 * place, 0.13 + 0.13 * place
    axes.axvspan(low, high, bottom, top, facecolor=style["color"], alpha=0.2, linewidth=0)
    axes.text((low + high) / 2, (bottom + top) / 2, f"{group}: no signal", ha="center", va="center",
              transform=axes.get_xaxis_transform(), fontsize=9)  # fmt: skip


@drawn("frequency_hz", "gain_db")
def gain(table: pd.DataFrame, mark_hz: float) -> Figure:
    """A filter's gain by frequency.

    Parameters
    ----------
    table : pandas.DataFrame
        ``frequency_hz``, ``gain_db`` (0: passes unchanged).
    mark_hz : float
        A frequency to mark, such as 4000 where telephone codecs often stop.
    """
    figure, axes = new(height=3.0)
    axes.plot(table["frequency_hz"] / 1000, table["gain_db"], color=INK)
    chance_line(axes, 0.0, label="unchanged")
    axes.axvline(mark_hz / 1000, color=CHANCE, linestyle=":", linewidth=1.2,
                 label=f"{mark_hz / 1000:g} kHz")  # fmt: skip
    axes.set(xlabel="Frequency (kHz)", ylabel="Gain (dB)")
    legend(figure)
    return figure


@drawn("scaling", "batch", "difference")
def batch_hazard(table: pd.DataFrame, tolerance: float) -> Figure:
    """What the numbers of a clip owe to the clips it shares a batch with.

    Parameters
    ----------
    table : pandas.DataFrame
        ``scaling`` ('per clip', 'per batch'), ``batch`` (who is in the batch, as text, in order),
        ``difference`` (largest difference from the clip given alone; zero is drawn at
        the bottom of the scale).
    tolerance : float
        The project's float32 tolerance, as a line.
    """
    figure, axes = new(height=3.6)
    batches, kinds = groups_of(table, "batch"), groups_of(table, "scaling")
    bottom = min([tolerance, *table.loc[table["difference"] > 0, "difference"]]) / 10
    for place, kind in enumerate(kinds):
        rows = table[table["scaling"] == kind]
        at = rows["batch"].map(batches.index) + (place - (len(kinds) - 1) / 2) * 0.22
        look = marks(style_of(kind, kinds), "")
        axes.plot(at, rows["difference"].clip(lower=bottom), label=display_name(kind), **look)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    chance_line(axes, tolerance, label="float32 tolerance")
    axes.set_xticks(range(len(batches)), [display_name(b).replace(", ", ",\n") for b in batches])
    axes.set_xlim(-0.5, len(batches) - 0.5)
    axes.set_xlabel("Batch the clip was given in")
    axes.set_ylabel("Largest difference from\nthe clip given alone")
    axes.grid(axis="y", color="#E6E6E6")
    legend(figure)
    return figure


@drawn()
def measurement(table: pd.DataFrame, column: str, by: str = "label") -> Figure:
    """Histogram and box plot of one measured quantity, by class, set, platform or step.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a recording, with `column` (float) and `by` (str).
    column : str
        ``duration_s``, ``level_dbfs``, ``bandwidth_hz``, ``silence_share``, ...
    by : str, default 'label'
        Column of the groups.
    """
    require(table, (column, by), "measurement")
    groups = groups_of(table, by)
    styles = [style_of(group, groups) for group in groups]
    height, ratios = 3.2 + 0.3 * len(groups), [2, 0.35 + 0.38 * len(groups)]
    figure, (above, below) = new(2, 1, height=height, sharex=True, height_ratios=ratios)
    edges = np.histogram_bin_edges(table[column].dropna(), bins=30)
    for group, style in zip(groups, styles, strict=True):
        one = table.loc[table[by] == group, column].dropna()
        above.hist(one, edges, histtype="step", color=style["color"], linestyle=style["linestyle"],
                   linewidth=1.6, weights=np.full(len(one), 1 / max(len(one), 1)))  # fmt: skip
    boxes(below, table, column, by, styles)
    above.set_ylabel("Share of the\ngroup's recordings")
    below.set_xlabel(MEASURES[column])
    return figure
