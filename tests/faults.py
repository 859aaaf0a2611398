"""Work killed at random moments, short of room, or barred from its folder; then run to its end.

``python -m tests.faults --kills 50`` disturbs, in turn, embedding a made-up corpus, writing a model bundle,
verifying a run and (``--studies 5``) a whole study of two small chapters: kill -9, files cut short as by a
full disk, no right to write, two processes in one folder. Each is brought to its end afterwards and held
against one that nothing disturbed. It prints counts; exit code 1 if anything was lost or differs.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).parent))

import made_bundle
import numpy as np
import soundfile
import toy

from cryhear import params
from cryhear.corpus import find
from cryhear.embedding import extract, logmel
from cryhear.embedding import store as stores
from cryhear.errors import CryhearError
from cryhear.files import read_json, read_vectors, sha256_of
from cryhear.prediction import bundle
from cryhear.study import verify
from cryhear.study.ledger import Ledger

RATE = 16_000
RECORDINGS = 24
CLIPS = 4
"""Clips a batch: small, so that there is much to interrupt."""

NOBODY = 65534
"""A user without rights: root may write anywhere, so a test of refusal must not be root."""

Counts: TypeAlias = "collections.Counter[str]"


def corpus(folder: Path) -> Path:
    """Write made-up recordings of 3 to 6 s and return their folder."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(RECORDINGS):
        x = 0.1 * rng.standard_normal(round(rng.uniform(3, 6) * RATE))
        soundfile.write(folder / f"cry_{i:02d}.wav", x, RATE)
    return folder


def open_store(folder: Path) -> tuple[logmel.LogMel, stores.Store]:
    """A backend with small batches, and its store below a folder."""
    backend = logmel.LogMel()
    backend.batch_size = CLIPS
    return backend, stores.Store(folder, backend, stores.preprocess_key(params.Preprocess()))


def embed(root: Path, folder: Path) -> None:
    """What ``cryhear embed`` does, without its messages."""
    backend, store = open_store(folder)
    recordings, _ = find.hashed([root])
    extract.embed_recordings(recordings, backend, params.Preprocess(), store)


def content(folder: Path) -> dict[tuple[str, int], bytes]:
    """Every clip of a store with its vector, each part read as it lies on the disk."""
    _, store = open_store(folder)
    found = {}
    for part in store.parts():
        keys, vectors = read_vectors(part)
        for key, vector in zip(
            keys[stores.KEYS].itertuples(index=False, name=None), vectors, strict=True
        ):
            found[key] = vector.tobytes()
    return found


def forked(work: Callable[[], Any], before: Callable[[], None] = lambda: None) -> int:
    """Run in a child: its process id. Exit code 1 for an error of the system, 2 for one of ours."""
    child = os.fork()
    if child:
        return child
    code = 3
    try:
        before()
        work()
        code = 0
    except OSError:
        code = 1
    except CryhearError:
        code = 2
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Exit code of a child, once it has one; below 0 for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def interrupted(work: Callable[[], Any], after_s: float) -> bool:
    """Run in a child and kill it (kill -9) after a while; whether it was still at work."""
    child = forked(work)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)  # of a child not yet waited for: its number is still its own
    return ended(child) == -signal.SIGKILL


