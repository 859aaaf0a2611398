"""Side-by-side measurements: what the library takes beside what a user would write instead.

Each module of `NAMES` is one measurement and one command, ``python -m benchmarks.decode``; the others are
what measurements share. ``python -m benchmarks`` runs them all. Results lie in ``benchmarks/results``, one
ledger a measurement, and the book's page about speed reads its numbers there.
"""

NAMES = (
    "decode", "embed", "search", "folds", "inference", "report", "growth", "shards", "predict",
)  # fmt: skip
"""The measurements, in the order they are run; each a module of this package with a ``main``."""
