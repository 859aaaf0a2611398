"""Cross-validation and the leakage ladder beside the same work written with scikit-learn in loops.

Two kinds of work: the ladder's rungs with the primary procedure (chapters 9 and 10), and folds by infant
with all models of chapter 7 that are searched on each training side, where the plain way is
``RandomizedSearchCV`` over the whole pipeline in every outer fold.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks import bench, made, plain
from cryhear.analysis import cross_validation
from cryhear.corpus import splits
from cryhear.models import classical, estimators

SAME = 1e-6
"""Largest difference of a probability of the searched models."""
RUNGS = ("L1", "L2", "L3")
SPLITS = 3
"""Outer folds of the searched models."""
SEED = 42


def plain_ladder(rows: made.Rows, repeats: int) -> np.ndarray:
    """Probabilities of the primary procedure on RUNGS, in the order of `cross_validation.ladder`."""

    def predict(task: cross_validation.Task) -> np.ndarray:
        X, y = task.X[task.fitted], task.y[task.fitted]
        train = np.searchsorted(task.fitted, task.train)
        return plain.probabilities(X, y, task.inner_folds(3), task.X[task.test], train)[0]

    return _columns(cross_validation.ladder(rows, predict, RUNGS, repeats=range(repeats)))


def plain_folds(
    rows: made.Rows, models: tuple[str, ...], folds: np.ndarray, n_jobs: int
) -> np.ndarray:
    """Probabilities of each model, searched in every outer fold by scikit-learn."""
    found = []
    for name in models:

        def predict(task: cross_validation.Task, name: str = name) -> np.ndarray:
            X, y, groups = task.X[task.train], task.y[task.train], task.groups[task.train]
            wide = X.astype(np.float64)
            chosen = plain.search(
                name, wide, y, groups, task.seed, cross_validation.CANDIDATES, n_jobs
            )
            last = plain.pipeline(name, task.seed).set_params(**chosen.best_params_)
            # The last fit takes the rows as they come, float32, up to the classifier: as ours does.
            before, classifier = last[:-1].fit(X), last[-1]
            estimators.fit(classifier, before.transform(X), y, groups)
            return estimators.probabilities(classifier, before.transform(task.X[task.test]))

        found.append(_columns(cross_validation.cross_validate(rows, predict, folds)))
    return np.concatenate(found)


def _columns(table: pd.DataFrame) -> np.ndarray:
    return table[cross_validation.P_COLUMNS].to_numpy()


def measure(results: bench.Results) -> None:
    """Measure the ladder, then the folds."""
    rows = made.Rows(60, 32) if results.quick else made.Rows(379, 1024)
    repeats, jobs = (1, 1) if results.quick else (2, 2)
    model = cross_validation.primary_model()
    found = bench.pair(
        lambda: _columns(cross_validation.ladder(rows, model, RUNGS, repeats=[0])),
        lambda: plain_ladder(rows, 1), repeats, False,
    )  # fmt: skip
    apart = bench.check_close(found.our_output, found.their_output, plain.PROBABILITY, "ladder")
    results.ratio("ladder", found, note=f"{len(rows.y)} recordings, rungs L1 to L3, one repeat")
    results.number("ladder_apart", apart, "ratio", note="largest difference of a probability")
    models = ("logistic_regression", "svm_rbf") if results.quick else classical.MEMBERS
    folds = splits.repeated_folds(rows.recordings, "infant", SPLITS, 1, SEED)
    # Both once with the quickest model, unmeasured: starting processes is no part of the work.
    quick = ("logistic_regression",)
    cross_validation.by_infant(rows, quick, folds, SEED, jobs)
    plain_folds(rows, quick, folds, jobs)
    found = bench.pair(
        lambda: _columns(cross_validation.by_infant(rows, models, folds, SEED, jobs)),
        lambda: plain_folds(rows, models, folds, jobs), repeats, False,
    )  # fmt: skip
    apart = bench.check_close(found.our_output, found.their_output, SAME, "folds")
    results.ratio(
        "by_infant", found, note=f"{len(rows.y)} recordings, {SPLITS} folds, {', '.join(models)}"
    )
    results.number("by_infant_apart", apart, "ratio", note="largest difference of a probability")


if __name__ == "__main__":
    raise SystemExit(bench.run("folds", measure))
