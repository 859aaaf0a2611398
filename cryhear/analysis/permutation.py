"""Tests and intervals of the primary estimand, refitting the whole procedure each time.

The permutation null, the refitting bootstrap and the simulations of `cryhear.analysis.power` are one
function, `primary_auc.repeat_auc`, called on permuted labels, on infants that count several times, and
on embeddings with an effect put in. Intervals of predictions already made are in
`cryhear.evaluation`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cryhear.analysis.primary_auc import FoldPlan, repeat_auc
from cryhear.corpus.labels import CLASSES
from cryhear.embedding.tables import StudySet
from cryhear.evaluation.bootstrap import percentiles
from cryhear.models.primary import PRIMARY, Procedure

COLUMNS = [f"auc_{name}" for name in CLASSES]
Z_95 = 1.96
"""Half width of a 95 % interval in standard errors."""


def exchange_blocks(recordings: pd.DataFrame) -> list[np.ndarray]:
    """Infants whose label vectors may be exchanged: equal numbers of recordings, same platforms.

    Returns
    -------
    list of numpy.ndarray of int, shape (infants, size)
        One array a kind of infant; row numbers of `recordings`, an infant's in order of time.
    """
    keys = ["infant", "platform", *(c for c in ("time_s",) if c in recordings), "recording"]
    ordered = recordings.assign(row=np.arange(len(recordings))).sort_values(keys)
    kinds: dict[tuple[str, ...], list[np.ndarray]] = {}
    for _, own in ordered.groupby("infant", sort=True):
        kinds.setdefault(tuple(own["platform"]), []).append(own["row"].to_numpy())
    return [np.stack(rows) for rows in kinds.values()]


def exchange_counts(recordings: pd.DataFrame, y: np.ndarray) -> dict[str, int]:
    """What the permutation moves.

    Returns
    -------
    dict
        `infants` and `recordings` in all; `infants_fixed` and `recordings_fixed`, of a kind with
        one infant, and of these recordings `fixed_<class>`; `infants_alike`, whose kind has several
        infants but one label vector only.
    """
    blocks, y = exchange_blocks(recordings), np.asarray(y)
    alone = [b for b in blocks if len(b) == 1]
    held = np.concatenate([y[:0], *(y[b.ravel()] for b in alone)])
    alike = [b for b in blocks if len(b) > 1 and len(np.unique(y[b], axis=0)) == 1]
    return {
        "infants": sum(len(b) for b in blocks),
        "recordings": len(recordings),
        "infants_fixed": len(alone),
        "recordings_fixed": len(held),
        **{f"fixed_{label}": int((held == code).sum()) for code, label in enumerate(CLASSES)},
        "infants_alike": sum(len(b) for b in alike),
    }


def exchange_labels(
    recordings: pd.DataFrame, y: np.ndarray, permutations: int, rng: np.random.Generator
) -> np.ndarray:
    """Permuted labels: whole label vectors change places within `exchange_blocks`.

    Returns
    -------
    numpy.ndarray, shape (permutations, n), int64
    """
    return exchange(exchange_blocks(recordings), y, permutations, rng)


def exchange(
    blocks: list[np.ndarray], y: np.ndarray, permutations: int, rng: np.random.Generator
) -> np.ndarray:
    """Labels with whole vectors exchanged within blocks: int64 (permutations, n).

    Rows in no block keep their label.
    """
    y = np.asarray(y, dtype=np.int64)
    permuted = np.tile(y, (permutations, 1))
    for block in blocks:
        order = rng.permuted(np.tile(np.arange(len(block)), (permutations, 1)), axis=1)
        permuted[:, block] = y[block][order]
    return permuted


def permutation_null(
    data: StudySet,
    plan: FoldPlan,
    permutations: int = 1000,
    seed: int = 42,
    used: int | None = None,
    procedure: Procedure = PRIMARY,
) -> pd.DataFrame:
    """The observed AUC and its null distribution, every permutation refitted and tuned anew.

    Called with other features and the same `seed`, it draws the same permutations, as `maximum_p` needs.

    Parameters
    ----------
    data : StudySet
        Its recordings with `recording`, `infant`, `platform`, and `time_s` where known.
    plan : FoldPlan
        Folds drawn without labels.
    permutations, seed : int
    used : int, optional
        Of the permutations drawn, how many are computed: the first; all by default.
    procedure : Procedure

    Returns
    -------
    pandas.DataFrame, 1 + used rows
        `permutation` (0 is the data as they are), `auc` (macro), `auc_<class>`.
    """
    rng = np.random.default_rng(seed)
    drawn = exchange_labels(data.recordings, data.y, permutations, rng)[:used]
    values = repeat_auc(data.X, np.concatenate([data.y[None], drawn]), plan, procedure)
    return auc_table(values.mean(axis=0)).rename_axis("permutation").reset_index()


def null_of_repeat(
    data: StudySet, plan: FoldPlan, permutations: int, used: int, seed: int, repeat: int
) -> pd.DataFrame:
    """`permutation_null` on the folds of one repeat; `over_repeats` of all of them is that of the plan."""
    return permutation_null(data, plan.repeat(repeat), permutations, seed, used)


def over_repeats(nulls: pd.DataFrame) -> pd.DataFrame:
    """One null distribution from those of single repeats: means, which is what the estimate is."""
    means = nulls.groupby("permutation")[COLUMNS].mean().reset_index()
    means.insert(1, "auc", means[COLUMNS].mean(axis=1))
    return means


def p_value(null: pd.DataFrame) -> float:
    """One-sided p: (1 + permutations at least as high as the data) / (1 + permutations).

    Examples
    --------
    >>> p_value(pd.DataFrame({"auc": [0.7, 0.5, 0.6, 0.4]}))  # the data, then three permutations
    0.25
    """
    values = null["auc"].to_numpy()
    return float((values[1:] >= values[0]).sum() + 1) / len(values)


def p_two_sided(null: pd.DataFrame) -> float:
    """Two-sided p: twice the smaller of the shares of permutations as high and as low as the data.

    Examples
    --------
    >>> p_two_sided(pd.DataFrame({"auc": [0.3, 0.5, 0.6, 0.4]}))  # below all three permutations
    0.5
    """
    values = null["auc"].to_numpy()
    low = float((values[1:] <= values[0]).sum() + 1) / len(values)
    return min(1.0, 2 * min(p_value(null), low))


def maximum_p(nulls: Mapping[str, pd.DataFrame]) -> pd.Series:
    """P of each representation, corrected by the maximum statistic (Westfall and Young 1993).

    Each representation's AUC is put in standard deviations of its own null, so that a noisier one
    does not decide the maximum.

    Parameters
    ----------
    nulls : mapping of representation to the table of `permutation_null`
        Same permutations in each.
    """
    values = np.stack([null["auc"].to_numpy() for null in nulls.values()], axis=1)
    z = (values - values[1:].mean(axis=0)) / values[1:].std(axis=0, ddof=1)
    highest = z[1:].max(axis=1)
    p = ((highest[:, None] >= z[0]).sum(axis=0) + 1) / len(values)
    return pd.Series(p, index=list(nulls), name="p_maximum")


def infant_weights(recordings: pd.DataFrame, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each recording counts when infants are drawn with replacement: int64 (draws, n)."""
    infants, of_row = np.unique(recordings["infant"].to_numpy(dtype=str), return_inverse=True)
    share = np.full(len(infants), 1 / len(infants))
    return rng.multinomial(len(infants), share, size=draws)[:, of_row]


