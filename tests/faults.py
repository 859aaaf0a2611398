"""Embedding killed at random moments, or with no room left on the disk; then run to its end.

``python -m tests.faults --kills 50`` kills that many embeddings of made-up cries (kill -9, and in turn a
disk that is full after some writes), and holds each store, brought to its end afterwards, against one
that nothing disturbed. It prints counts; exit code 1 if a store lost or changed a clip.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from cryhear import corpora, params
from cryhear.embedding import extract, logmel
from cryhear.embedding import store as stores
from cryhear.files import read_vectors

RATE = 16_000
RECORDINGS = 24
CLIPS = 4
"""Clips a batch: small, so that there is much to interrupt."""


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
    recordings, _ = corpora.hashed([root])
    extract.embed_recordings(recordings, backend, params.Preprocess(), store, progress=False)


def interrupted(work: Callable[[], None], after_s: float) -> bool:
    """Run in a child and kill it (kill -9) after a while; whether it was still at work."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    time.sleep(after_s)
    done, _ = os.waitpid(child, os.WNOHANG)
    if done:
        return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def out_of_room(work: Callable[[], None], writes: int) -> bool:
    """Run in a child that may finish so many files until its disk is full; whether that stopped it."""
    child = os.fork()
    if child == 0:
        left = [writes]
        replace = Path.replace

        def full(self: Path, target: object) -> Path:
            if not left[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
            left[0] -= 1
            return replace(self, target)

        Path.replace = full
        try:
            work()
        except OSError:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 1


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


def attack(root: Path, folder: Path, whole: dict, rng: np.random.Generator, seconds: float) -> dict:
    """Disturb a store until it is whole; count what happened and what was lost."""
    counts = {
        "killed": 0,
        "disk full": 0,
        "ended undisturbed": 0,
        "clips lost": 0,
        "clips changed": 0,
    }
    before: dict = {}
    while before.keys() != whole.keys():
        if rng.random() < 0.7:
            stopped = interrupted(lambda: embed(root, folder), rng.uniform(0, seconds))
            counts["killed" if stopped else "ended undisturbed"] += 1
        else:
            stopped = out_of_room(lambda: embed(root, folder), int(rng.integers(0, 6)))
            counts["disk full" if stopped else "ended undisturbed"] += 1
        after = content(folder)
        counts["clips lost"] += len(before.keys() - after.keys())
        counts["clips changed"] += sum(after[k] != whole[k] for k in after)
        before = after
    embed(root, folder)
    counts["clips changed"] += content(folder) != whole
    return counts


def main() -> int:
    """Attack until so many were killed, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    total: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="cryhear-faults-") as temporary:
        root = corpus(Path(temporary) / "cries")
        started = time.perf_counter()
        embed(root, Path(temporary) / "whole")
        seconds = time.perf_counter() - started
        whole = content(Path(temporary) / "whole")
        trials = 0
        while total.get("killed", 0) < given.kills:
            trials += 1
            for name, n in attack(
                root, Path(temporary) / f"store-{trials}", whole, rng, seconds
            ).items():
                total[name] = total.get(name, 0) + n
    print(f"{trials} stores of {len(whole)} clips brought to their end")
    for name, n in total.items():
        print(f"{n:7d}  {name}")
    return 1 if total["clips lost"] or total["clips changed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
