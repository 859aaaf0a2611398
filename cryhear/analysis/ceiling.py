"""What labels and numbers allow, by formula: the label-noise ceiling, and infants needed."""

from __future__ import annotations

import numpy as np
import pandas as pd


def label_ceiling(agreement: float, priors: np.ndarray, pairs: bool = False) -> float:
    """Highest macro AUC of a perfect classifier judged by labels that are not always right.

    A label is the truth with probability a, and otherwise drawn at the base rates. Then a perfect
    classifier's AUC is (1 + a) / 2 for every class. a follows from the agreement, which is
    a + (1 - a) sum(priors^2) between label and truth, and that with a^2 for a between two labels.

    Parameters
    ----------
    agreement : float
        Share of labels equal to the truth, or (`pairs`) of pairs of labels of one truth that agree.
    priors : numpy.ndarray, shape (K,)
        Class shares.
    pairs : bool

    Returns
    -------
    float
        0.5 to 1.

    Examples
    --------
    Three equal classes, labels right three times in four:

    >>> round(label_ceiling(0.75, np.full(3, 1 / 3)), 3)
    0.812
    """
    kept = float(np.clip(kappa(agreement, priors), 0.0, 1.0))
    return 0.5 * (1 + (np.sqrt(kept) if pairs else kept))


def kappa(agreement: float, priors: np.ndarray) -> float:
    """Agreement beyond what two labellers reach who both name classes at the base rates.

    Examples
    --------
    >>> round(kappa(0.75, np.full(3, 1 / 3)), 3)
    0.625
    """
    chance = float(np.square(priors).sum())
    return (agreement - chance) / (1 - chance)


def pair_disagreement(recordings: pd.DataFrame, within_s: float = 300.0) -> tuple[int, int]:
    """Pairs of an instance's recordings at most `within_s` apart, and how many differ in label.

    Parameters
    ----------
    recordings : pandas.DataFrame
        With `instance`, `time_s` (s; NaN is in no pair), `label`.

    Returns
    -------
    disagreeing, pairs : int
    """
    disagreeing = pairs = 0
    for _, own in recordings[recordings["time_s"].notna()].groupby("instance"):
        time, label = own["time_s"].to_numpy(float), own["label"].to_numpy()
        i, j = np.triu_indices(len(own), 1)
        near = np.abs(time[i] - time[j]) <= within_s
        pairs += int(near.sum())
        disagreeing += int((label[i] != label[j])[near].sum())
    return disagreeing, pairs


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's (1927) 95 % interval of a share.

    Examples
    --------
    >>> [round(end, 3) for end in wilson(4, 10)]
    [0.168, 0.687]
    """
    if not n:
        return 0.0, 1.0
    z = 1.96
    share, scale = hits / n, 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / scale
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / scale
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def infants_needed(error: float, infants: int, half_width: float = 0.05) -> int:
    """Infants of a class for a 95 % interval of plus and minus `half_width`.

    The standard error falls with the root of the number of infants that hold the class.

    Parameters
    ----------
    error : float
        Refitted standard error of that class's AUC, above 0.
    infants : int
        Infants that hold the class now.
    """
    return int(np.ceil(infants * (1.96 * error / half_width) ** 2))
