"""Long computations in pieces that are kept, so that a killed chapter goes on where it was.

joblib keeps them. A piece is named by a digest of everything it depends on: the code of the whole package,
the function, its arguments. Nothing stale is read back, and equal arguments give equal names.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import pandas as pd


def gather(
    folder: Path,
    function: Callable[..., pd.DataFrame],
    calls: Sequence[Mapping[str, Any]],
    n_jobs: int | None = None,
    **common: Any,
) -> pd.DataFrame:
    """Make what is missing, side by side, and read everything back in order.

    Parameters
    ----------
    folder : pathlib.Path
        Where the pieces are kept.
    function : callable
        A module's function; ``function(**common, **call)`` gives the table of one piece.
    calls : sequence of mapping
        What differs from piece to piece.
    n_jobs : int, optional
        Processes; as many as there are processors by default.
    **common
        Arguments of every call: arrays, tables, dataclasses, plain values.

    Returns
    -------
    pandas.DataFrame
        The pieces one after another, index 0 to n - 1.
    """
    made = joblib.Memory(folder, verbose=0).cache(_piece, ignore=["function", "common"])
    # Hashed here and once: a process of its own may see a large array as another class.
    key = joblib.hash([package_digest(), function.__module__, function.__qualname__, common])
    jobs = (joblib.delayed(made)(key, dict(call), function, common) for call in calls)
    tables = joblib.Parallel(min(n_jobs or joblib.cpu_count(), len(calls)))(jobs)
    return pd.concat(tables, ignore_index=True)


@cache
def package_digest() -> str:
    """SHA-256 of the code of every module of the package; comments and documentation do not count.

    One digest of all of it, not a list of the modules a result depends on: such a list is kept by
    hand, and the first module it lacks gives a result that is stale and read back all the same.
    """
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        digest.update(f"{name}:{_source_digest(path.read_text(encoding='utf-8'))}\n".encode())
    return digest.hexdigest()


@cache
def _source_digest(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if body and isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            body[0] = ast.Pass()
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _piece(
    key: str, call: dict[str, Any], function: Callable[..., pd.DataFrame], common: dict[str, Any]
) -> pd.DataFrame:
    return function(**common, **call)
