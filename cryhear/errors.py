"""Errors of the project: one root, and children that also inherit the built-in a caller would catch.

Every message has three parts: what came, what was expected, and what to do about it.
"""

from __future__ import annotations

MARK = "cryhear stopped: "
"""What a job prints before its message, so that the message is found at the end of its log."""


def how_to_install(extra: str = "") -> str:
    """Command that installs the project with an extra, from a clone: it is on no package index."""
    return f"pip install -e '.[{extra}]'" if extra else "pip install -e ."


class CryhearError(Exception):
    """Root of every error this project raises on purpose."""


class ParameterError(CryhearError, ValueError):
    """A parameter is unknown, mistyped or out of its range."""


class AudioError(CryhearError, ValueError):
    """A recording cannot be decoded or used."""


class CorpusError(CryhearError, ValueError):
    """A corpus root, archive or manifest is not what it should be."""


class SplitError(CryhearError, ValueError):
    """A split cannot be drawn, or would put one infant on both sides."""


class NotAskedError(CryhearError, ValueError):
    """A study's recordings do not allow a chapter's question; the message is for its reader."""


class RepresentationError(CryhearError, RuntimeError):
    """An embedding backend cannot be loaded, or does not behave as its protocol says."""


class MissingArtefactError(CryhearError, FileNotFoundError):
    """A file made by an earlier stage is missing; the message says which stage makes it."""


class DamagedArtefactError(CryhearError, ValueError):
    """A file made by an earlier stage is there and cannot be read."""


class EvaluationError(CryhearError, ValueError):
    """Predictions or labels cannot be scored as asked."""


class LedgerError(CryhearError, KeyError):
    """A ledger key or file is missing or was recorded twice."""

    def __str__(self) -> str:
        # KeyError prints the repr of its argument, which would put quotes around a sentence.
        return str(self.args[0]) if self.args else ""


class StudyError(CryhearError, RuntimeError):
    """A study, a chapter or the book could not be run or built."""


class BundleError(CryhearError, ValueError):
    """A model bundle is incomplete, altered, or made for something else."""
