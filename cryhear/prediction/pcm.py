"""Standard input as bytes of sound; `cryhear.audio.wav` reads them."""

from __future__ import annotations

import sys
from typing import BinaryIO

from cryhear.audio.wav import ENCODINGS, Format
from cryhear.errors import AudioError

__all__ = ["ENCODINGS", "Format", "standard_input"]


def standard_input() -> BinaryIO:
    """Standard input as bytes.

    Raises
    ------
    AudioError
        It is closed.
    """
    # Python has none where it was started without one.
    if sys.stdin is None or sys.stdin.closed:
        raise AudioError(
            "standard input is closed; pipe sound into the command, as in cryhear listen - < cry.wav"
        )
    return sys.stdin.buffer
