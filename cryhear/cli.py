"""The `cryhear` command: argument parsing only; the packages do the work. Exit codes: `CODES`."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryhear import __version__, progress, recording_commands
from cryhear.errors import CryhearError

PARTIAL = recording_commands.PARTIAL
"""Exit code when the rest was done but some recordings could not be used."""

CODES = (
    "Exit codes: 0 done; 1 an error the message explains; 2 a wrong command line; 3 done, but some "
    "recordings could not be used (they are listed); 128 and its number where a signal ended it: 130 "
    "interrupted, 141 the reader of a pipe has gone, 143 terminated."
)
QUIET, VERBOSE = "print nothing but errors", "tell how, too"
MOST_ROWS = 40
"""Rows of a list that `corpus check` prints."""
SNAKEMAKE = "print Snakemake's log as it goes: each step, and why it runs"
BUILDER = "print what the builder says"


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; a user's mistake is a message, not a traceback."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before the start, as by >&-
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - until the process ends
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            # A terminal may lack a character of a file's name: that is no reason to stop.
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            given = parser().parse_args(arguments)
            progress.tell(given.quiet, given.verbose)
            with ended_by_signals():
                return int(given.handler(given) or 0)
        finally:
            sys.stdout.flush()
    except CryhearError as error:
        _complain(str(error))
        return 1
    except Ended as ended:
        with contextlib.suppress(OSError):  # the terminal may be what went away
            _complain(f"ended by {ended.signal.name}; what was finished is kept")
        return 128 + ended.signal
    except KeyboardInterrupt:
        _complain("interrupted; what was finished is kept")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader of the pipe has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(
            f"{where}{error.strerror or error}; what was finished is kept; make room or choose "
            "another place, and run the same command again"
        )
        return 1


class Ended(KeyboardInterrupt):
    """The process is asked to end: what runs is left as by Ctrl-C, and cleans up behind it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = signal.Signals(number)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into `Ended`; a signal that is ignored, as by nohup, stays ignored."""

    def end(number: int, _frame: Any) -> None:
        raise Ended(number)

    taken = []
    if threading.current_thread() is threading.main_thread():
        names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has one
        numbers = [getattr(signal, name) for name in names]
        taken = [n for n in numbers if signal.getsignal(n) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _complain(message: str) -> None:
    print("cryhear: " + "\n".join(map(progress.printable, message.split("\n"))), file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    top = argparse.ArgumentParser(
        prog="cryhear",
        description="A reproducible, leakage-audited study of infant cries. Not a medical device.",
        epilog=_epilog("cryhear report params/default.yaml"),
    )
    top.add_argument("--version", action="version", version=f"cryhear {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _study_commands(commands)
    _corpus_commands(commands)
    recording_commands.add(commands, _add)
    return top


def _study_commands(commands: Any) -> None:
    for name, run, text in (
        ("report", _report, "run a study and build its book into _build/html"),
        ("study", _study, "run a study's chapters without building a book"),
    ):
        example = f"cryhear {name} params/smoke.yaml --set exploration.seed=7"
        command = _add(commands, name, run, text, example, verbose=SNAKEMAKE)
        _of_a_study(command, "params/default.yaml")
    text = "build the published run's book; runs nothing"
    command = _add(commands, "book", _book, text, "cryhear book", verbose=BUILDER)
    command.add_argument("--run", type=Path, help="build this run's book instead")
    command.add_argument("--out", type=Path, default=Path("_build"), help="where to build")
    text = "print the whole book to one PDF"
    command = _add(commands, "pdf", _pdf, text, "cryhear pdf", verbose=BUILDER)
    command.add_argument("--run", type=Path, help="print this run's book instead")
    command.add_argument("--out", type=Path, default=Path("_build"), help="where to put it")
    text, example = "put a finished run under book/", "cryhear publish results/published"
    command = _add(commands, "publish", _publish, text, example, verbose="name each chapter")
    command.add_argument("folder", nargs="?", type=Path, default=Path("results/published"))
    command = _add(
        commands, "verify", _verify, "hold a finished run against the published one",
        "cryhear verify results/default --chapter 9", "print nothing where nothing differs",
        "list what matches, too",
    )  # fmt: skip
    command.add_argument(
        "run_folder", metavar="RUN", nargs="?", type=Path, default=Path("results/default")
    )
    command.add_argument("--chapter", type=int, help="compare this chapter only, by its number")
    text = "rebuild the derived tables from recordings and say what changed"
    example = "cryhear data --out data/donateacry"
    command = _add(commands, "data", _data, text, example, verbose=SNAKEMAKE)
    _of_a_study(command, "params/data.yaml")
    command.add_argument("--out", type=Path, default=Path("data/donateacry"))


def _of_a_study(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument("params", nargs="?", default=default, help="a study's YAML file")
    cores = os.cpu_count() or 1
    command.add_argument("--cores", type=at_least_one, default=cores, help="jobs side by side")
    command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                         help="override one parameter")  # fmt: skip


def at_least_one(text: str) -> int:
    """A count given on the command line.

    Raises
    ------
    argparse.ArgumentTypeError
        It is no whole number, or below 1.
    """
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; expected a whole number from 1")
    return int(text)


def _corpus_commands(commands: Any) -> None:
    corpus = commands.add_parser(
        "corpus", help="fetch a corpus, or check folders of recordings",
        epilog=_epilog("cryhear corpus check my/cries"),
    )  # fmt: skip
    actions = corpus.add_subparsers(dest="action", required=True)
    command = _add(actions, "fetch", _fetch, "download a corpus and check it",
                   "cryhear corpus fetch donateacry corpora",
                   verbose="tell what was checked, and the licence")  # fmt: skip
    command.add_argument("name", help="donateacry, or another of cryhear.corpus.fetch.ARCHIVES")
    command.add_argument("folder", nargs="?", type=Path, default=Path("corpora"))
    command = _add(actions, "check", _check, "audit recordings without running a study",
                   "cryhear corpus check my/cries", "print how many, and no recording",
                   "print every recording, not the first of many")  # fmt: skip
    command.add_argument("roots", nargs="+", type=Path)
    command.add_argument("--labels", default="original", choices=["original", "strict"])
    command.add_argument("--jobs", type=at_least_one, default=os.cpu_count() or 1,
                         help="recordings read side by side")  # fmt: skip
    command = _add(
        commands, "embed", _embed, "fill a store with embeddings of recordings",
        "cryhear embed my/cries --representation logmel --out store",
        "print nothing but what was not embedded", "tell the model's version and size, and the time",
    )  # fmt: skip
    command.add_argument("roots", nargs="+", type=Path, metavar="ROOT")
    command.add_argument("--representation", required=True)
    command.add_argument("--out", type=Path, required=True, metavar="STORE",
                         help="the store's folder")  # fmt: skip
    command.add_argument("--model", type=Path, help="a local copy of the model's weights")


def _add(
    commands: Any,
    name: str,
    run: Any,
    text: str,
    example: str,
    quiet: str = QUIET,
    verbose: str = VERBOSE,
) -> argparse.ArgumentParser:
    """A command with what all of them have: an example, exit codes, --quiet and --verbose."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", epilog=_epilog(example)
    )
    command.set_defaults(handler=run)
    loud = command.add_mutually_exclusive_group()
    loud.add_argument("--quiet", action="store_true", help=quiet)
    loud.add_argument("--verbose", action="store_true", help=verbose)
    return command


