"""Download public corpora, pinned by the content of their recordings, and unpack them.

GitHub makes its archives on request and does not promise the same bytes twice, so the archive
itself has no lasting SHA-256. What is pinned instead is one SHA-256 over the sorted SHA-256 of the
recordings in it: independent of packing and of names, and broken by any altered, missing or added
recording, whatever an archive did to bring it in.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryhear import progress
from cryhear.audio.decode import EXTENSIONS
from cryhear.errors import CorpusError
from cryhear.files import sha256_of

LARGEST_BYTES = 1 << 30
"""Most bytes that an archive may unpack to."""

MOST_MEMBERS = 100_000
"""Most members of an archive: empty files count nothing in bytes and still fill a disk's index."""

_TIMEOUT_S = 60


@dataclass(frozen=True)
class Archive:
    """A pinned corpus.

    Attributes
    ----------
    url : str
        Address of a zip whose members lie in one folder.
    recordings : int
        Number of recordings in it.
    digest : str
        `digest_of` the unpacked folder.
    licence : str
    kept : str
        Regular expression of the recordings' names that are kept; the others are left out.
    """

    url: str
    recordings: int
    digest: str
    licence: str
    kept: str = ".*"


ARCHIVES: dict[str, Archive] = {
    "donateacry": Archive(
        url="https://github.com/gveres/donateacry-corpus/archive/"
        "6baf5aca0460964ad072653585837f968a87c2af.zip",
        recordings=1585,
        digest="e7dfd91b07e93db3db5231eadb079705cf903d07940a45dedbb535bfe822d24f",
        licence="Open Database License 1.0, contents Database Contents License 1.0",
    ),
    # Sounds that are no study recordings. A branch's archive may change; what is kept of it may not.
    "esc10": Archive(
        url="https://github.com/karolpiczak/ESC-10/archive/refs/heads/master.zip",
        recordings=240,
        digest="8d4dbc57cd3c6381232eaf8f2369702ef846b9be3daaf139985758b72dc3425f",
        licence="Creative Commons Attribution 3.0",
        kept=r"[123]-.*\.ogg",  # its folds 1 to 3
    ),
}
"""Corpora that `fetch` knows, by name."""


def fetch(name: str, folder: str | os.PathLike[str], downloader: Any = None) -> Path:
    """Download a corpus, check it and unpack it.

    A corpus that is already there and whole is not downloaded again. An archive that lies at
    `folder/name.zip`, brought by hand, is used instead of a download. The archive is removed.

    Parameters
    ----------
    name : str
        One of `ARCHIVES`.
    folder : path-like
        Where to put it: `folder/name` appears whole or not at all.
    downloader : callable, optional
        Another way to get the archive, by pooch's protocol.

    Returns
    -------
    pathlib.Path
        The corpus's root.

    Raises
    ------
    CorpusError
        The name is not known, the download stopped, or what came is not the pinned corpus.
    """
    import pooch

    if name not in ARCHIVES:
        raise CorpusError(
            f"corpus {name!r} is not known; expected one of {', '.join(ARCHIVES)}; give another "
            "corpus's folder as a root instead"
        )
    archive, folder = ARCHIVES[name], Path(folder)
    target = folder / name
    if target.exists():
        return _verified(target, archive, f"{target} is there but")
    folder.mkdir(parents=True, exist_ok=True)
    get = downloader or pooch.HTTPDownloader(sys.stderr.isatty(), timeout=_TIMEOUT_S)
    try:
        packed = pooch.retrieve(archive.url, None, f"{name}.zip", folder, downloader=get)
    except OSError as error:  # of requests, too
        raise CorpusError(
            f"{archive.url}: the download stopped ({error}); expected the whole archive; run the same "
            f"command again, or bring it to {folder / name}.zip by other means"
        ) from error
    _unpack(Path(packed), target, archive)
    progress.LOG.debug("%d recordings, digest %s as pinned", archive.recordings, archive.digest)
    progress.LOG.debug("licence: %s", archive.licence)
    return target


def digest_of(root: str | os.PathLike[str]) -> tuple[str, int]:
    """Digest of all recordings below a folder.

    Parameters
    ----------
    root : path-like

    Returns
    -------
    digest : str
        SHA-256 of the recordings' hexadecimal SHA-256, sorted and joined by newlines.
    recordings : int
    """
    digests = sorted(
        sha256_of(Path(folder) / name)
        for folder, _, names in os.walk(root)
        for name in names
        if Path(name).suffix.lower() in EXTENSIONS
    )
    return hashlib.sha256("\n".join(digests).encode()).hexdigest(), len(digests)


def _unpack(packed: Path, target: Path, archive: Archive) -> None:
    """Unpack beside the target, check, and rename; a bad archive is removed."""
    work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        _extract(packed, work)
        for path in work.rglob("*"):
            if path.suffix.lower() in EXTENSIONS and not re.fullmatch(
                archive.kept, path.name, re.S
            ):
                path.unlink()
        _verified(work, archive, f"{packed}")
        tops = list(work.iterdir())
        whole = tops[0] if len(tops) == 1 and tops[0].is_dir() else work
        whole.chmod(0o755)
        whole.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        packed.unlink(missing_ok=True)


def _extract(packed: Path, target: Path) -> None:
    """Unpack a zip: `zipfile` writes below the target only, no links, and no more than is declared."""
    try:
        with zipfile.ZipFile(packed) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > LARGEST_BYTES or len(members) > MOST_MEMBERS:
                raise CorpusError(
                    f"{packed} unpacks to {len(members):,} members of {size:,} bytes; expected at most "
                    f"{MOST_MEMBERS:,} of {LARGEST_BYTES:,}; it was not unpacked, fetch it again"
                )
            archive.extractall(target)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise CorpusError(
            f"{packed} is damaged ({error}); expected a sound zip; it was removed, fetch it again"
        ) from error


def _verified(root: Path, archive: Archive, what: str) -> Path:
    digest, count = digest_of(root)
    if digest != archive.digest:
        raise CorpusError(
            f"{what} holds {count} recordings with digest {digest[:12]}; expected "
            f"{archive.recordings} with {archive.digest[:12]}; remove it and fetch again"
        )
    return root
