"""What lies below a folder of recordings, and why some of it must not be opened.

Folders come from anywhere, so nothing in them is trusted: links that lead out or in circles, pipes
and devices that would never end, names that no table can hold, folders nested without end or closed
to us. Each is listed with its reason; the rest go on.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cryhear.audio.decode import EXTENSIONS, is_sound

LARGEST_BYTES = 1 << 33
"""Largest file opened, bytes: a day of 16-bit stereo at 16 kHz fits, and reading one to its end, as
its SHA-256 needs, takes no more than a minute."""


def walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Find recordings below a folder.

    Parameters
    ----------
    root : pathlib.Path
        Resolved.

    Yields
    ------
    path : pathlib.Path
        A file that is sound by its ending (`cryhear.audio.decode.EXTENSIONS`) or its content, or a
        folder that is not looked into. `others` gives the rest.
    problem : str
        Why it must not be opened, or ''.
    """
    return ((path, problem) for path, problem, sound in _entries(root) if sound)


def others(root: Path) -> Iterator[tuple[Path, str]]:
    """What is passed over below a folder, each with the reason: hidden, or no sound."""
    return ((path, problem) for path, problem, sound in _entries(root) if not sound)


def _entries(root: Path) -> Iterator[tuple[Path, str, bool]]:
    waiting = [root]  # no recursion: a tree may be nested deeper than Python's stack
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                names = sorted((e.name, e.is_symlink()) for e in entries)
        except OSError as error:
            yield here, f"a folder that cannot be read ({error.strerror})", True
            continue
        for name, linked in names:
            path = here / name
            if name[0] == ".":
                yield path, "hidden", False
            elif os.path.isdir(path) and linked:
                yield path, "a link to a folder, which is not followed", True
            elif os.path.isdir(path):
                waiting.append(path)
            else:
                problem = _obstacle(root, path, linked)
                sound = path.suffix.lower() in EXTENSIONS or (not problem and is_sound(path))
                yield path, problem if sound else "no sound by its ending or its content", sound


def _obstacle(root: Path, path: Path, linked: bool) -> str:
    if plain(str(path)) != str(path):
        return "a name that is not UTF-8, which no table can hold; rename it"
    if linked and not Path(os.path.realpath(path)).is_relative_to(root):
        return "a link that leaves the root, which is not followed"
    try:
        found = path.stat()
    except FileNotFoundError:
        return "a link to nothing" if linked else "gone while it was looked at"
    except OSError as error:
        return f"cannot be reached ({error.strerror})"
    if not stat.S_ISREG(found.st_mode):
        # Opening a pipe or a device would wait for ever.
        return "not a regular file"
    if found.st_size > LARGEST_BYTES:
        return f"{found.st_size:,} bytes; expected at most {LARGEST_BYTES:,}; cut it"
    return ""


def plain(name: str) -> str:
    """A name that any file format can hold: bytes that are no UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
