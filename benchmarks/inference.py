"""Bootstraps and permutation tests beside loops over scikit-learn.

Draws of fixed predictions: every metric of every cell of a predictions table, beside a loop over
scikit-learn's metrics with sample weights. The loop would take many minutes, so a few draws of it are
timed and its time for all is the number of draws times that. Refitting: the null and the bootstrap of
the primary procedure, beside a loop that clones and fits it.
"""

from __future__ import annotations

import statistics

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from benchmarks import bench, made, plain
from cryhear.analysis import permutation, primary_auc
from cryhear.corpus.labels import CLASSES
from cryhear.evaluation import bootstrap
from cryhear.evaluation.metrics import CALIBRATION_BINS, METRICS
from cryhear.evaluation.validation import strata
from cryhear.models import primary

EQUAL = 1e-12
"""Largest difference of a metric: sums of a thousand float64 values in another order."""
DRAWS = 2000
SEED = 42


def predictions(rows: made.Rows, cells: int, repeats: int) -> pd.DataFrame:
    """A predictions table of some models on the same infants."""
    rng = np.random.default_rng(0)
    tables = []
    for model in range(cells):
        for repeat in range(repeats):
            p = rng.dirichlet(np.ones(len(CLASSES)), len(rows.y))
            table = rows.recordings.drop(columns="y").assign(model=f"m{model}", repeat=repeat)
            table["fold"] = pd.factorize(table["infant"])[0] % 5
            tables.append(table.assign(**dict(zip(bootstrap.PROBABILITIES, p.T, strict=True))))
    return pd.concat(tables, ignore_index=True)


def looped(table: pd.DataFrame, draws: int, within: tuple[str, ...]) -> pd.DataFrame:
    """`bootstrap.bootstrap` as a loop over models, draws and scikit-learn's metrics."""
    found = []
    for model, cell in table.groupby("model", sort=False):
        weights = bootstrap.draw_weights(cell["infant"], draws, SEED)
        values = np.zeros((len(METRICS), draws))
        repeats = cell.groupby("repeat").indices
        for rows in repeats.values():
            for j in range(draws):
                values[:, j] += one_draw(cell.iloc[rows], weights[rows, j], within)
        low, high, se, _ = bootstrap.interval_of(values / len(repeats))
        named = {"model": model, "metric": list(METRICS), "low": low, "high": high, "se": se}
        found.append(pd.DataFrame(named))
    return pd.concat(found, ignore_index=True)


def one_draw(rows: pd.DataFrame, w: np.ndarray, within: tuple[str, ...]) -> np.ndarray:
    """Every metric of METRICS on weighted rows."""
    p = rows[list(bootstrap.PROBABILITIES)].to_numpy()
    y = pd.Categorical(rows["label"], categories=list(CLASSES)).codes.astype(int)
    named, shares = p.argmax(axis=1), np.bincount(y, weights=w) / w.sum()
    prior = np.tile(shares, (len(y), 1))
    by_class = sk.precision_recall_fscore_support(y, named, sample_weight=w, zero_division=0)[:3]
    weighted = sk.precision_recall_fscore_support(
        y, named, sample_weight=w, zero_division=0, average="weighted"
    )[:3]
    auc = plain.auc(y, p, strata(rows, ["fold", *within]), w)
    one = np.eye(len(CLASSES))[y]
    ap = [sk.average_precision_score(one[:, k], p[:, k], sample_weight=w) for k in range(3)]
    loss, base = (sk.log_loss(y, q, sample_weight=w) for q in (p, prior))
    squared = np.average(((p - one) ** 2).sum(axis=1), weights=w)
    ece = [_ece(p.max(axis=1), named == y, w), *(_ece(p[:, k], y == k, w) for k in range(3))]
    values = [sk.accuracy_score(y, named, sample_weight=w), shares.max()]
    values += [sk.balanced_accuracy_score(y, named, sample_weight=w)]
    values += [part.mean() for part in by_class] + list(weighted) + [auc.mean(), np.mean(ap)]
    values += [loss, base, base - loss, squared, ece[0], np.mean(ece[1:])]
    return np.concatenate([values, *by_class, auc, ap, ece[1:]])


