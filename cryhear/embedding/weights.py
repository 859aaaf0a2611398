"""Find HeAR's gated weights: a local folder, the Hub's local cache, or a download."""

from __future__ import annotations

import hashlib
import os
import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from cryhear.errors import RepresentationError
from cryhear.files import sha256_of

TIMEOUT_S = 10
"""Seconds to wait for the Hub's first answer."""


class Release(NamedTuple):
    """One release of HeAR on the Hugging Face Hub.

    Attributes
    ----------
    name : str
        The representation.
    repository, revision : str
        Where the Hub has it. A branch is resolved to a commit when it is downloaded: `revision_of`.
    files : tuple of str
        Patterns of the files needed; nothing else is downloaded.
    required : tuple of str
        Patterns of which a local folder must hold a file each; the first is a plain name.
    variable : str
        Environment variable that names a local folder.
    package : str
        Package that runs it.
    least, why : str
        Lowest version of `package` that can read the release, such as '2.18', and what it takes it for.
    """

    name: str
    repository: str
    revision: str
    files: tuple[str, ...]
    required: tuple[str, ...]
    variable: str
    package: str
    least: str = ""
    why: str = ""


def folder_of(release: Release, path: str | os.PathLike[str] | None = None) -> Path:
    """Folder of the weights: `path`, the environment variable, the Hub's cache, or a download.

    Raises
    ------
    RepresentationError
        The package is too old for it, a local folder lacks a file, or the Hub does not give access: with
        the three steps.
    """
    if old := too_old(release):
        raise RepresentationError(f"{release.name}: {old}")
    local = (os.environ.get(release.variable) or None) if path is None else path
    if local is None:
        return _from_hub(release)
    lacking = _lacking(release, Path(local))
    if lacking:
        raise RepresentationError(
            f"{release.name}: the folder {local} lacks {', '.join(lacking)}; the files of "
            f"{release.repository} were expected in it. Correct the path (parameter or "
            f"{release.variable}), or leave both out to have them downloaded."
        )
    return Path(local)


def available(release: Release) -> tuple[bool, str]:
    """Whether the weights are at hand and can be read, without asking the network."""
    if old := too_old(release):
        return False, old
    local = os.environ.get(release.variable)
    if local:
        there = not _lacking(release, Path(local))
        return there, f"{release.variable} names {'the weights' if there else 'no such weights'}"
    if find_spec("huggingface_hub") is not None and _cached(release) is not None:
        return True, "downloaded before"
    return False, "gated weights. " + steps(release)


def steps(release: Release) -> str:
    """The three steps that give access."""
    return (
        f"1. Accept the terms at https://huggingface.co/{release.repository} (free, at once). "
        "2. Log in: run `hf auth login` with a read token. "
        f"3. Run again. Or set {release.variable} to a folder that holds the weights."
    )


def too_old(release: Release) -> str:
    """What to do about a package that cannot read the release; '' where it can."""
    try:
        found = version(release.package)
    except PackageNotFoundError:  # installed under another name, such as tensorflow-cpu
        return ""
    if not release.least or _numbers(found) >= _numbers(release.least):
        return ""
    return (
        f"{release.package} {found} is installed; {release.least} or newer is needed ({release.why}). "
        f"Run: pip install '{release.package}>={release.least}'"
    )


def revision_of(folder: Path) -> str:
    """Commit of a snapshot from the Hub, 40 hexadecimal digits; '' for a folder of one's own.

    The Hub's client keeps each snapshot in a folder named after its commit, whatever branch was asked for.
    """
    named = folder.parent.name == "snapshots" and re.fullmatch("[0-9a-f]{40}", folder.name)
    return folder.name if named else ""


def content_version(folder: Path, names: list[str]) -> str:
    """12 hexadecimal digits of what the named files hold, the same wherever they came from."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name} {sha256_of(folder / name)}\n".encode())
    return digest.hexdigest()[:12]


def _from_hub(release: Release) -> Path:
    try:
        if cached := _cached(release):
            return cached
        import huggingface_hub

        # One request that fails at once; a download would first retry for half a minute.
        huggingface_hub.HfApi().auth_check(release.repository)
        folder = huggingface_hub.snapshot_download(
            release.repository,
            revision=release.revision,
            allow_patterns=list(release.files),
            etag_timeout=TIMEOUT_S,
        )
    except Exception as problem:  # gated, logged out, no network: each has a type of its own
        # The cause is left out: a request's text may hold what identifies the user.
        raise RepresentationError(
            f"{release.name}: the Hub gave no access to {release.repository} "
            f"({type(problem).__name__}); a network, access to its gated weights and a cache that can be "
            f"written (HF_HOME) were expected. {steps(release)}"
        ) from None
    return Path(folder)


def _cached(release: Release) -> Path | None:
    """The release's snapshot in the Hub's local cache, if it is whole."""
    import huggingface_hub

    name = release.required[0]
    found = huggingface_hub.try_to_load_from_cache(
        release.repository, name, revision=release.revision
    )
    folder = Path(found).parent if isinstance(found, str) else None
    return folder if folder and not _lacking(release, folder) else None


def _lacking(release: Release, folder: Path) -> list[str]:
    """What a folder lacks; a file of several that is not there is noticed when the model is loaded."""
    return [pattern for pattern in release.required if not any(folder.glob(pattern))]


def _numbers(found: str) -> list[int]:
    """The leading numbers of a version: [2, 18] of '2.18.0rc1'."""
    return [int(n) for n in re.findall(r"\d+", found)[:2]]