def _epilog(example: str) -> str:
    return f"Example: {example} -- {CODES}"


def overrides(settings: list[str]) -> dict[str, Any]:
    """Turn ``["exploration.seed=7"]`` into ``{"exploration.seed": 7}``; values are read as YAML."""
    from cryhear.errors import ParameterError
    from cryhear.params import parse

    chosen = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ParameterError(
                f"--set {setting!r}: expected NAME=VALUE, as in exploration.seed=7"
            )
        if name in chosen:
            raise ParameterError(
                f"--set {name} is given twice; expected each name once. Take one out"
            )
        chosen[name] = parse(value, f"--set {name}")
    _check_leaves(chosen)
    return chosen


def _check_leaves(chosen: dict[str, Any]) -> None:
    """Refuse one parameter given as a part (``leakage={folds: 3}``) and by its own name, too."""
    from cryhear.errors import ParameterError

    def leaves(value: Any, name: str) -> list[str]:
        if not isinstance(value, dict) or not value:
            return [name]
        return [leaf for key, item in value.items() for leaf in leaves(item, f"{name}.{key}")]

    found = [leaf for name, value in chosen.items() for leaf in leaves(value, name)]
    if twice := sorted({leaf for leaf in found if found.count(leaf) > 1}):
        raise ParameterError(f"--set gives {twice[0]} twice; expected each name once. Take one out")


