"""Read and write the files between stages: atomically, and in one format each.

Tables are Parquet (zstd), records JSON. Every file is written under a temporary name in its own
folder and renamed, so a reader never sees half of one and an interrupted run leaves none behind.
The table packages are loaded by the first table, as a prediction reads none.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryhear.errors import CryhearError, DamagedArtefactError, MissingArtefactError

if TYPE_CHECKING:
    import pandas as pd

VECTOR = "embedding"
"""Name of the column that holds one vector a row in a vector table."""

_COMPRESSED: Any = {"compression": "zstd", "compression_level": 9}
"""How vector tables are packed."""


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` if the block succeeds.

    Parameters
    ----------
    path : path-like
        The file to make. Its folder is created.

    Yields
    ------
    pathlib.Path
        Where to write. Removed if the block raises.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; a table is for everyone who may read its folder.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write UTF-8 text atomically and return the path."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(path: str | os.PathLike[str], content: Any) -> Path:
    """Write JSON atomically, keys in the order given, and return the path."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False, default=_plain)
    return write_text(path, text + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file."""
    with _readable(path):
        return json.loads(existing(path).read_text(encoding="utf-8"))


def write_table(path: str | os.PathLike[str], table: pd.DataFrame) -> Path:
    """Write a table as zstd Parquet, atomically, without its index."""
    with atomic(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")
    return Path(path)


def read_table(path: str | os.PathLike[str], columns: list[str] | None = None) -> pd.DataFrame:
    """Read a Parquet table."""
    import pandas as pd

    with _readable(path):
        return pd.read_parquet(existing(path), columns=columns)


def write_vectors(
    path: str | os.PathLike[str],
    keys: pd.DataFrame,
    vectors: np.ndarray,
    dtype: str = "float32",
) -> Path:
    """Write a table of keys with one vector a row.

    Parameters
    ----------
    path : path-like
        The Parquet file to make.
    keys : pandas.DataFrame, n rows
        What identifies each vector.
    vectors : numpy.ndarray, shape (n, d), floating point
        The vectors; row i belongs to row i of `keys`.
    dtype : {'float32', 'float16'}
        How to store them. float16 keeps 11 bits of mantissa and halves a published table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = np.ascontiguousarray(vectors, dtype=dtype)
    if vectors.ndim != 2 or len(vectors) != len(keys):
        raise ValueError(
            f"vectors have shape {vectors.shape}, keys {len(keys)} rows: give one row of vectors a key"
        )
    table = pa.Table.from_pandas(keys.reset_index(drop=True), preserve_index=False)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    table = table.append_column(VECTOR, column)
    with atomic(path) as temporary:
        pq.write_table(table, temporary, **_COMPRESSED)
    return Path(path)


def read_vectors(path: str | os.PathLike[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Read a vector table.

    Returns
    -------
    keys : pandas.DataFrame, n rows
    vectors : numpy.ndarray, shape (n, d), float32
    """
    import pyarrow.parquet as pq

    with _readable(path):
        table = pq.read_table(existing(path))
    column = table.column(VECTOR).combine_chunks()
    width = table.schema.field(VECTOR).type.list_size
    values = np.asarray(column.flatten()).astype(np.float32, copy=False)
    return table.drop_columns([VECTOR]).to_pandas(), values.reshape(-1, width)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def existing(path: str | os.PathLike[str]) -> Path:
    """Return the path if it is there, else say plainly that an earlier stage has not made it."""
    path = Path(path)
    if not path.exists():
        raise MissingArtefactError(
            f"{path} is not there; it was expected from an earlier stage. "
            "Run that stage first (`make report` runs them all)."
        )
    return path


@contextmanager
def _readable(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file that is no JSON or Parquet, or only the beginning of one."""
    try:
        yield
    except FileNotFoundError:
        raise  # pyarrow's has no errno
    except Exception as error:
        known = isinstance(error, (OSError, ValueError, RecursionError))
        if not known and not type(error).__module__.startswith("pyarrow"):
            raise
        if getattr(error, "errno", None) is not None or isinstance(error, CryhearError):
            raise  # the file is not there, or not for us to read
        raise DamagedArtefactError(
            f"{path} is damaged ({' '.join(str(error).split())}); expected a file as it was written. "
            "Files are written whole, so the disk or a copy damaged it: delete it and run again."
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")
