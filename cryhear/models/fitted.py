"""NumPy inference: scaler, PCA, temperature scaling, Mahalanobis distance.

NumPy and nothing else, so that a prediction starts without the packages that training needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryhear.errors import EvaluationError

PROBABILITY_FLOOR = 1e-6
"""Probabilities are raised to this before their logarithm is scaled: float32 tables hold zeros,
and one row 36 nats out would set the temperature for all."""


@dataclass(frozen=True)
class Reduction:
    """Standardisation and PCA fitted on some rows: z = ((x - mean) / scale) @ axes."""

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(
        cls, X: np.ndarray, explained: float = 0.95, weight: np.ndarray | None = None
    ) -> Reduction:
        """Fit; equals `StandardScaler` then `PCA(explained)` up to the signs of the components.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, d)
        explained : float
            Share of variance kept.
        weight : numpy.ndarray, shape (n,), optional
            Multiplicities; equals repeating rows.

        Raises
        ------
        EvaluationError
            If a value is not finite.
        """
        if not np.isfinite(X).all():
            raise EvaluationError(
                f"{(~np.isfinite(X)).sum()} of {X.size} features are not finite; expected numbers: "
                "leave those recordings out or impute first"
            )
        weight = np.ones(len(X)) if weight is None else np.asarray(weight, float)
        weight, rows = weight[weight > 0] / weight.sum(), X[weight > 0].astype(float)
        mean = weight @ rows
        rows -= mean
        deviation = np.sqrt(np.einsum("i,ij,ij->j", weight, rows, rows))
        scale = np.where(deviation > 1e-9 * (1 + np.abs(mean)), deviation, 1.0)
        rows *= np.sqrt(weight)[:, None] / scale
        # The smaller of the two cross-products has the same non-zero eigenvalues.
        wide = rows.shape[1] > rows.shape[0]
        values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
        values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
        share = np.cumsum(values) / max(values.sum(), np.finfo(float).tiny)
        keep = min(int(np.searchsorted(share, explained, side="right")) + 1, len(values))
        keep = max(1, min(keep, int(np.count_nonzero(values > 1e-12 * values[0]))))
        axes = vectors[:, :keep]
        if wide:
            axes = rows.T @ (axes / np.sqrt(values[:keep]))
        return cls(mean, scale, axes)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Component scores, float32 [n, p]."""
        # Centred first: a feature far from zero would lose its digits in a float32 product.
        centred = np.subtract(X, self.mean.astype(X.dtype)).astype(np.float32)
        return centred @ (self.axes / self.scale[:, None]).astype(np.float32)


def distance(Z: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Distance of rows from the training rows: root mean square of whitened components.

    A Mahalanobis distance in the components' space, 1 for a typical training row.

    Parameters
    ----------
    Z : numpy.ndarray, shape (n, p)
        Component scores.
    spread : numpy.ndarray, shape (p,)
        Standard deviation of the training rows on each component.

    Returns
    -------
    numpy.ndarray, shape (n,), at least 0
    """
    return np.sqrt(((Z / spread) ** 2).mean(axis=1))


def tempered(p: np.ndarray, temperature: float, bias: tuple[float, ...] | np.ndarray) -> np.ndarray:
    """softmax(ln p / temperature + bias): bias-corrected temperature scaling.

    Parameters
    ----------
    p : numpy.ndarray, shape (n, K), 0 to 1
    temperature : float, above 0
    bias : shape (K,)

    Returns
    -------
    numpy.ndarray, shape (n, K), float64, rows summing to 1

    References
    ----------
    Alexandari, Kundaje and Shrikumar (2020).
    """
    logits = np.log(np.maximum(p, PROBABILITY_FLOOR)) / temperature + np.asarray(bias)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
