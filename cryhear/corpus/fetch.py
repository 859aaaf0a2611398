"""Download public corpora: pinned, resumed, checked, and unpacked without trust.

GitHub makes its archives on request and does not promise the same bytes twice, so the archive
itself has no lasting SHA-256. What is pinned instead is one SHA-256 over the sorted SHA-256 of the
recordings in it: independent of packing and of names, and broken by any altered, missing or added
recording.
"""

from __future__ import annotations

import collections
import hashlib
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cryhear import progress
from cryhear.audio.decode import EXTENSIONS
from cryhear.corpus.folders import printable
from cryhear.errors import CorpusError
from cryhear.files import sha256_of

Downloader = Callable[[str, str, Any], None]
"""Called with an address, the file to write, and pooch's own object; pooch's protocol."""

LARGEST_BYTES = 1 << 30
"""Largest archive, packed or unpacked, that is accepted, bytes."""

MOST_MEMBERS = 100_000
"""Most members of an archive: empty files count nothing in bytes and still fill a disk's index."""

_CHUNK = 1 << 18
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


def fetch(
    name: str,
    folder: str | os.PathLike[str],
    downloader: Downloader | None = None,
) -> Path:
    """Download a corpus, check it and unpack it.

    An interrupted download goes on where it stopped, if the server can send the rest of a file;
    a corpus that is already there and whole is not downloaded again. An archive that lies at
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
    packed = pooch.retrieve(
        archive.url,
        known_hash=None,
        fname=f"{name}.zip",
        path=folder,
        downloader=downloader or Resuming(folder / f"{name}.zip.part"),
    )
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


def extract(packed: str | os.PathLike[str], target: Path, largest: int = LARGEST_BYTES) -> None:
    """Unpack a zip into an empty folder, leaving out the folder all its members lie in.

    Parameters
    ----------
    packed : path-like
        The zip.
    target : pathlib.Path
        An existing, empty folder.
    largest : int
        Most bytes it may unpack to.

    Raises
    ------
    CorpusError
        It is no sound zip, or has a member that is absolute, climbs out of the folder, is a link
        or encrypted, or unpacks to too much. Nothing is written before every member is checked.
    """
    try:
        with zipfile.ZipFile(packed) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > largest:
                raise _unsafe(packed, f"unpacks to {size:,} bytes", f"at most {largest:,}")
            if len(members) > MOST_MEMBERS:
                raise _unsafe(packed, f"has {len(members):,} members", f"at most {MOST_MEMBERS:,}")
            paths = [_member_path(packed, member) for member in members]
            files = [str(p) for p, m in zip(paths, members, strict=True) if p and not m.is_dir()]
            folded = collections.Counter(name.casefold() for name in files)
            if twice := [name for name in files if folded[name.casefold()] > 1]:
                raise _unsafe(
                    packed, f"gives {twice[0]!r} more than once", "each name once, in any case"
                )
            for member, path in zip(members, paths, strict=True):
                if path is not None and not member.is_dir():
                    (target / path).parent.mkdir(parents=True, exist_ok=True)
                    # zipfile reads no more than the size declared, and checks the CRC.
                    with archive.open(member) as source, open(target / path, "xb") as out:
                        shutil.copyfileobj(source, out, _CHUNK)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        FileExistsError,
        NotADirectoryError,  # a member that is a file, and others that lie below it
        NotImplementedError,
    ) as error:
        raise _unsafe(packed, f"is damaged ({error})", "a sound zip") from error


class Resuming:
    """A pooch downloader that keeps what it has and asks only for the rest; on a terminal, with a bar.

    Parameters
    ----------
    part : pathlib.Path
        Holds what has come so far, over interruptions.
    session : requests.Session, optional
    """

    def __init__(self, part: Path, session: Any = None) -> None:
        self.part, self.session = Path(part), session

    def __call__(self, url: str, output_file: str, pooch: Any = None) -> None:
        """Download to `output_file`; raise CorpusError, keeping the part, if it stops."""
        import requests

        session = self.session or requests.Session()
        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        try:
            with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
                if response.status_code == 416:  # the part is all there is, or no part of it
                    self.part.unlink()
                    raise requests.ConnectionError("the server no longer has the rest of this file")
                response.raise_for_status()
                # A server that cannot resume answers 200 and sends everything again.
                self._write(response, have if response.status_code == 206 else 0)
        except requests.RequestException as error:
            done = self.part.stat().st_size if self.part.exists() else 0
            raise CorpusError(
                f"{url}: the download stopped after {done:,} bytes ({error}); expected the whole "
                "archive; run the same command again and it goes on"
            ) from error
        shutil.move(self.part, output_file)

    def _write(self, response: Any, have: int) -> None:
        import requests

        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        bar = progress.bar(total=total, initial=have, unit="B", unit_scale=True)
        with bar, open(self.part, "ab" if have else "wb") as out:
            for chunk in response.iter_content(_CHUNK):
                out.write(chunk)
                bar.update(len(chunk))
                if out.tell() > LARGEST_BYTES:
                    raise _unsafe(response.url, "is too large", f"at most {LARGEST_BYTES:,} bytes")
        if total is not None and self.part.stat().st_size < total:
            raise requests.ConnectionError("the connection closed early")


def _unpack(packed: Path, target: Path, archive: Archive) -> None:
    """Unpack beside the target, check, and rename; a bad archive is removed."""
    work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        extract(packed, work)
        for path in work.rglob("*"):
            if path.suffix.lower() in EXTENSIONS and not re.fullmatch(archive.kept, path.name):
                path.unlink()
        _verified(work, archive, f"{packed}")
        work.chmod(0o755)
        work.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        packed.unlink(missing_ok=True)


def _verified(root: Path, archive: Archive, what: str) -> Path:
    digest, count = digest_of(root)
    if digest != archive.digest:
        raise CorpusError(
            f"{what} holds {count} recordings with digest {digest[:12]}; expected "
            f"{archive.recordings} with {archive.digest[:12]}; remove it and fetch again"
        )
    return root


def _member_path(packed: object, member: zipfile.ZipInfo) -> PurePosixPath | None:
    """Where a member goes, below the target; None for the top folder itself."""
    name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
    path = PurePosixPath(name)
    climbs = not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]
    if climbs or "\\" in name or printable(name) != name:
        raise _unsafe(packed, f"has the member {name!r}", "relative paths below its top folder")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or member.flag_bits & 1:
        raise _unsafe(packed, f"has the member {name!r}, a link or encrypted", "plain files")
    return PurePosixPath(*path.parts[1:]) if len(path.parts) > 1 else None


def _unsafe(packed: object, found: str, expected: str) -> CorpusError:
    return CorpusError(
        f"{packed} {found}; expected {expected}; it was not unpacked, fetch it again"
    )
