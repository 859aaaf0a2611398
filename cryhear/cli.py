"""The `cryhear` command: argument parsing only; the rooms do the work.

Exit codes: 0 done; 1 an error the message explains; 2 a wrong command line; 3 done, but some
recordings could not be used (they are listed); 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from pathlib import Path
from typing import Any

from cryhear import __version__, recording_commands
from cryhear.errors import CryhearError

PARTIAL = recording_commands.PARTIAL
"""Exit code when the rest was done but some recordings could not be used."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; a user's mistake is a message, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal may lack a character of a file's name: that is no reason to stop.
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            given = parser().parse_args(arguments)
            return int(given.handler(given) or 0)
        finally:
            sys.stdout.flush()
    except CryhearError as error:
        _complain(str(error))
        return 1
    except KeyboardInterrupt:
        _complain("interrupted; what was finished is kept")
        return 130
    except BrokenPipeError:
        # The reader of the pipe has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(
            f"{where}{error.strerror or error}; what was finished is kept; make room or choose "
            "another place, and run the same command again"
        )
        return 1


def _complain(message: str) -> None:
    from cryhear.folders import printable

    print("cryhear: " + "\n".join(map(printable, message.split("\n"))), file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    top = argparse.ArgumentParser(
        prog="cryhear",
        description="A reproducible, leakage-audited study of infant cries. Not a medical device.",
        epilog="Example: cryhear report params/default.yaml",
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
        _of_a_study(_add(commands, name, run, text, example), "params/default.yaml")
    text = "build the published run's book; runs nothing"
    command = _add(commands, "book", _book, text, "cryhear book")
    command.add_argument("--run", type=Path, help="build this run's book instead")
    command.add_argument("--out", type=Path, default=Path("_build"), help="where to build")
    command = _add(commands, "pdf", _pdf, "print the whole book to one PDF", "cryhear pdf")
    command.add_argument("--run", type=Path, help="print this run's book instead")
    command.add_argument("--out", type=Path, default=Path("_build"), help="where to put it")
    text = "put a finished run under book/"
    command = _add(commands, "publish", _publish, text, "cryhear publish results/published")
    command.add_argument("folder", nargs="?", type=Path, default=Path("results/published"))
    command = _add(commands, "verify", _verify, "hold a finished run against the published one",
                   "cryhear verify results/default --chapter 9")  # fmt: skip
    command.add_argument(
        "run_folder", metavar="RUN", nargs="?", type=Path, default=Path("results/default")
    )
    command.add_argument("--chapter", type=int, help="compare this chapter only, by its number")
    text = "rebuild the derived tables from recordings and say what changed"
    command = _add(commands, "data", _data, text, "cryhear data --out data/donateacry")
    _of_a_study(command, "params/data.yaml")
    command.add_argument("--out", type=Path, default=Path("data/donateacry"))


def _of_a_study(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument("params", nargs="?", default=default, help="a study's YAML file")
    cores = os.cpu_count() or 1
    command.add_argument("--cores", type=int, default=cores, help="jobs side by side")
    command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                         help="override one parameter")  # fmt: skip


def _corpus_commands(commands: Any) -> None:
    corpus = commands.add_parser("corpus", help="fetch a corpus, or check folders of recordings")
    actions = corpus.add_subparsers(dest="action", required=True)
    command = _add(actions, "fetch", _fetch, "download a corpus and check it",
                   "cryhear corpus fetch donateacry corpora")  # fmt: skip
    command.add_argument("name", help="donateacry, or another of cryhear.archives.ARCHIVES")
    command.add_argument("folder", nargs="?", type=Path, default=Path("corpora"))
    command = _add(actions, "check", _check, "audit recordings without running a study",
                   "cryhear corpus check my/cries")  # fmt: skip
    command.add_argument("roots", nargs="+", type=Path)
    command.add_argument("--labels", default="original", choices=["original", "strict"])
    command.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    command = _add(
        commands, "embed", _embed, "fill a store with embeddings of recordings",
        "cryhear embed my/cries --representation logmel --out store",
    )  # fmt: skip
    command.add_argument("roots", nargs="+", type=Path, metavar="ROOT")
    command.add_argument("--representation", required=True)
    command.add_argument("--out", type=Path, required=True, metavar="STORE",
                         help="the store's folder")  # fmt: skip
    command.add_argument("--model", type=Path, help="a local copy of the model's weights")


def _add(commands: Any, name: str, run: Any, text: str, example: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"Example: {example}"
    )
    command.set_defaults(handler=run)
    return command


def overrides(settings: list[str]) -> dict[str, Any]:
    """Turn ``["exploration.seed=7"]`` into ``{"exploration.seed": 7}``; values are read as YAML."""
    from cryhear.errors import ParameterError
    from cryhear.values import parse

    chosen = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ParameterError(
                f"--set {setting!r}: expected NAME=VALUE, as in exploration.seed=7"
            )
        chosen[name] = parse(value, f"--set {name}")
    return chosen


def _report(given: argparse.Namespace) -> int:
    from cryhear import study

    study.report(given.params, cores=given.cores, overrides=overrides(given.set))
    return 0


def _study(given: argparse.Namespace) -> int:
    from cryhear import study

    study.run(given.params, cores=given.cores, overrides=overrides(given.set))
    return 0


def _book(given: argparse.Namespace) -> int:
    from cryhear import book

    print(book.build(given.run, given.out))
    return 0


def _pdf(given: argparse.Namespace) -> int:
    from cryhear import printing

    print(printing.pdf(given.run, given.out))
    return 0


def _publish(given: argparse.Namespace) -> int:
    from cryhear import book

    book.publish(given.folder)
    return 0


def _verify(given: argparse.Namespace) -> int:
    from cryhear import verify

    report = verify.verify(given.run_folder, given.chapter)
    print(report)
    return 0 if report.passed else 1


def _data(given: argparse.Namespace) -> int:
    from cryhear import derive, study

    made = study.derive(given.params, cores=given.cores, overrides=overrides(given.set))
    changes = derive.publish(made, given.out)
    print("\n".join(changes) or f"{given.out}: nothing changed")
    return 0


def _fetch(given: argparse.Namespace) -> int:
    from cryhear import corpora

    print(corpora.fetch(given.name, given.folder))
    return 0


def _check(given: argparse.Namespace) -> int:
    from cryhear import manifest
    from cryhear.folders import printable

    table, _ = manifest.build(given.roots, jobs=given.jobs)
    for name, found in manifest.audit(table, labels=given.labels).items():
        print(f"\n{name} ({len(found)})")
        if len(found):
            shown = found.map(lambda cell: printable(cell) if isinstance(cell, str) else cell)
            print(shown.to_string(index=False, max_rows=40, max_colwidth=100))
    return PARTIAL if (table["problem"] != "").any() else 0


def _embed(given: argparse.Namespace) -> int:
    from cryhear import corpora, embedding, params
    from cryhear.embedding import extract, store
    from cryhear.folders import printable

    options = {"path": given.model} if given.model else {}
    backend = embedding.load(given.representation, **options)
    recordings, refused = corpora.hashed(given.roots)
    settings = params.Preprocess()
    target = store.Store(given.out, backend, store.preprocess_key(settings))
    failures = extract.embed_recordings(recordings, backend, settings, target)
    stored = target.keys()
    print(f"{target.folder}: {len(stored)} clips of {stored['recording'].nunique()} recordings")
    for path, problem in [*refused.to_numpy(), *failures[["path", "problem"]].to_numpy()]:
        reason = problem.removeprefix(f"{path}: ")
        print(f"not embedded: {printable(path)}: {printable(reason)}", file=sys.stderr)
    return PARTIAL if len(refused) + len(failures) else 0


if __name__ == "__main__":
    raise SystemExit(main())
