"""Run a study: Snakemake brings it up to date; this module shows its progress and says how it ended.

At the end it says what ran, what was re-used and where the book is; on a failure, the failed chapter's
own message, last.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryhear import progress
from cryhear.errors import MARK, CryhearError, NotAskedError, StudyError
from cryhear.files import write_json
from cryhear.study.chapter import READ_MODEL
from cryhear.study.plan import PACKAGE, Plan

CHECKSUM_BYTES = "200MB"
"""Files up to this size count by content, not by date: all of `data/` and a corpus' tables."""

POLL_S = 0.2


def report(
    path: str | os.PathLike[str], cores: int | None = None, overrides: dict[str, Any] | None = None
) -> Path:
    """Run a study, build its book, and put the book at ``_build/html``.

    Returns
    -------
    pathlib.Path
        The book's first page.
    """
    plan = Plan.of(path, overrides)
    _bring_up_to_date(plan, "book", cores)
    made, shown = plan.folder / "html", Path("_build/html")
    stamp = f"{plan.study.name} {(made / 'index.html').stat().st_mtime_ns}"
    if not (shown / ".run").exists() or (shown / ".run").read_text(encoding="utf-8") != stamp:
        shutil.rmtree(shown, ignore_errors=True)
        shutil.copytree(made, shown)
        (shown / ".run").write_text(stamp, encoding="utf-8")
    progress.LOG.info("The book: %s", (shown / "index.html").resolve())
    return shown / "index.html"


def run(
    path: str | os.PathLike[str], cores: int | None = None, overrides: dict[str, Any] | None = None
) -> Path:
    """Run a study's chapters, without its book, and return the run's folder."""
    plan = Plan.of(path, overrides)
    _bring_up_to_date(plan, "chapters", cores)
    progress.LOG.info("The run: %s", plan.folder.resolve())
    return plan.folder


def derive(
    path: str | os.PathLike[str], cores: int | None = None, overrides: dict[str, Any] | None = None
) -> Path:
    """Make a study's derived tables from its recordings and return their folder."""
    plan = Plan.of(path, overrides)
    if not plan.made:
        raise StudyError(
            f"{path} starts from derived tables; give `source.roots` to make them anew"
        )
    _bring_up_to_date(plan, "derived", cores)
    return plan.study.derived


def _bring_up_to_date(plan: Plan, target: str, cores: int | None) -> None:
    started = time.monotonic()
    with _only_one(plan.folder) as lock:
        plan.write()
        kept = _embedded(plan)
        log = plan.folder / "snakemake.log"
        steps = _Steps(log)
        code = _snakemake(plan, target, cores or os.cpu_count() or 1, log, lock, steps)
    if code:
        raise StudyError(_failure(log))
    progress.LOG.info("%s", steps.summary(plan, target, time.monotonic() - started))
    if plan.made:
        made = _embedded(plan) - kept
        progress.LOG.info("%s", f"Embeddings: {made:,} made now, {kept:,} re-used.")


def _snakemake(plan: Plan, target: str, cores: int, log: Path, lock: int, steps: _Steps) -> int:
    command = [sys.executable, "-m", "snakemake", target, "--cores", str(cores), "--nocolor"]
    # Our own lock goes away with its owner; Snakemake's would outlive a killed run.
    command += ["--nolock", "--rerun-incomplete", "--max-checksum-file-size", CHECKSUM_BYTES]
    command += ["--config", f"params={plan.params.as_posix()}"]
    with open(log, "w", encoding="utf-8") as out:
        child = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=environment(), pass_fds=(lock,)
        )
        try:
            while child.poll() is None:
                steps.update()
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            child.wait()
            raise
        finally:
            steps.update()
            steps.close()
    return child.returncode


def environment() -> dict[str, str]:
    """Environment of the jobs: this package importable, one thread each so that sums are repeatable."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, **threads, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "MPLBACKEND": "agg"}


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[int]:
    """Hold the run's folder; the lock ends with the processes that hold it, however they end."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StudyError(
                f"{folder} is being made by another process; wait for it, or end it and run again: "
                "what it finished is kept"
            ) from None
        yield handle.fileno()


