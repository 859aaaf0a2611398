"""Batched L2 multinomial logistic regression: many label vectors, weights or C on the same rows.

A permutation null or a search over C fits thousands of models that share their features and differ
in labels, weights or C only. Fitted together, each step is two matrix products for all of them.
The objective is that of `sklearn.linear_model.LogisticRegression` (lbfgs, multinomial):

    sum_i s_i * nll_i(W, c) + ||W||^2 / (2 C),   intercepts c not penalised.

Its minimum has coefficients that sum to zero over the classes, so the solver works in an
orthonormal basis of that subspace (K - 1 columns instead of K; the penalty is unchanged) and takes
L-BFGS steps (Nocedal and Wright 2006, algorithm 7.4) from a diagonal of Böhning's (1992) curvature
at equal probabilities, which is nearly exact for principal components.

Against a loop that clones and fits scikit-learn's, a permutation of the primary procedure took 1/267
of the time, a refitted bootstrap draw 1/17 and the leakage ladder 1/8 (``python -m
benchmarks.inference``, ``python -m benchmarks.folds``; results under ``benchmarks/results``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryhear.errors import ParameterError

TIGHT = 1e-4
"""Default tolerance: estimated root-mean-square error of the logits where fitting stops."""

LOOSE = 3e-3
"""Tolerance for comparing C: moves a mean log loss by less than 1e-4."""

_BATCH = 64  # models in one solve: two products of this width stay in the second-level cache
_MEMORY = 5  # pairs kept by L-BFGS
_ARMIJO = 1e-4
_HALVINGS = 25


def sum_to_zero_basis(n_classes: int) -> np.ndarray:
    """Orthonormal basis (Helmert) of the vectors of length K that sum to zero.

    Returns
    -------
    numpy.ndarray, shape (K, K - 1), float64
    """
    basis = np.zeros((n_classes, n_classes - 1))
    for j in range(1, n_classes):
        basis[:j, j - 1] = 1.0
        basis[j, j - 1] = -j
        basis[:, j - 1] /= np.sqrt(j * (j + 1))
    return basis


def balanced_weights(
    Y: np.ndarray, weight: np.ndarray | None = None, n_classes: int = 3
) -> np.ndarray:
    """Row weights that give every class the same total ('balanced' of scikit-learn).

    Parameters
    ----------
    Y : numpy.ndarray, shape (b, n), int
        Class codes, 0 to K - 1.
    weight : numpy.ndarray, shape (b, n) or (n,), optional
        Multiplicities (0 leaves a row out); balancing then equals repeating the rows.
    n_classes : int

    Returns
    -------
    numpy.ndarray, shape (b, n), float64
        weight * N / (K_present * N_class), where N are totals of `weight`.

    Examples
    --------
    >>> balanced_weights(np.array([[0, 0, 0, 1]]), n_classes=2).round(3).tolist()
    [[0.667, 0.667, 0.667, 2.0]]
    """
    weight = np.broadcast_to(1.0 if weight is None else weight, Y.shape).astype(float)
    totals = np.stack([(weight * (k == Y)).sum(1) for k in range(n_classes)], axis=1)
    present = (totals > 0).sum(1, keepdims=True)
    factors = totals.sum(1, keepdims=True) / (present * np.where(totals > 0, totals, np.inf))
    return weight * np.take_along_axis(factors, Y, axis=1)


def fit_batched(
    X: np.ndarray,
    Y: np.ndarray,
    sample_weight: np.ndarray | None = None,
    C: float | np.ndarray = 1.0,
    n_classes: int = 3,
    tolerance: float = TIGHT,
    max_iterations: int = 500,
    start: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit b multinomial logistic regressions on the same features.

    Parameters
    ----------
    X : numpy.ndarray, shape (n, p), float32 or float64
        Features, best centred and uncorrelated. Work is done in this precision.
    Y : numpy.ndarray, shape (b, n) or (n,), int
        Class codes of each model.
    sample_weight : numpy.ndarray, shape (b, n) or (n,), optional, at least 0
        Row weights of each model; 0 leaves a row out of that model.
    C : float or numpy.ndarray, shape (b,), greater than 0
        Inverse strength of the penalty, as in scikit-learn.
    n_classes : int
        K. A class that a model does not see gets a low intercept and near-zero probability.
    tolerance : float
        Stop when the estimated root-mean-square error of the logits is below this.
    max_iterations : int
    start : (coef, intercept), optional
        Where to start, shaped as the result; zeros otherwise.

    Returns
    -------
    coef : numpy.ndarray, shape (b, K, p)
    intercept : numpy.ndarray, shape (b, K)

    Raises
    ------
    ParameterError
        If shapes disagree, a code is outside 0..K-1, or C is not positive.
    """
    Y, weights, C = _checked(X, Y, sample_weight, C, n_classes)
    basis = sum_to_zero_basis(n_classes)
    design = np.concatenate([X, np.ones((len(X), 1), X.dtype)], axis=1)
    theta = np.zeros((n_classes - 1, design.shape[1], len(Y)), X.dtype)
    if start is not None:
        full = np.concatenate([start[0], start[1][..., None]], axis=2)
        theta[:] = np.einsum("kj,bkp->jpb", basis, full)
    for first in range(0, len(Y), _BATCH):
        part = slice(first, first + _BATCH)
        problem = Problem.build(design, Y[part], weights[part], C[part], basis)
        theta[:, :, part] = minimise(problem, theta[:, :, part], tolerance, max_iterations)
    full = np.einsum("kj,jpb->bkp", basis.astype(X.dtype), theta)
    return full[:, :, :-1], full[:, :, -1]