def out_of_room(work: Callable[[], Any], writes: int) -> bool:
    """Run in a child that may finish so many files until its disk is full; whether that stopped it."""

    def fill() -> None:
        left = [writes]
        replace = Path.replace

        def full(self: Path, target: object) -> Path:
            if not left[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
            left[0] -= 1
            return replace(self, target)  # type: ignore[arg-type]

        Path.replace = full  # type: ignore[assignment,method-assign]

    return ended(forked(work, fill)) == 1


def cut_short(work: Callable[[], Any], size: int) -> bool:
    """Run in a child whose files end at `size` bytes, within a write; whether that stopped it."""
    return ended(forked(work, lambda: limit_files(size))) in (1, 2)


def limit_files(size: int) -> None:
    """Let no file of this process, or of its children, grow beyond `size` bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def barred(work: Callable[[], Any], folder: Path) -> bool:
    """Run in a child that may read `folder` and write nothing; whether that stopped it."""
    modes = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}

    def drop() -> None:
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)

    try:
        for path in modes:
            path.chmod(0o555 if path.is_dir() else 0o444)
        return ended(forked(work, drop)) in (1, 2)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


@dataclass
class Subject:
    """Something to disturb.

    Attributes
    ----------
    work : callable
        Brings the folder it is given to its end.
    state : callable
        What the folder holds, name to content; can be asked at any moment.
    whole : dict
        The state of a folder that nothing disturbed.
    seconds : float
        How long undisturbed work takes.
    prepare : callable
        Makes the folder.
    """

    work: Callable[[Path], Any]
    state: Callable[[Path], dict]
    whole: dict
    seconds: float
    prepare: Callable[[Path], Any]

    @classmethod
    def of(
        cls,
        folder: Path,
        work: Callable[[Path], Any],
        state: Callable[[Path], dict],
        prepare: Callable[[Path], Any] = Path.mkdir,
    ) -> Subject:
        """Work once undisturbed, in `folder`."""
        prepare(folder)
        started = time.perf_counter()
        work(folder)
        return cls(work, state, state(folder), time.perf_counter() - started, prepare)


def embedding(place: Path) -> Subject:
    """``cryhear embed`` on a made-up corpus."""
    root = corpus(place / "cries")
    return Subject.of(place / "whole", lambda folder: embed(root, folder), content)


def bundling(place: Path) -> Subject:
    """``cryhear train``, once it has a model to write; a bundle is there as a whole or not at all."""
    made = made_bundle.make()

    def state(folder: Path) -> dict[str, bytes]:
        there = (folder / bundle.CARD).exists()
        return {"model": bundle.read(folder).coef.tobytes()} if there else {}

    return Subject.of(place / "whole", lambda folder: bundle.write(made, folder), state)


def verifying(place: Path) -> Subject:
    """``cryhear verify`` on a run of one chapter: it must leave both runs as they are."""

    def prepare(folder: Path) -> None:
        folder.mkdir()
        ledger = Ledger("01_audit", {"seed": 1}, {"manifest.parquet": "aa"})
        for i in range(400):
            ledger.number(f"n_{i}", i / 7, "score", low=0.0, high=99.0)
        for name in ("run", "published"):
            ledger.write(folder / name / "01_audit" / "ledger.json")

    def work(folder: Path) -> None:
        report = verify.verify(folder / "run", published=folder / "published")
        assert report.passed, report

    return Subject.of(place / "whole", work, digests, prepare)


def digests(folder: Path) -> dict[str, str]:
    """Every file below a folder with its SHA-256."""
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".part"
    }


SUBJECTS: dict[str, Callable[[Path], Subject]] = {
    "embed": embedding, "bundle": bundling, "verify": verifying,
}  # fmt: skip


def disturb(subject: Subject, folder: Path, rng: np.random.Generator) -> str:
    """One random fault; how it ended."""
    kind = str(rng.choice(["killed", "disk full", "file cut short", "barred", "two at once"],
                          p=[0.6, 0.1, 0.1, 0.1, 0.1]))  # fmt: skip

    def work() -> Any:
        return subject.work(folder)

    if kind == "killed":
        stopped = interrupted(work, rng.uniform(0, subject.seconds))
    elif kind == "disk full":
        stopped = out_of_room(work, int(rng.integers(0, 6)))
    elif kind == "file cut short":
        stopped = cut_short(work, int(2 ** rng.uniform(4, 14)))
    elif kind == "barred":
        stopped = barred(work, folder)
    else:
        children = [forked(work), forked(work)]
        time.sleep(rng.uniform(0, subject.seconds))
        os.kill(children[0], signal.SIGKILL)
        stopped = ended(children[0]) != 0
        return kind if ended(children[1]) == 0 else "two at once, the other stopped"
    return kind if stopped else "ended undisturbed"


def attack(subject: Subject, place: Path, rng: np.random.Generator, kills: int) -> Counts:
    """Disturb folder after folder, each until it is whole, finish it, and count what was lost."""
    counts: Counts = collections.Counter(folders=0, lost=0, changed=0, unfinished=0)
    while counts["killed"] < kills:
        counts["folders"] += 1
        folder = place / f"disturbed-{counts['folders']}"
        subject.prepare(folder)
        before = subject.state(folder)
        while True:
            counts[disturb(subject, folder, rng)] += 1
            after = subject.state(folder)
            counts["lost"] += len(before.keys() - after.keys())
            counts["changed"] += sum(subject.whole.get(k) != after[k] for k in after)
            before = after
            if before.keys() >= subject.whole.keys():
                break
        subject.work(folder)
        counts["unfinished"] += subject.state(folder) != subject.whole
        counts["temporary files left"] += len([*folder.rglob("*.part")])
        shutil.rmtree(folder)
    return counts


STUDY = "from cryhear.cli import main; raise SystemExit(main(['study', 'params/toy.yaml']))"


def chapters(project: Path) -> dict[str, str]:
    """Of every finished chapter of the toy study, its artefacts with their SHA-256."""
    found = {}
    for path in sorted((project / "results" / "toy").glob("*/artefacts.json")):
        for name in read_json(path):
            artefact = path.parent / name
            found[artefact.relative_to(project).as_posix()] = sha256_of(artefact)
    return found


def disturbed_study(project: Path, rng: np.random.Generator, seconds: float) -> str:
    """One random fault of a study's process, and of all processes it started; how it ended."""
    kind = str(
        rng.choice(["killed", "interrupted", "file cut short", "barred"], p=[0.7, 0.1, 0.1, 0.1])
    )
    how: dict[str, Any] = {}
    if kind == "file cut short":
        size = int(2 ** rng.uniform(4, 16))
        how["preexec_fn"] = lambda: limit_files(size)
    if kind == "barred" and os.geteuid() == 0:
        how |= {"user": NOBODY, "group": NOBODY}
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", STUDY], cwd=project, env=toy.environment(project), text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, **how,
        )  # fmt: skip
    except PermissionError:
        return "not barred: this Python is another user's"
    if kind in ("killed", "interrupted"):
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(rng.uniform(0, seconds))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL if kind == "killed" else signal.SIGINT)
    said = child.communicate()[1]
    if "Traceback" in said:
        print(said, file=sys.stderr)
        return f"{kind}: TRACEBACK"
    return kind if child.returncode else "ended undisturbed"