class _Steps:
    """Reads Snakemake's log: which jobs there are, which are done, which ran."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.read = 0
        self.names: dict[str, str] = {}
        self.ran: list[str] = []
        self.nothing = False
        self.bar = progress.bar(total=0, unit="step", leave=False, dynamic_ncols=True)

    def update(self) -> None:
        """Take in what was logged since."""
        if not self.log.exists():
            return
        with open(self.log, encoding="utf-8", errors="replace") as handle:
            handle.seek(self.read)
            text = handle.read()
        whole = text[: text.rfind("\n") + 1]
        self.read += len(whole.encode("utf-8"))
        for line in whole.splitlines():
            progress.LOG.debug("%s", line)
            self._line(line)

    def _line(self, line: str) -> None:
        if match := re.match(r"Job (\d+): (.+)", line):
            self.names[match[1]] = match[2]
            self.bar.set_description_str(match[2])
        elif match := re.match(r"Finished jobid: (\d+) ", line):
            if name := self.names.get(match[1]):
                self.ran.append(name)
                if self.bar.disable:
                    progress.LOG.info("done: %s", name)
        elif match := re.match(r"(\d+) of (\d+) steps", line):
            # The last step is Snakemake's own collecting rule.
            self.bar.total = int(match[2]) - 1
            self.bar.n = min(int(match[1]), self.bar.total)
            self.bar.refresh()
        elif line.startswith("Nothing to be done"):
            self.nothing = True

    def close(self) -> None:
        """Take the bar away."""
        self.bar.close()

    def summary(self, plan: Plan, target: str, seconds: float) -> str:
        """What ran and what was re-used."""
        steps = _steps_of(plan, target)
        if self.nothing or not self.ran:
            return f"Nothing to do: {len(steps)} steps are up to date ({seconds:.1f} s)."
        lines = [
            f"Ran {progress.counted(len(self.ran), 'step')} in {seconds:.0f} s: {', '.join(self.ran)}."
        ]
        if reused := [name for name in steps if name not in self.ran]:
            lines.append(f"Re-used: {', '.join(reused)}.")
        return "\n".join(lines)


def _embedded(plan: Plan) -> int:
    """How many clips a study that makes its own tables has embedded so far, altered versions too."""
    if not plan.made:
        return 0
    from cryhear.embedding import store  # loads pandas, which nothing else here needs

    return store.count_clips(plan.study.derived / "store")


def _steps_of(plan: Plan, target: str) -> list[str]:
    """Everything a study consists of, by the messages of the Snakefile's rules."""
    study, steps = plan.study, []
    if plan.made:
        whole = range(study.embed.shards)
        steps.append("manifest of the recordings")
        steps += [f"embedding {r}, part {i}" for r in study.representations for i in whole]
        if study.embed.variants:
            versions = [f"altered versions in {r}" for r in study.representations]
            steps += [f"{name}, part {i}" for name in versions for i in whole]
        steps.append("derived tables")
    if target == "derived":
        return steps
    if set(plan.chapters) & set(READ_MODEL):
        steps.append("the model for new recordings")
    steps += [f"chapter {name}" for name in plan.chapters]
    return [*steps, "the book"] if target == "book" else steps


def _failure(log: Path) -> str:
    """The failed jobs' own messages; failing those, the end of Snakemake's log."""
    text = log.read_text(encoding="utf-8", errors="replace")
    messages = []
    for path in dict.fromkeys(re.findall(r"^ +log: (\S+) \(check log", text, re.M)):
        found = (
            Path(path).read_text(encoding="utf-8", errors="replace") if Path(path).exists() else ""
        )
        if MARK in found:
            messages.append(found.rpartition(MARK)[2].strip())
        elif said := [line for line in found.splitlines() if line.strip() and "%|" not in line]:
            messages.append("\n".join(said[-3:]) + f"\n(more in {path})")
    if ended := re.findall(r"died with <Signals\.(\w+)", text):
        messages.append(
            f"A job was ended from outside ({ended[0]}): run again, it goes on where it stopped."
        )
    if messages:
        return "\n".join(messages)
    # Where Snakemake itself fails (a full disk, say), its call stack tells a user nothing.
    text = re.sub(r"Traceback \(most recent call last\):\n(?: +.*\n)*", "", f"{text}\n")
    lines = [line for line in text.splitlines() if line.strip()][-8:]
    return "\n".join([*lines, f"Snakemake stopped; its log is {log}"])


def _model(path: Path) -> None:
    from cryhear.prediction import (  # training loads scikit-learn, which a chapter may not need
        bundle,
        train,
    )

    chosen = train.study_of(path)
    folder = chosen.folder / "model"
    try:
        bundle.write(train.train(chosen), folder)
    except NotAskedError as refused:
        # The chapter that asks the model says so in its place.
        write_json(folder / "card.json", {"refused": str(refused)})


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the Snakefile's rules: ``python -m cryhear.study.run chapter PARAMS CHAPTER``."""
    from cryhear.study import book, execute

    parser = argparse.ArgumentParser(prog="python -m cryhear.study.run")
    steps = parser.add_subparsers(dest="step", required=True)
    for name in ("chapter", "book", "model"):
        step = steps.add_parser(name)
        step.add_argument("params", type=Path)
        if name == "chapter":
            step.add_argument("chapter")
    given = parser.parse_args(arguments)
    try:
        if given.step == "chapter":
            execute.run_chapter(given.params, given.chapter)
        elif given.step == "model":
            _model(given.params)
        else:
            book.build(given.params.parent, given.params.parent)
    except CryhearError as error:
        print(f"{MARK}{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