@dataclass
class Problem:
    """b objectives in the sum-to-zero basis; arrays run (basis column, feature or row, model)."""

    design: np.ndarray  # (n, p + 1), last column ones
    basis: np.ndarray  # (K, K - 1)
    weights: np.ndarray  # (n, b)
    linear: np.ndarray  # (K - 1, p + 1, b): design' (weights * one-hot) basis
    penalty: np.ndarray  # (p + 1, b): 1 / C, 0 for the intercept

    @classmethod
    def build(
        cls,
        design: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray,
        C: np.ndarray,
        basis: np.ndarray,
    ) -> Problem:
        """Gather what does not change while fitting."""
        dtype = design.dtype
        weights = np.ascontiguousarray(weights.T, dtype)
        target = np.moveaxis(basis[Y.T], -1, 0).astype(dtype) * weights
        penalty = np.repeat(1.0 / C[None, :], design.shape[1], axis=0).astype(dtype)
        penalty[-1] = 0.0
        return cls(design, basis.astype(dtype), weights, np.matmul(design.T, target), penalty)

    def keep(self, which: np.ndarray) -> Problem:
        """The same problem for some of its models."""
        return Problem(
            self.design,
            self.basis,
            np.ascontiguousarray(self.weights[:, which]),
            np.ascontiguousarray(self.linear[:, :, which]),
            self.penalty[:, which],
        )

    def curvature(self) -> np.ndarray:
        """Diagonal of the second derivative at equal probabilities, shape (p + 1, b)."""
        return (self.design**2).T @ self.weights / len(self.basis) + self.penalty

    def normaliser(self, Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted log-sum-exp of the logits, shape (b,), and exp(logits - max) / sum, (K, n, b)."""
        logits = np.tensordot(self.basis, Z, 1)
        top = logits.max(axis=0)
        logits -= top
        np.exp(logits, out=logits)
        total = logits.sum(axis=0)
        value = np.einsum("nb,nb->b", self.weights, top + np.log(total))
        logits *= self.weights / total
        return value, logits

    def rest(self, theta: np.ndarray) -> np.ndarray:
        """The objective without its log-sum-exp, shape (b,)."""
        inner = 0.5 * self.penalty * theta - self.linear
        return np.einsum("jpb,jpb->b", inner, theta)

    def gradient(self, theta: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Gradient from the weighted probabilities `expected`."""
        residual = np.tensordot(self.basis.T, expected, 1)
        return np.matmul(self.design.T, residual) - self.linear + self.penalty * theta


def minimise(
    problem: Problem, theta: np.ndarray, tolerance: float, max_iterations: int
) -> np.ndarray:
    """Minimise every objective of a batch; converged models leave it when half have.

    Parameters
    ----------
    problem : Problem
    theta : numpy.ndarray, shape (K - 1, p + 1, b)
        Where to start (not changed).
    tolerance : float
        See `fit_batched`.
    max_iterations : int

    Returns
    -------
    numpy.ndarray, shape (K - 1, p + 1, b)
    """
    result = theta.copy()
    alive = np.arange(theta.shape[2])
    theta = np.ascontiguousarray(theta)
    scale = problem.curvature()
    limit = tolerance**2 * problem.weights.sum(axis=0)
    Z = np.matmul(problem.design, theta)
    value, expected = problem.normaliser(Z)
    value += problem.rest(theta)
    gradient = problem.gradient(theta, expected)
    pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for _ in range(max_iterations):
        direction = _direction(gradient, scale, pairs)
        # -<gradient, direction> estimates the squared Newton decrement: the error in the logits.
        moving = -np.einsum("jpb,jpb->b", gradient, direction) > limit
        if moving.sum() <= len(alive) // 2:
            result[:, :, alive] = theta
            if not moving.any():
                return result
            alive, problem = alive[moving], problem.keep(moving)
            theta, gradient, Z = (a[:, :, moving].copy() for a in (theta, gradient, Z))
            pairs = [(s[:, :, moving], y[:, :, moving], r[moving]) for s, y, r in pairs]
            scale, limit, value = scale[:, moving], limit[moving], value[moving]
            direction, moving = direction[:, :, moving], moving[moving]
        direction = direction * moving  # a model that has converged waits for the others
        step, Z, value, expected = _search(problem, theta, Z, value, gradient, direction)
        moved = direction * step
        theta = theta + moved
        previous, gradient = gradient, problem.gradient(theta, expected)
        change = gradient - previous
        product = np.einsum("jpb,jpb->b", moved, change)
        # A model that waits has no curvature to add.
        inverse = np.where(product > 0, 1.0 / np.where(product > 0, product, 1.0), 0.0)
        pairs = [*pairs[-_MEMORY + 1 :], (moved, change, inverse.astype(theta.dtype))]
    result[:, :, alive] = theta
    return result


def probabilities(X: np.ndarray, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Class probabilities of every model.

    Parameters
    ----------
    X : numpy.ndarray, shape (n, p)
    coef, intercept : as returned by `fit_batched`

    Returns
    -------
    numpy.ndarray, shape (b, n, K), each row sums to 1
    """
    b, k, p = coef.shape
    logits = (X @ coef.reshape(b * k, p).T).reshape(len(X), b, k).transpose(1, 0, 2)
    logits = logits + intercept[:, None, :]
    logits -= logits.max(axis=2, keepdims=True)
    np.exp(logits, out=logits)
    return logits / logits.sum(axis=2, keepdims=True)


def _direction(gradient: np.ndarray, scale: np.ndarray, pairs: list) -> np.ndarray:
    """Two-loop recursion for all models."""
    q = -gradient
    shares = []
    for moved, change, inverse in reversed(pairs):
        share = inverse * np.einsum("jpb,jpb->b", moved, q)
        q -= share * change
        shares.append(share)
    q /= scale
    for (moved, change, inverse), share in zip(pairs, reversed(shares), strict=True):
        q += (share - inverse * np.einsum("jpb,jpb->b", change, q)) * moved
    return q


def _search(
    problem: Problem,
    theta: np.ndarray,
    Z: np.ndarray,
    value: np.ndarray,
    gradient: np.ndarray,
    direction: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Halve each model's step until it lowers its objective; no new matrix product is needed."""
    slope = np.einsum("jpb,jpb->b", gradient, direction)
    along = np.matmul(problem.design, direction)
    rest, dtype = problem.rest(theta), theta.dtype
    tilt = np.einsum("jpb,jpb->b", problem.penalty * theta - problem.linear, direction)
    bend = 0.5 * np.einsum("jpb,jpb->b", problem.penalty * direction, direction)
    # Near the minimum the decrease drowns in rounding: allow that much.
    slack = 64 * np.finfo(dtype).eps * np.abs(value)
    step = np.ones_like(value)
    for _ in range(_HALVINGS):
        trial = Z + step * along
        new, expected = problem.normaliser(trial)
        new += rest + step * tilt + step**2 * bend
        failed = ~(new <= value + _ARMIJO * step * slope + slack)
        if not failed.any():
            break
        step = np.where(failed, 0.5 * step, step).astype(dtype)
    return step, trial, new, expected


def _checked(
    X: np.ndarray, Y: np.ndarray, weight: np.ndarray | None, C: float | np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    Y = np.atleast_2d(np.asarray(Y))
    if X.ndim != 2 or Y.shape[1] != len(X):
        raise ParameterError(
            f"X has shape {X.shape}, Y {Y.shape}: give X as (n, p) and Y as (b, n) of the same n"
        )
    if Y.size and (Y.min() < 0 or Y.max() >= n_classes):
        raise ParameterError(
            f"Y holds codes {Y.min()} to {Y.max()}, expected 0 to {n_classes - 1}: "
            "leave unlabelled rows out or give n_classes"
        )
    weight = np.broadcast_to(1.0 if weight is None else weight, Y.shape)
    C = np.broadcast_to(np.asarray(C, float), len(Y))
    if not (np.isfinite(C).all() and (C > 0).all()):
        raise ParameterError(f"C is {C.min()}, expected above 0: give a positive inverse penalty")
    return Y, weight, C
