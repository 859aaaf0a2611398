"""Reshaping stored mel bands for drawing: long tables, and group medians with quartiles."""

from __future__ import annotations

import numpy as np
import pandas as pd


def long_bands(table: pd.DataFrame) -> pd.DataFrame:
    """Turn ``band_0 ... band_m`` columns of `cryhear.audio.features` into ``frequency_hz``, ``level_db``.

    Parameters
    ----------
    table : pandas.DataFrame
        Mel bands between 0 and 8,000 Hz (HTK's scale), dB, and columns that name the row.

    Returns
    -------
    pandas.DataFrame
        The other columns, repeated for each band.
    """
    bands = [column for column in table.columns if str(column).startswith("band_")]
    top = 2595.0 * np.log10(1.0 + 8000.0 / 700.0)
    centres = 700.0 * (10.0 ** (np.linspace(0.0, top, len(bands) + 2)[1:-1] / 2595.0) - 1.0)
    kept = [column for column in table.columns if column not in bands]
    hertz = dict(zip(bands, centres, strict=True))
    long = table.melt(kept, bands, var_name="frequency_hz", value_name="level_db")
    return long.assign(
        frequency_hz=long["frequency_hz"].map(hertz).astype(float),
        level_db=long["level_db"].astype(float),
    )


def mean_spectra(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Median spectrum of each group with its quartiles: what `figures.spectra` draws.

    Parameters
    ----------
    table : pandas.DataFrame
        ``frequency_hz``, ``level_db``, a row a recording and band, and `by`.

    Returns
    -------
    pandas.DataFrame
        ``group``, ``frequency_hz``, ``level_db`` (median), ``low``, ``high`` (quartiles), ``n``.
    """
    level = table.groupby([by, "frequency_hz"], observed=True)["level_db"]
    found = level.agg(
        level_db="median", low=lambda v: v.quantile(0.25), high=lambda v: v.quantile(0.75), n="size"
    )
    return found.reset_index().rename(columns={by: "group"})


def treble(table: pd.DataFrame, by: str, above_hz: float = 4000.0) -> pd.Series:
    """How far the loudest point above a frequency lies below the loudest of all.

    Parameters
    ----------
    table : pandas.DataFrame
        ``frequency_hz``, ``level_db`` and `by`.
    by : str
        Column whose groups are asked, each by itself.
    above_hz : float, default 4000
        Where telephone codecs often stop.

    Returns
    -------
    pandas.Series
        dB, 0 or less, indexed by group, in the order they came.
    """
    high = table[table["frequency_hz"] > above_hz]
    loudest = table.groupby(by, sort=False)["level_db"].max()
    return high.groupby(by)["level_db"].max().reindex(loudest.index) - loudest
