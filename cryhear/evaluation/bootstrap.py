"""Percentile bootstrap over infants, of every metric of every model at once.

All of it resamples the *test* side only: predictions stay as they are, so the spread of training
is not in it (`STUDY`: such intervals cover less than they say; tables mark them). Infants are
drawn with replacement, as often as there are infants; a draw is a matrix of integer weights, one a
row of predictions. The draws depend on the seed and on which infants there are, so that all models
scored on the same infants share them and differences are paired.

Predictions are the project's table: `recording`, `infant`, `label`, `repeat`, `fold`,
`p_pain`, `p_hunger`, `p_neurological`, and the columns that name a cell (CELL). In each repeat a
metric is computed for itself, AUC over pairs within fold, and then averaged over the repeats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed
from threadpoolctl import threadpool_limits

from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError
from cryhear.evaluation.metrics import METRICS, Scorer
from cryhear.evaluation.validation import strata, validate

CELL = ("set", "protocol", "part", "model", "representation")
PROBABILITIES = tuple(f"p_{name}" for name in CLASSES)
LEVEL = 0.95
KIND, NO_INTERVAL = "test-sampling only", "too few infants for an interval"
MAX_UNDEFINED = 0.05
"""Largest share of draws that may leave a metric undefined: beyond, an interval is of other data."""
_CHUNK = 128  # draws scored together: their weights fit in a core's cache


class Cell(NamedTuple):
    """One model on one protocol: `value` (m,) and `draws` (m, d) of METRICS, and what they are of."""

    key: tuple[Any, ...]
    value: np.ndarray
    draws: np.ndarray
    rows: int
    units: tuple[Any, ...]
    repeats: int
    spread: np.ndarray


def unit_draws(units: int, draws: int, seed: int) -> np.ndarray:
    """How often each of `units` is drawn, in each draw: float64 whole numbers, (units, draws)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(units, np.full(units, 1 / units), size=draws).T.astype(float)


def draw_weights(units: Any, draws: int = 2000, seed: int = 0) -> np.ndarray:
    """Bootstrap weights of rows by their unit.

    Parameters
    ----------
    units : array-like, shape (n,)
        The infant of each row.
    draws, seed : int

    Returns
    -------
    numpy.ndarray of float64, shape (n, draws)
        Whole numbers; rows of one unit have the same.

    Examples
    --------
    >>> weights = draw_weights(["a", "a", "b"], draws=3)
    >>> weights.shape, bool((weights[0] == weights[1]).all())
    ((3, 3), True)
    """
    index, names = pd.factorize(np.asarray(units), sort=True)
    return unit_draws(len(names), draws, seed)[index]


def repeated_scores(
    predictions: pd.DataFrame, within: Sequence[str] = (), by: Sequence[str] | None = None
) -> pd.DataFrame:
    """Score each cell in each repeat, then average over the repeats.

    Parameters
    ----------
    predictions : pandas.DataFrame
    within : sequence of str
        Columns beside `fold` within which the AUC's pairs must lie; ('platform',) for the primary.
    by : sequence of str, optional
        Columns that name a cell; default those of CELL that the table has. With 'repeat' or 'fold'
        among them, scores by repeat or by fold.

    Returns
    -------
    pandas.DataFrame, one row a cell and metric
        The columns `by`, then `metric`, `value`, `sd` (over repeats, ddof 1; missing for one),
        `repeats`, `n` (recordings), `units` (infants).

    Raises
    ------
    EvaluationError
        A repeat of a cell lacks a class, or columns are missing.
    """
    by = _by(predictions, by)
    tables = []
    for cell in _cells(predictions, by, within, "recording", draws=0, seed=0):
        tables.append(_frame(cell, by) | {"value": cell.value, "sd": cell.spread})
    columns = [*by, "metric", "value", "sd", "repeats", "n", "units"]
    return pd.concat([pd.DataFrame(t) for t in tables], ignore_index=True)[columns]