def refit_bootstrap(
    data: StudySet,
    plan: FoldPlan,
    start: int,
    stop: int,
    seed: int = 42,
    procedure: Procedure = PRIMARY,
) -> pd.DataFrame:
    """AUCs of the procedure refitted, scaling and PCA included, on infants drawn with replacement.

    Of the embeddings and of the metadata alone, on the same infants: differences are taken within a
    draw. An infant drawn twice counts twice in fitting and scoring and stays in its fold, so nothing
    of it is on both sides.

    Parameters
    ----------
    data, plan, seed, procedure
        As `permutation_null`.
    start, stop : int
        Draws from `start` up to `stop`, the same in any pieces.

    Returns
    -------
    pandas.DataFrame
        `features` (the representation's name, or 'metadata'), `draw`, `auc`, `auc_<class>`. The draws
        centre low (fewer distinct infants train): use their spread, not their percentiles.
    """
    weights = infant_weights(data.recordings, stop, np.random.default_rng(seed)).astype(float)
    features = {data.representation: data.X, "metadata": metadata_matrix(data.recordings)}
    jobs = [(name, i) for i in range(start, stop) for name in features]
    values = [repeat_auc(features[name], data.y, plan, procedure, weights[i]) for name, i in jobs]
    # A repeat in which a class was drawn away entirely says nothing.
    table = auc_table(np.stack([np.nanmean(v[:, 0], axis=0) for v in values]))
    table.insert(0, "features", [name for name, _ in jobs])
    table.insert(1, "draw", [i for _, i in jobs])
    return table


