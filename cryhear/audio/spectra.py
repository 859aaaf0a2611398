"""Reshaping stored mel bands for drawing: long tables, and group medians with quartiles."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cryhear.audio.features import FLOOR_DB

FLOOR_MARGIN_DB = 1.0
"""How far above the floor a band's mean power may lie and still hold nothing: a few loud frames in a
hundred lift a mean of clamped frames by this much."""


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


def median_spectra(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Median spectrum of each group with its quartiles, and how many recordings hold no signal.

    Parameters
    ----------
    table : pandas.DataFrame
        ``frequency_hz``, ``level_db``, ``empty`` (bool: the band is at the floor, see `at_floor`), a row
        a recording and band, and `by`.

    Returns
    -------
    pandas.DataFrame
        ``group``, ``frequency_hz``, ``level_db`` (median), ``low``, ``high`` (quartiles), ``empty`` (share
        of the recordings, 0 to 1), ``n``. Where ``empty`` is a half or more, the median is the floor of
        the measurement and not a level.
    """
    grouped = table.groupby([by, "frequency_hz"], observed=True)
    found = grouped["level_db"].agg(
        level_db="median", low=lambda v: v.quantile(0.25), high=lambda v: v.quantile(0.75), n="size"
    )
    found.insert(3, "empty", grouped["empty"].mean())
    return found.reset_index().rename(columns={by: "group"})


def at_floor(level_db: pd.Series) -> pd.Series:
    """Whether a band's long-term level is the floor of the measurement: no signal in nearly every frame.

    Parameters
    ----------
    level_db : pandas.Series
        dB relative to full scale, as `features.mean_spectrum` measures it (so before anything is
        subtracted from it).
    """
    return level_db <= FLOOR_DB + FLOOR_MARGIN_DB


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