def bootstrap(
    predictions: pd.DataFrame,
    draws: int = 2000,
    seed: int = 0,
    within: Sequence[str] = (),
    weighting: str = "recording",
    by: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Percentile intervals of every metric in each cell, from draws of infants.

    Parameters
    ----------
    predictions, within, by
        As in `repeated_scores`.
    draws : int
        2,000 bootstrap draws put the 2.5 % points within about 0.3 % of where they belong.
    seed : int
    weighting : {'recording', 'infant'}
        'infant' gives every infant of a repeat the same weight in all.

    Returns
    -------
    pandas.DataFrame, one row a cell and metric
        The columns `by`, then `metric`, `value` (of the predictions themselves), `low`, `high`
        (percentiles 2.5 and 97.5), `se`, `n`, `units`, `repeats`, `draws`, `undefined` (draws left
        out because a class was not in them) and `interval`: 'test-sampling only'.

    Raises
    ------
    EvaluationError
        As `repeated_scores`; or more than MAX_UNDEFINED of the draws leave a metric undefined.
    """
    by = _by(predictions, by)
    tables = []
    for cell in _cells(predictions, by, within, weighting, draws, seed):
        tables.append(pd.DataFrame(_frame(cell, by) | _interval(cell.value, cell.draws, cell.key)))
    return pd.concat(tables, ignore_index=True)


def paired_difference(
    predictions: pd.DataFrame,
    compare: str | Sequence[str],
    reference: str | Sequence[str],
    draws: int = 2000,
    seed: int = 0,
    within: Sequence[str] = (),
) -> pd.DataFrame:
    """Each cell minus its reference, from the same draws of the same infants.

    Parameters
    ----------
    predictions, draws, seed, within
        As in `bootstrap`.
    compare : str or sequence of str
        The column (or columns) that differ: 'protocol' for inflation, ('model', 'representation')
        for the increment over metadata.
    reference : str or sequence of str
        The value (or values) to subtract: 'L3'. Other columns of the cell must be equal.

    Returns
    -------
    pandas.DataFrame
        As `bootstrap`, with `reference` before `metric`; cells that have no reference to subtract
        are left out, the references too.

    Raises
    ------
    EvaluationError
        No cell has its reference, or one was scored on other infants.
    """
    by, compare, reference = _by(predictions, None), _listed(compare), _listed(reference)
    if len(compare) != len(reference) or not set(compare) <= set(by):
        raise EvaluationError(
            f"compare is {compare} and reference {reference}; expected as many values as columns, "
            f"and columns among {by}. Change them."
        )
    cells = {c.key: c for c in _cells(predictions, by, within, "recording", draws, seed)}
    tables = []
    for key, cell in cells.items():
        named = dict(zip(by, key, strict=True)) | dict(zip(compare, reference, strict=True))
        base = cells.get(tuple(named[column] for column in by))
        if base is not None and base is not cell:
            _same_infants(cell, base)
            differs = _interval(cell.value - base.value, cell.draws - base.draws, key)
            tables.append(pd.DataFrame(_frame(cell, by) | differs))
    if not tables:
        raise EvaluationError(
            f"no cell has a reference with {compare} equal to {reference}; expected one that is equal "
            f"in the other columns of {by}. Check the predictions."
        )
    table = pd.concat(tables, ignore_index=True)
    table.insert(len(by), "reference", "/".join(reference))
    return table


def _same_infants(cell: Cell, base: Cell) -> None:
    if base.units != cell.units:
        shared = len(set(base.units) & set(cell.units))
        raise EvaluationError(
            f"{cell.key} was scored on {len(cell.units)} infants and its reference on "
            f"{len(base.units)}, {shared} of them shared; expected the same ones. Keep only the rows "
            "both have."
        )


def _cells(
    predictions: pd.DataFrame,
    by: list[str],
    within: Sequence[str],
    weighting: str,
    draws: int,
    seed: int,
) -> Iterator[Cell]:
    if draws < 0 or weighting not in ("recording", "infant"):
        raise EvaluationError(
            f"draws {draws}, weighting {weighting!r}; expected draws at least 0, and 'infant' or "
            "'recording'. Change them."
        )
    needed = ("recording", "infant", "label", "repeat", "fold", *PROBABILITIES, *within)
    if (missing := [c for c in needed if c not in predictions]) or predictions.empty:
        raise EvaluationError(
            f"predictions have {len(predictions)} rows and lack columns {missing}; expected some rows "
            f"and {needed}. Join what is missing by recording."
        )
    shared: dict[tuple[Any, ...], np.ndarray] = {}
    groups = predictions.groupby(by, sort=False, observed=True, dropna=False) if by else None
    jobs = []
    for key, rows in groups if groups is not None else [((), predictions)]:
        units = tuple(sorted(rows["infant"].unique()))
        if units not in shared:
            shared[units] = unit_draws(len(units), draws, seed)
        jobs.append(delayed(_score_cell)(key, rows, units, shared[units], within, weighting))
    # Threads, since the work is NumPy's and the draws are shared; none of them needs its own.
    with threadpool_limits(1):
        yield from Parallel(cpu_count(), prefer="threads", return_as="generator")(jobs)


def _score_cell(
    key: tuple[Any, ...],
    rows: pd.DataFrame,
    units: tuple[Any, ...],
    drawn: np.ndarray,
    within: Sequence[str],
    weighting: str,
) -> Cell:
    values, draws = [], np.zeros((len(METRICS), drawn.shape[1]))
    repeats = [r for _, r in rows.groupby("repeat", sort=True)]
    for repeat in repeats:
        try:
            y, p = validate(repeat["label"], repeat[list(PROBABILITIES)], all_classes=True)
        except EvaluationError as error:
            raise EvaluationError(f"predictions of {key}: {error}") from error
        score = Scorer(y, p, pairs_within=strata(repeat, list(dict.fromkeys(("fold", *within)))))
        base = np.ones(len(repeat))
        if weighting == "infant":
            base /= repeat.groupby("infant")["infant"].transform("size").to_numpy()
        index = pd.Index(units).get_indexer(repeat["infant"])
        values.append(score(base[:, None])[:, 0])
        for start in range(0, drawn.shape[1], _CHUNK):
            chunk = slice(start, start + _CHUNK)
            draws[:, chunk] += score(drawn[index, chunk] * base[:, None])
    by_repeat = np.array(values)
    missing = np.isnan(by_repeat).any(axis=0)
    if missing.any():
        undefined = [m for m, bad in zip(METRICS, missing.tolist(), strict=True) if bad]
        raise EvaluationError(
            f"{', '.join(undefined)} of {key} undefined: no fold (and {list(within)}) holds a class "
            "and another. Use fewer strata or more recordings."
        )
    spread = by_repeat.std(0, ddof=1) if len(by_repeat) > 1 else np.full(len(METRICS), np.nan)
    counted = round(len(rows) / len(repeats))
    return Cell(key, by_repeat.mean(0), draws / len(repeats), counted, units, len(repeats), spread)


def _interval(value: np.ndarray, draws: np.ndarray, key: tuple[Any, ...]) -> dict[str, Any]:
    worst = METRICS[int(np.isnan(draws).sum(1).argmax())]
    low, high, se, undefined = interval_of(draws, f"{worst} of {key}")
    return {
        "value": value, "low": low, "high": high, "se": se,
        "draws": draws.shape[1], "undefined": undefined, "interval": KIND,
    }  # fmt: skip


def interval_of(
    draws: np.ndarray, what: str = "draws"
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Percentile interval of each row of draws, (m, d) -> low, high, se, undefined, each (m,).

    Draws that are NaN are left out and counted; EvaluationError beyond MAX_UNDEFINED of them.
    """
    undefined = np.isnan(draws).sum(1)
    if not draws.shape[1] or undefined.max() > MAX_UNDEFINED * draws.shape[1]:
        raise EvaluationError(
            f"{what}: {undefined.max()} of {draws.shape[1]} draws are undefined because a class was "
            f"not in them; expected at most {MAX_UNDEFINED:.0%} of some. Too few infants of a class "
            "for a bootstrap: give the value without an interval."
        )
    tail = (1 - LEVEL) / 2
    whole = undefined == 0
    low, high = np.empty((2, len(draws)))
    if whole.any():  # many times faster than the variant that looks for NaN
        low[whole], high[whole] = np.quantile(draws[whole], (tail, 1 - tail), axis=1)
    if not whole.all():
        low[~whole], high[~whole] = np.nanquantile(draws[~whole], (tail, 1 - tail), axis=1)
    return low, high, np.nanstd(draws, axis=1, ddof=1), undefined


def percentiles(draws: np.ndarray, axis: int = -1) -> np.ndarray:
    """Percentiles 2.5 and 97.5 of draws, those that are NaN left out: shape (2, ...).

    >>> percentiles(np.append(np.arange(101.0), np.nan)).tolist()
    [2.5, 97.5]
    """
    return np.nanpercentile(draws, (2.5, 97.5), axis=axis)


def mean_interval(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Percentile interval of a mean, (n,), over bootstrap weights of its rows, (n, d).

    Draws that take none of the rows are left out.
    """
    totals = weights.sum(axis=0)
    low, high = percentiles((values @ weights)[totals > 0] / totals[totals > 0])
    return float(low), float(high)


def estimate(values: np.ndarray, what: str) -> dict[str, float]:
    """`value`, `low` and `high` from what was computed (first) and its draws: see `interval_of`."""
    low, high, _, _ = interval_of(values[None, 1:], what)
    return {"value": float(values[0]), "low": float(low[0]), "high": float(high[0])}


def _frame(cell: Cell, by: list[str]) -> dict[str, Any]:
    named = dict(zip(by, cell.key, strict=True))
    counts = {"n": cell.rows, "units": len(cell.units), "repeats": cell.repeats}
    return {**named, "metric": list(METRICS), **counts}


def _by(predictions: pd.DataFrame, by: Sequence[str] | None) -> list[str]:
    chosen = [c for c in CELL if c in predictions] if by is None else _listed(by)
    if missing := [c for c in chosen if c not in predictions]:
        raise EvaluationError(
            f"predictions have no column {', '.join(missing)}; expected it to name cells. Change `by`."
        )
    return chosen


def _listed(values: str | Sequence[str]) -> list[str]:
    return [values] if isinstance(values, str) else list(values)
