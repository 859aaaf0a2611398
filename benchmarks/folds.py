"""Cross-validation and the leakage ladder beside the same work written with scikit-learn in loops.

Two kinds of work: the ladder's rungs with the primary procedure (chapters 9 and 10), and folds by infant
with models that are searched on each training side (chapter 7), where the plain way is
``RandomizedSearchCV`` over the whole pipeline in every outer fold.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.model_selection import RandomizedSearchCV

from benchmarks import bench, made, plain
from cryhear import classical, crossvalidation, estimators, protocols, search, splits

SAME = 1e-3
"""Largest difference of a probability: outer folds reduce float32 rows as they come, the plain pipeline
the same rows as float64, and a weakly penalised model multiplies the difference."""
TUNED = ("logistic_regression", "svm_rbf")
RUNGS = ("L1", "L2", "L3")
SEED = 42


def plain_ladder(rows: made.Rows, repeats: int) -> np.ndarray:
    """Probabilities of the primary procedure on RUNGS, in the order of `protocols.ladder`."""

    def predict(task: protocols.Task) -> np.ndarray:
        X, y = task.X[task.fitted], task.y[task.fitted]
        train = np.searchsorted(task.fitted, task.train)
        return plain.probabilities(X, y, task.inner_folds(3), task.X[task.test], train)[0]

    return _columns(protocols.ladder(rows, predict, RUNGS, n_repeats=repeats))


def plain_folds(rows: made.Rows, folds: np.ndarray, n_jobs: int) -> np.ndarray:
    """Probabilities of each model in TUNED, searched in every outer fold by scikit-learn."""

    def tune(name: str, X: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int) -> dict:
        pipeline, scoring = classical.model(name, seed), classical.SCORING["default"][name]
        given = {"classifier__groups": groups} if name == "svm_rbf" else {}
        if name == "svm_rbf":
            pipeline.set_params(classifier__calibrate=False)
        return RandomizedSearchCV(
            pipeline,
            {f"classifier__{k}": v for k, v in classical.SPACES["default"][name].items()},
            n_iter=crossvalidation.CANDIDATES, random_state=seed, n_jobs=n_jobs,
            cv=estimators.inner_folds(y, groups, classical.FOLDS, seed),
            scoring=search.balanced_log_loss if scoring == "balanced_log_loss" else scoring,
        ).fit(X.astype(np.float64), y, **given).best_params_  # fmt: skip

    found = []
    for name in TUNED:

        def predict(task: protocols.Task, name: str = name) -> np.ndarray:
            X, y, groups = (
                task.X[task.train].astype(np.float64),
                task.y[task.train],
                task.groups[task.train],
            )
            best = tune(name, X, y, groups, task.seed)
            model = classical.model(name, task.seed).set_params(**best)
            estimators.fit(model, X, y, groups)
            return estimators.probabilities(model, task.X[task.test].astype(np.float64))

        found.append(_columns(protocols.cross_validate(rows, predict, folds)))
    return np.concatenate(found)


def _columns(table: pd.DataFrame) -> np.ndarray:
    return table[protocols.P_COLUMNS].to_numpy()


def measure(results: bench.Results) -> None:
    """Measure the ladder, then the folds."""
    rows = made.Rows(60, 32) if results.quick else made.Rows(379, 1024)
    repeats, jobs = (1, 1) if results.quick else (3, 2)
    model = protocols.primary_model()
    found = bench.pair(
        lambda: _columns(protocols.ladder(rows, model, RUNGS, n_repeats=1)),
        lambda: plain_ladder(rows, 1), repeats, False,
    )  # fmt: skip
    apart = bench.check_close(found.our_output, found.their_output, plain.PROBABILITY, "ladder")
    results.ratio("ladder", found, note=f"{len(rows.y)} recordings, rungs L1 to L3, one repeat")
    results.number("ladder_apart", apart, "ratio", note="largest difference of a probability")
    folds = splits.repeated_folds(rows.recordings, "infant", 5, 1, SEED)
    found = bench.pair(
        lambda: _columns(crossvalidation.by_infant(rows, TUNED, folds, SEED, False, False, jobs)),
        lambda: plain_folds(rows, folds, jobs), repeats, False,
    )  # fmt: skip
    bench.check_close(found.our_output, found.their_output, SAME, "folds by infant")
    results.ratio(
        "by_infant", found, note=f"{len(rows.y)} recordings, 5 folds, {' and '.join(TUNED)}"
    )


if __name__ == "__main__":
    raise SystemExit(bench.run("folds", measure))