def _ece(predicted: np.ndarray, right: np.ndarray, w: np.ndarray) -> float:
    cuts = np.quantile(predicted, np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS)
    place = np.searchsorted(cuts, predicted, side="right")
    gaps = [w[place == b] @ (predicted - right)[place == b] for b in range(CALIBRATION_BINS)]
    return float(np.abs(gaps).sum() / w.sum())


def fixed_predictions(results: bench.Results) -> None:
    """All metrics of all cells, DRAWS times."""
    rows = made.Rows(120, 4) if results.quick else made.Rows(379, 4)
    cells, draws, few, repeats = (2, 50, 3, 1) if results.quick else (18, DRAWS, 3, 3)
    table, within = predictions(rows, cells, 2), ("platform",)
    ours = lambda d: bootstrap.bootstrap(table, d, SEED, within=within, by=["model"])  # noqa: E731
    loop_s, loop = bench.timed(lambda: looped(table, few, within))
    bench.check_close(
        ours(few)[["low", "high", "se"]],
        loop[["low", "high", "se"]],
        EQUAL,
        "bootstrap of predictions",
    )
    times = [bench.timed(lambda: ours(draws))[0] for _ in range(repeats)]
    whole = loop_s / few * draws
    what = f"{draws} draws, {len(METRICS)} metrics, {cells} models of 2 repeats, {len(rows.y)} recordings"
    results.seconds("draws", times, note=what)
    results.number("draws_loop", whole / 60, "minutes", note=f"from {few} draws of the loop")
    speeds = [whole / t for t in times]
    results.number(
        "draws_ratio", statistics.median(speeds), "ratio", low=min(speeds), high=max(speeds),
        n=repeats, note=f"the loop timed over {few} draws",
    )  # fmt: skip


def refitted(results: bench.Results) -> None:
    """The permutation null and the bootstrap of the primary procedure, one repeat of five folds."""
    rows = made.Rows(90, 32) if results.quick else made.Rows(379, 320)
    batch, few, repeats = (20, 2, 1) if results.quick else (128, 3, 2)
    folds = primary.primary_folds(rows.recordings, 5, 1, SEED)
    plan = primary_auc.FoldPlan.draw(rows.recordings, folds)
    rng = np.random.default_rng(SEED)
    Y = permutation.exchange_labels(rows.recordings, rows.y, batch, rng)
    counts = permutation.infant_weights(rows.recordings, few, rng)
    ones = np.ones(len(rows.y))
    null = bench.pair(
        lambda: primary_auc.repeat_auc(rows.X, Y, plan)[0],
        lambda: np.stack([_looped_auc(rows.X, y, plan, ones) for y in Y[:few]]), repeats, False,
    )  # fmt: skip
    bench.check_close(null.our_output[:few], null.their_output, plain.AUC, "permutation null")
    per_one = null._replace(
        ours=[t / batch for t in null.ours], theirs=[t / few for t in null.theirs]
    )
    results.ratio("null", per_one, note=f"a permutation; ours {batch} at once, the loop {few}")
    boot = bench.pair(
        lambda: np.stack(
            [primary_auc.repeat_auc(rows.X, rows.y, plan, weight=w.astype(float))[0, 0] for w in counts]
        ),
        lambda: np.stack([_looped_auc(rows.X, rows.y, plan, w) for w in counts]), repeats, False,
    )  # fmt: skip
    bench.check_close(boot.our_output, boot.their_output, plain.AUC, "refitting bootstrap")
    results.ratio("refit", boot, note=f"{few} draws of infants")


def _looped_auc(
    X: np.ndarray, y: np.ndarray, plan: primary_auc.FoldPlan, weight: np.ndarray
) -> np.ndarray:
    """AUC of each class over a repeat's folds; a row drawn twice is there twice."""
    times = weight.astype(int)
    p = np.zeros((len(y), len(CLASSES)))
    for inner in plan.inner:
        train = np.repeat(np.flatnonzero(inner >= 0), times[inner >= 0])
        test = inner < 0
        p[test] = plain.probabilities(X[train], y[train], inner[train], X[test])[0]
    return plain.auc(
        y, p, strata(pd.DataFrame({"f": plan.folds[0], "p": plan.platform}), ["f", "p"]), weight
    )


def measure(results: bench.Results) -> None:
    """Measure both."""
    fixed_predictions(results)
    refitted(results)


if __name__ == "__main__":
    raise SystemExit(bench.run("inference", measure))