def headline(null: pd.DataFrame, refits: pd.DataFrame, metadata: float) -> pd.DataFrame:
    """The primary estimate, that of the metadata, and their difference, with refitted intervals.

    Parameters
    ----------
    null : pandas.DataFrame
        Of `permutation_null`; only permutation 0 is read.
    refits : pandas.DataFrame
        Of `refit_bootstrap`.
    metadata : float
        AUC of the metadata alone.

    Returns
    -------
    pandas.DataFrame
        ``quantity`` ('auc', 'auc_<class>', 'metadata_auc', 'increment'), ``value``, ``se``, ``low``,
        ``high``.
    """
    by_name = {name: own.set_index("draw") for name, own in refits.groupby("features")}
    other = by_name.pop("metadata")["auc"]
    (sound,) = by_name.values()
    first = null.iloc[0]
    asked = [(name, float(first[name]), sound[name]) for name in ("auc", *COLUMNS)]
    asked.append(("metadata_auc", metadata, other))
    asked.append(("increment", float(first["auc"]) - metadata, sound["auc"] - other))
    table = [(name, value, *interval(value, draws.to_numpy())) for name, value, draws in asked]
    return pd.DataFrame(table, columns=["quantity", "value", "se", "low", "high"])


def comparison(nulls: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Every representation against the same permutations, corrected by the maximum statistic.

    Returns
    -------
    pandas.DataFrame
        ``representation``, ``value`` (AUC), ``null_low``, ``null_high`` (middle 95 % of its
        permutations), ``chance`` (their mean), ``p_maximum`` (one-sided), ``p_two_sided`` (for
        itself, not corrected).
    """
    corrected, table = maximum_p(nulls), []
    for name, null in nulls.items():
        drawn = null["auc"].to_numpy()[1:]
        low, high = percentiles(drawn)
        table.append({"representation": name, "value": null["auc"].iloc[0], "null_low": low,
                      "null_high": high, "chance": drawn.mean(), "p_maximum": corrected[name],
                      "p_two_sided": p_two_sided(null)})  # fmt: skip
    return pd.DataFrame(table)


def interval(estimate: float, draws: np.ndarray) -> tuple[float, float, float]:
    """Standard error of refitted draws, and estimate minus and plus 1.96 of it."""
    error = float(np.nanstd(np.asarray(draws, float), ddof=1))
    return error, estimate - Z_95 * error, estimate + Z_95 * error


def metadata_matrix(recordings: pd.DataFrame) -> np.ndarray:
    """Platform, sex, age band (one column a value) and level: what is known without listening.

    Returns
    -------
    numpy.ndarray, shape (n, m), float32
        An unknown level is the median of the known.
    """
    from cryhear.models.baselines import CATEGORIES, metadata_features

    table = metadata_features(recordings)
    level = table["level_dbfs"].fillna(table["level_dbfs"].median()).fillna(0.0)
    coded = pd.get_dummies(table[list(CATEGORIES)].astype(str))
    return np.column_stack([coded.to_numpy(float), level]).astype(np.float32)


def auc_table(values: np.ndarray) -> pd.DataFrame:
    """AUCs of the classes, shape (b, K), as a table with their mean before them."""
    table = pd.DataFrame(values, columns=COLUMNS)
    table.insert(0, "auc", values.mean(axis=1))
    return table
