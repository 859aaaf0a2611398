"""Long computations in pieces: each is a Parquet file, so that a killed chapter goes on where it was.

A piece is named by a digest of everything it depends on: the function, the code of the whole
package, its arguments. Nothing stale is read back, and equal arguments give equal names on any machine.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed

from cryhear.files import read_table, write_table


def gather(
    folder: Path,
    name: str,
    function: Callable[..., pd.DataFrame],
    common: Mapping[str, Any],
    calls: Sequence[Mapping[str, Any]],
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Make what is missing, side by side, and read everything back in order.

    Parameters
    ----------
    folder : pathlib.Path
        Where the pieces lie.
    name : str
        First part of their file names.
    function : callable
        A module's function; ``function(**common, **call)`` gives the table of one piece.
    common : mapping
        Arguments of every call: arrays, tables, dataclasses, plain values.
    calls : sequence of mapping
        What differs from piece to piece: plain values.
    n_jobs : int, optional
        Processes; as many as there are processors by default.

    Returns
    -------
    pandas.DataFrame
        The pieces one after another, index 0 to n - 1.
    """
    own = _code(ast.parse(textwrap.dedent(inspect.getsource(function))))
    base = [f"{function.__module__}.{function.__qualname__}", own, package_digest()]
    shared = fingerprint(common)
    paths = []
    for call in calls:
        key = hashlib.sha256("\n".join([*base, shared, fingerprint(call)]).encode()).hexdigest()
        paths.append(Path(folder) / f"{name}-{key[:12]}.parquet")
    missing = [(p, c) for p, c in zip(paths, calls, strict=True) if not p.exists()]
    if missing:
        jobs = (delayed(_make)(path, function, common, call) for path, call in missing)
        Parallel(min(n_jobs or cpu_count(), len(missing)))(jobs)
    return pd.concat([read_table(path) for path in paths], ignore_index=True)


def fingerprint(value: Any) -> str:
    """SHA-256 of a value's content: equal values of any process or machine agree.

    Knows plain values, arrays, tables, dataclasses, and containers of these.
    """
    return hashlib.sha256(_content(value)).hexdigest()


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
    return _code(ast.parse(source))


def _code(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if body and isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            body[0] = ast.Pass()
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _make(
    path: Path,
    function: Callable[..., pd.DataFrame],
    common: Mapping[str, Any],
    call: Mapping[str, Any],
) -> None:
    write_table(path, function(**common, **call))


def _content(value: Any) -> bytes:
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OUS":
            return _content([str(v) for v in value.ravel()])
        head = f"{value.dtype}{value.shape}".encode()
        return head + hashlib.sha256(np.ascontiguousarray(value).tobytes()).digest()
    if isinstance(value, pd.DataFrame):
        hashed = pd.util.hash_pandas_object(value, index=False).to_numpy()
        return "\n".join(map(str, value.columns)).encode() + hashlib.sha256(hashed).digest()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _content({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return _content([[str(k), value[k]] for k in sorted(value, key=str)])
    if isinstance(value, (list, tuple)):
        return b"[" + b",".join(hashlib.sha256(_content(v)).digest() for v in value) + b"]"
    if value is None or isinstance(value, (str, int, float, bool, np.generic)):
        plain = value.item() if isinstance(value, np.generic) else value
        return f"{type(plain).__name__}:{plain!r}".encode()
    raise TypeError(
        f"fingerprint got {type(value).__name__}; expected plain values, arrays, tables, dataclasses "
        "or containers of these"
    )
