"""How often the labels of an instance's recordings contradict each other, by the time between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

DRAWS = 2000
"""Bootstrap draws over instances behind an interval."""


def contradiction(found: pd.DataFrame, seed: int, draws: int = DRAWS) -> dict[str, float]:
    """Share of pairs whose labels contradict, with a bootstrap over instances.

    Pairs of one instance are not independent, so whole instances are drawn.

    Parameters
    ----------
    found : pandas.DataFrame
        A row a pair: ``instance``, ``contradict`` (bool: the labels differ) and, for `follow_up`,
        ``gap_s`` (s, 0 or more).
    seed : int
    draws : int

    Returns
    -------
    dict
        ``n`` (pairs), ``contradicting``, ``share``, ``low``, ``high`` (95 % percentile interval;
        all three are NaN without a pair).
    """
    by_instance = found.groupby("instance")["contradict"].agg(["sum", "size"]).to_numpy(float)
    hits, n = by_instance.sum(axis=0) if len(by_instance) else (0.0, 0.0)
    low = high = share = float("nan")
    if n:
        share, units = hits / n, len(by_instance)
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(units, np.full(units, 1 / units), draws) @ by_instance
        low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return {
        "n": int(n), "contradicting": int(hits), "share": share, "low": low, "high": high,
    }  # fmt: skip


def follow_up(found: pd.DataFrame, minutes: Sequence[float], seed: int) -> pd.DataFrame:
    """Pairs and contradictions by the time between: what `figures.follow_up` draws.

    Parameters
    ----------
    found : pandas.DataFrame
        A row a pair: ``instance``, ``contradict`` (bool: the labels differ) and, for `follow_up`,
        ``gap_s`` (s, 0 or more).
    minutes : sequence of float
        Upper ends of the gaps in minutes, ascending; a last one without end is added.
    seed : int

    Returns
    -------
    pandas.DataFrame
        ``gap`` (text), and the columns of `contradiction`; gaps without a pair are left out, unless
        there is no pair at all.
    """
    ends = [*minutes, np.inf]
    rows, low = [], -np.inf
    for high in ends:
        inside = found[(found["gap_s"] > low * 60) & (found["gap_s"] <= high * 60)]
        rows.append({"gap": _gap(low, high), **contradiction(inside, seed)})
        low = high
    table = pd.DataFrame(rows)
    paired = table[table["n"] > 0]
    return (paired if len(paired) else table).reset_index(drop=True)


def _gap(low: float, high: float) -> str:
    if np.isinf(high):
        return f"over {_minutes(low)}"
    if np.isinf(low):
        return f"up to {_minutes(high)}"
    (start, unit), end = _minutes(low).split(), _minutes(high)
    return f"{start if end.endswith(f' {unit}') else f'{start} {unit}'} to {end}"


def _minutes(value: float) -> str:
    for size, unit in ((1440, "d"), (60, "h")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} min"
