"""Chapter 5's searches beside the same ``RandomizedSearchCV`` without a memory.

The same pipeline (impute, standardise, components, classifier), candidates, inner folds, scores and
cores; what differs is that ours keeps what comes before the classifier, the bins of gradient boosting
too, so that it is fitted once a fold.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import bench, made, plain
from cryhear.models import classical, estimators

SCORE = 1e-9
"""Largest difference of a fold's score: same arithmetic in the same order."""

SEED = 7


def ours(name: str, rows: made.Rows, n_iter: int) -> tuple[Any, np.ndarray]:
    """Choice, and scores (candidates, folds), by the library."""
    how = classical.Search(n_iter=n_iter, seed=SEED)
    found = classical.search(name, rows.X, rows.y, rows.recordings["infant"], how)
    table = found.table.pivot(index="candidate", columns="fold", values="score")
    return found.best_params, table.to_numpy()


def theirs(name: str, rows: made.Rows, n_iter: int, n_jobs: int) -> tuple[Any, np.ndarray]:
    """The same by scikit-learn, with the last fit of the chosen one."""
    X, groups = rows.X.astype(np.float64), rows.recordings["infant"].to_numpy()
    found = plain.search(name, X, rows.y, groups, SEED, n_iter, n_jobs)
    last = plain.pipeline(name, SEED).set_params(**found.best_params_)
    estimators.fit(last, X, rows.y, groups)
    scores = [found.cv_results_[f"split{k}_test_score"] for k in range(found.n_splits_)]
    return plain.best_of(found), np.transpose(scores)


def measure(results: bench.Results) -> None:
    """Measure each member and the four together."""
    rows = made.Rows(60, 32) if results.quick else made.Rows(379, 1024)
    n_iter, repeats = (2, 1) if results.quick else (classical.Search().n_iter, 2)
    jobs = 1 if results.quick else 2
    members = ("logistic_regression", "svm_rbf") if results.quick else classical.MEMBERS
    total = bench.Pair([0.0] * repeats, [0.0] * repeats, None, None)
    for name in members:
        found = bench.pair(
            lambda n=name: ours(n, rows, n_iter),
            lambda n=name: theirs(n, rows, n_iter, jobs),
            repeats,
            False,
        )
        (choice, scores), (their_choice, their_scores) = found.our_output, found.their_output
        bench.check_close(scores, their_scores, SCORE, f"{name}: scores of the search")
        bench.check_same(choice, their_choice, f"{name}: choice of the search")
        results.ratio(name, found, note=f"{len(rows.y)} recordings, {n_iter} candidates at most")
        for i in range(repeats):
            total.ours[i] += found.ours[i]
            total.theirs[i] += found.theirs[i]
    results.ratio("all", total, note="the searches of all members")


if __name__ == "__main__":
    raise SystemExit(bench.run("search", measure))