def _report(given: argparse.Namespace) -> int:
    from cryhear.study import run as study

    study.report(given.params, cores=given.cores, overrides=overrides(given.set))
    return 0


def _study(given: argparse.Namespace) -> int:
    from cryhear.study import run as study

    study.run(given.params, cores=given.cores, overrides=overrides(given.set))
    return 0


def _book(given: argparse.Namespace) -> int:
    from cryhear.study import book

    progress.LOG.info("%s", book.build(given.run, given.out))
    return 0


def _pdf(given: argparse.Namespace) -> int:
    from cryhear.study import book

    progress.LOG.info("%s", book.pdf(given.run, given.out))
    return 0


def _publish(given: argparse.Namespace) -> int:
    from cryhear.study import book

    progress.LOG.info("%s holds the chapters of %s", book.publish(given.folder), given.folder)
    return 0


def _verify(given: argparse.Namespace) -> int:
    from cryhear.study import verify

    report = verify.verify(given.run_folder, given.chapter)
    if not (given.quiet and report.passed):
        print(report.text(matches=given.verbose))
    return 0 if report.passed else 1


def _data(given: argparse.Namespace) -> int:
    from cryhear.embedding import build_tables
    from cryhear.study import run as study

    made = study.derive(given.params, cores=given.cores, overrides=overrides(given.set))
    build_tables.publish(made, given.out)
    progress.LOG.info("%s: written; git status says which tables changed", given.out)
    return 0


def _fetch(given: argparse.Namespace) -> int:
    from cryhear.corpus import fetch

    progress.LOG.info("%s", fetch.fetch(given.name, given.folder))
    return 0


def _check(given: argparse.Namespace) -> int:
    from cryhear.corpus import find, manifest, questions

    table, _ = manifest.build(given.roots, jobs=given.jobs)
    listed = manifest.audit(table, labels=given.labels)
    listed["passed over"] = find.passed_over(given.roots)
    for name, found in listed.items():
        print(f"{name} ({len(found)})" if given.quiet else f"\n{name} ({len(found)})")
        if len(found) and not given.quiet:
            rows = None if given.verbose else MOST_ROWS
            shown = found.map(
                lambda cell: progress.printable(cell) if isinstance(cell, str) else cell
            )
            print(shown.to_string(index=False, max_rows=rows, max_colwidth=100))
    for sentence in questions.by_set(table, given.labels):
        print(f"\n{progress.printable(sentence)}")
    return PARTIAL if (table["problem"] != "").any() else 0


def _embed(given: argparse.Namespace) -> int:
    from cryhear import embedding, params
    from cryhear.corpus import find
    from cryhear.embedding import extract, store

    started = time.monotonic()
    options = {"path": given.model} if given.model else {}
    backend = embedding.load(given.representation, **options)
    recordings, refused = find.hashed(given.roots)
    settings = params.Preprocess()
    target = store.Store(given.out, backend, store.preprocess_key(settings))
    failures = extract.embed_recordings(recordings, backend, settings, target)
    stored = target.keys()
    tell = progress.LOG
    tell.debug(
        "%s, version %s: %d numbers a clip", backend.name, backend.version, backend.dimension
    )
    tell.debug(
        "%.1f s, reading and preparing included. %s", time.monotonic() - started, backend.note
    )
    count = stored["recording"].nunique()
    clips, of = progress.counted(len(stored), "clip"), progress.counted(count, "recording")
    tell.info("%s: %s of %s", target.folder, clips, of)
    for path, problem in [*refused.to_numpy(), *failures[["path", "problem"]].to_numpy()]:
        reason = problem.removeprefix(f"{path}: ")
        print(
            f"not embedded: {progress.printable(path)}: {progress.printable(reason)}",
            file=sys.stderr,
        )
    return PARTIAL if len(refused) + len(failures) else 0


if __name__ == "__main__":
    raise SystemExit(main())
