"""Run a study: Snakemake brings it up to date; this module shows its progress and says how it ended.

At the end it says what ran, what was re-used and where the book is; on a failure, the failed chapter's
own message, last.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cryhear import progress
from cryhear.errors import MARK, CryhearError, NotAskedError, StudyError
from cryhear.files import write_json
from cryhear.study.chapter import LONGEST
from cryhear.study.plan import PACKAGE, Plan

CHECKSUM_BYTES = "200MB"
"""Files up to this size count by content, not by date: all of `data/` and a corpus' tables."""

POLL_S = 0.2

PATIENCE_S = 5.0
"""How long jobs that are asked to end may take for it before they are killed."""

NOTHING = "Nothing to be done"
"""What Snakemake says where everything is up to date."""

NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""How file systems say that they know no `flock`: Lustre and NFS, as clusters mount them."""


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
        plan.check()
        plan.write()
        kept = _embedded(plan)
        log = plan.folder / "snakemake.log"
        code, steps = _snakemake(plan, target, cores or os.cpu_count() or 1, log, lock)
    if code:
        raise StudyError(_failure(log))
    chapters = () if target == "derived" else plan.chapters
    progress.LOG.info("%s", steps.summary(time.monotonic() - started, chapters))
    if plan.made:
        made = _embedded(plan) - kept
        progress.LOG.info("%s", f"Embeddings: {made:,} made now, {kept:,} re-used.")


def _snakemake(plan: Plan, target: str, cores: int, log: Path, lock: int) -> tuple[int, _Steps]:
    command = [sys.executable, "-m", "snakemake", target, "--cores", str(cores), "--nocolor"]
    # Our own lock goes away with its owner; Snakemake's would outlive a killed run.
    command += ["--nolock", "--rerun-incomplete", "--max-checksum-file-size", CHECKSUM_BYTES]
    # A user's profile is for the user's own workflows, and the usual cache may not be writable.
    command += ["--profile", "none", "--workflow-profile", "none"]
    command += ["--runtime-source-cache-path", str(_home() / "snakemake")]
    if LONGEST in plan.chapters:
        command += ["--prioritize", (plan.folder / LONGEST / "artefacts.json").as_posix()]
    command += ["--config", f"params={plan.params.as_posix()}"]
    with open(log, "w", encoding="utf-8") as out:
        child = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=environment(), pass_fds=(lock,)
        )
        steps = _Steps(log)
        try:
            while child.poll() is None:
                steps.update()
                time.sleep(POLL_S)
            steps.update()
        finally:  # also where a signal comes, or the reader of our own output has gone
            _end(child)
            steps.bar.close()
    return child.returncode, steps


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process and all below it; a chapter's kernel has a session of its own that no signal reaches."""
    if child.poll() is not None:
        return
    import psutil

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if threading.current_thread() is threading.main_thread():
            signal.signal(number, signal.SIG_IGN)  # this process is about to end: once is enough
    try:
        top = psutil.Process(child.pid)
        tree = [top, *top.children(recursive=True)]
        for process in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs(tree, timeout=PATIENCE_S)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    except psutil.NoSuchProcess:
        pass
    child.wait()


THREADS = tuple(f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"))
"""One thread a job, so that sums are repeatable."""

USERS = ("SNAKEMAKE_", "IPYTHON", "JUPYTER", "PAPERMILL_", "MPL", "MATPLOTLIB", "BASH_ENV")
"""Beginnings of the variables by which a user's own configuration would reach a job."""

USERS_PYTHON = ("STARTUP", "INSPECT", "OPTIMIZE", "WARNINGS", "BREAKPOINT", "VERBOSE", "HOME",
                "PROFILEIMPORTTIME", "PLATLIBDIR")  # fmt: skip
"""Ends of Python's own variables that are not passed on: they change or print what a job does not expect."""


def environment() -> dict[str, str]:
    """Environment of the jobs: this package importable, and nothing of the user's own configuration.

    Start-up files, profiles, a kernel of the user's that is called ``python3`` too, and settings of
    Matplotlib would change what a chapter computes or how it looks.
    """
    dropped = {f"PYTHON{name}" for name in USERS_PYTHON}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not name.startswith(USERS)
    }
    home = _home()
    # An empty or relative entry of the search path means another place in every folder.
    places = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    path = dict.fromkeys(os.path.abspath(p) for p in (str(PACKAGE.parent), *places))
    own = {
        "IPYTHONDIR": home / "ipython",
        "JUPYTER_CONFIG_DIR": home / "jupyter",
        "JUPYTER_DATA_DIR": home / "jupyter",
        "JUPYTER_RUNTIME_DIR": home / "jupyter" / "runtime",
        "MPLCONFIGDIR": home / "matplotlib",
    }
    if not os.access(os.path.expanduser("~"), os.W_OK):
        own["NUMBA_CACHE_DIR"] = home / "numba"
        if not os.environ.get(
            "XDG_CACHE_HOME"
        ):  # Snakemake makes a folder there, and stops where it cannot
            own["XDG_CACHE_HOME"] = home / "cache"
    return {
        **kept,
        **dict.fromkeys(THREADS, "1"),
        **{name: str(place) for name, place in own.items()},
        "JUPYTER_NO_CONFIG": "1",
        "MPLBACKEND": "agg",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(path),
    }


