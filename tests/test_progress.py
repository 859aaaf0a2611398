"""What a command tells: text that a terminal shows as it is."""

from __future__ import annotations

from cryhear import progress


def test_what_would_move_a_terminals_cursor_becomes_escapes():
    assert progress.printable("a\x1b[31mb\nc\u202ed\udcff") == "a\\x1b[31mb\\nc\\u202ed\\udcff"
    assert progress.printable("naïve 泣 .wav") == "naïve 泣 .wav"