def attack_study(place: Path, rng: np.random.Generator, kills: int) -> Counts:
    """As `attack`, for a study of two small chapters run by Snakemake and Papermill."""
    for folder in (place, *place.parents[:1]):
        folder.chmod(0o755)  # for a user without rights to read
    project = toy.make(place)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", STUDY], cwd=project, env=toy.environment(project),
                   check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    seconds, whole = time.perf_counter() - started, chapters(project)
    counts: Counts = collections.Counter(folders=0, lost=0, changed=0, unfinished=0)
    while counts["killed"] < kills:
        counts["folders"] += 1
        for name in ("results", ".snakemake"):
            shutil.rmtree(project / name)
        before: dict[str, str] = {}
        while before.keys() != whole.keys() and counts["killed"] < kills:
            counts[disturbed_study(project, rng, seconds)] += 1
            after = chapters(project)
            counts["lost"] += len(before.keys() - after.keys())
            counts["changed"] += sum(whole.get(k) != after[k] for k in after)
            before = after
        done = subprocess.run([sys.executable, "-c", STUDY], cwd=project, capture_output=True,
                              env=toy.environment(project), text=True)  # fmt: skip
        counts["unfinished"] += done.returncode != 0 or chapters(project) != whole
        if done.returncode:
            print(done.stdout, done.stderr, file=sys.stderr)
    return counts


FAILURES = ("lost", "changed", "unfinished")


def main() -> int:
    """Attack each subject until so many were killed, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of each subject but the study")
    parser.add_argument(
        "--studies", type=int, default=0, help="kills of a study; each takes seconds"
    )
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=[*SUBJECTS])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="cryhear-faults-") as temporary:
        found: dict[str, Counts] = {}
        for name in given.only:
            (place := Path(temporary) / name).mkdir()
            found[name] = attack(SUBJECTS[name](place), place, rng, given.kills)
        if given.studies:
            (place := Path(temporary) / "study").mkdir()
            found["study"] = attack_study(place, rng, given.studies)
        for name, counts in found.items():
            print(name)
            for what, n in counts.items():
                print(f"{n:7d}  {what}")
                bad += n * (what in FAILURES or "TRACEBACK" in what)
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