def _home() -> Path:
    """Where the engines keep what is theirs, beside the runs: the user's own folders stay out of it."""
    return (Path("results") / ".engines").absolute()


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[int]:
    """Hold the run's folder; the lock ends with the processes that hold it, however they end."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a", encoding="utf-8") as handle, contextlib.ExitStack() as stack:
        try:
            # Not filelock's: this handle is passed on, so that a Snakemake left alone still holds it.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _held(folder) from None
        except OSError as error:
            if error.errno not in NO_FLOCK:
                raise
            stack.enter_context(_soft_lock(folder))
        yield handle.fileno()


@contextlib.contextmanager
def _soft_lock(folder: Path) -> Iterator[None]:
    """Hold the folder by a file that names its owner, where the file system knows no better lock."""
    import filelock

    path = folder / ".lock.owner"
    try:
        with filelock.SoftFileLock(path, timeout=0):
            yield
    except filelock.Timeout:
        raise _held(folder, f" If none is left, as after a crash, delete {path}.") from None


def _held(folder: Path, more: str = "") -> StudyError:
    return StudyError(
        f"{folder} is being made by another process; wait for it, or end it and run again: "
        f"what it finished is kept.{more}"
    )


class _Steps:
    """What Snakemake's log says as it grows: passed on to whom wants all of it, and counted."""

    def __init__(self, log: Path) -> None:
        self.log, self.read = log, 0
        self.named: dict[str, str] = {}
        self.ran: list[str] = []
        self.bar = progress.bar(unit="step", leave=False, dynamic_ncols=True)

    def update(self) -> None:
        """Read what was written since."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        whole = text.rfind("\n") + 1
        for line in text[self.read : whole].splitlines():
            progress.LOG.debug("%s", line)
            if found := re.match(r"Job (\d+): (.+)", line):
                self.named[found[1]] = found[2]
            elif (found := re.match(r"Finished jobid: (\d+)", line)) and found[1] in self.named:
                self.ran.append(self.named[found[1]])
                self.bar.set_description_str(self.ran[-1])
                if self.bar.disable:
                    progress.LOG.info("done: %s", self.ran[-1])
            elif found := re.match(r"(\d+) of (\d+) steps", line):
                self.bar.n, self.bar.total = map(int, found.groups())
        self.bar.refresh()
        self.read = whole

    def summary(self, seconds: float, chapters: Sequence[str] = ()) -> str:
        """What ran, and which of `chapters` were re-used."""
        if not self.ran and NOTHING in self.log.read_text(encoding="utf-8", errors="replace"):
            return f"Nothing to do: every step is up to date ({seconds:.1f} s)."
        count, named = progress.counted(len(self.ran), "step"), ", ".join(self.ran)
        lines = [f"Ran {count} in {seconds:.0f} s: {named or 'no output changed'}."]
        if reused := [f"chapter {c}" for c in chapters if f"chapter {c}" not in self.ran]:
            lines.append(f"Re-used: {', '.join(reused)}.")
        return "\n".join(lines)


def _embedded(plan: Plan) -> int:
    """How many clips a study that makes its own tables has embedded so far, altered versions too."""
    if not plan.made:
        return 0
    from cryhear.embedding import store  # loads pandas, which nothing else here needs

    return store.count_clips(plan.study.derived / "store")


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

    step, path, *chapter = sys.argv[1:] if arguments is None else arguments
    # Also where Snakemake was started by hand, with a profile of one's own.
    clean = environment()
    os.environ.clear()
    os.environ.update(clean)
    try:
        if step == "chapter":
            execute.run_chapter(path, *chapter)
        elif step == "model":
            _model(Path(path))
        else:
            book.build(Path(path).parent, Path(path).parent)
    except CryhearError as error:
        print(f"{MARK}{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
