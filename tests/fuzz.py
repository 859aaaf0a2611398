"""Hostile recordings by the hundred: every format, broken in every way, through decoder and manifest.

``python -m tests.fuzz --runs 2000`` makes that many files, has each read by a worker that may use only
so much memory and time, and prints how often each kind ended how. A file may be read or refused with a
reason; anything else (another exception, a warning, a crash, a time-out) is a defect, and exit code 1.
The same seed makes the same files.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import select
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import av
import numpy as np
import soundfile
from made_sound import RATE, encoded

SECONDS = 1.2
MEMORY = 4 << 30
"""Address space of a worker, bytes: libraries take about 1.5 GiB of it, sound the rest."""
TIME_S = 60.0
"""Longest a file may take, s: a whole order above the slowest seen on a busy machine."""
PREFIX = "\x1e"
"""Marks a worker's own lines among what C libraries print."""

Maker = Callable[[np.random.Generator, dict[str, bytes]], bytes]


def seeds() -> dict[str, bytes]:
    """A valid file of every format that can be made here, by extension and encoding."""
    time = np.arange(round(SECONDS * RATE)) / RATE
    x = (0.4 * np.sin(2 * np.pi * (400 + 200 * time) * time)).astype(np.float32)
    made = {}
    for suffix, form, subtype in (
        (".wav", "WAV", "PCM_16"), (".wav", "WAV", "FLOAT"), (".wav", "WAV", "IMA_ADPCM"),
        (".wav", "WAVEX", "PCM_24"), (".wav", "W64", "PCM_16"), (".wav", "RF64", "PCM_16"),
        (".flac", "FLAC", "PCM_16"), (".ogg", "OGG", "VORBIS"), (".opus", "OGG", "OPUS"),
        (".mp3", "MP3", "MPEG_LAYER_III"), (".aiff", "AIFF", "PCM_16"), (".au", "AU", "ULAW"),
        (".caf", "CAF", "ALAC_16"),
    ):  # fmt: skip
        buffer = io.BytesIO()
        soundfile.write(buffer, x, RATE, format=form, subtype=subtype)
        made[f"{form} {subtype}{suffix}"] = buffer.getvalue()
    for suffix, form, codec, rate in (
        (".m4a", "ipod", "aac", RATE), (".aac", "adts", "aac", RATE),
        (".3gp", "3gp", "libopencore_amrnb", 8000), (".amr", "amr", "libopencore_amrnb", 8000),
        (".caf", "caf", "adpcm_ima_qt", RATE), (".wma", "asf", "wmav2", RATE),
        (".webm", "webm", "libopus", 48_000),
    ):  # fmt: skip
        if codec in av.codecs_available:
            made[f"{form} {codec}{suffix}"] = encoded(x, codec, form, rate)
    return made


def _any(rng: np.random.Generator, seeds: dict[str, bytes]) -> bytearray:
    return bytearray(seeds[str(rng.choice(sorted(seeds)))])


def random_bytes(rng: np.random.Generator, seeds: dict[str, bytes]) -> bytes:
    """Nothing but noise."""
    return rng.bytes(int(rng.integers(1, 20_000)))


def random_body(rng: np.random.Generator, seeds: dict[str, bytes]) -> bytes:
    """A true beginning, then noise."""
    whole = _any(rng, seeds)
    return bytes(whole[: int(rng.integers(4, 300))]) + rng.bytes(int(rng.integers(0, 20_000)))


def cut(rng: np.random.Generator, seeds: dict[str, bytes]) -> bytes:
    """The end is missing."""
    whole = _any(rng, seeds)
    return bytes(whole[: int(rng.integers(0, len(whole)))])


def flipped(rng: np.random.Generator, seeds: dict[str, bytes]) -> bytes:
    """A few bytes anywhere are others."""
    whole = _any(rng, seeds)
    for place in rng.integers(0, len(whole), int(rng.integers(1, 60))):
        whole[place] = int(rng.integers(256))
    return bytes(whole)


def header_flipped(rng: np.random.Generator, seeds: dict[str, bytes]) -> bytes:
    """A few bytes of the header are others."""
    whole = _any(rng, seeds)
    for place in rng.integers(0, min(200, len(whole)), int(rng.integers(1, 8))):
        whole[place] = int(rng.integers(256))
    return bytes(whole)


def extreme(rng: np.random.Generator, seeds: dict[str, bytes]) -> bytes:
    """A number of the header, or what may be one, is the smallest or largest it can be."""
    whole = _any(rng, seeds)
    for _ in range(int(rng.integers(1, 4))):
        size = int(rng.choice([1, 2, 4, 8]))
        value = int(rng.choice([0, 1, 2 ** (8 * size - 1) - 1, -1, -(2 ** (8 * size - 1))]))
        order = "little" if rng.random() < 0.5 else "big"
        place = int(rng.integers(0, min(400, len(whole) - 8)))
        whole[place : place + size] = value.to_bytes(size, order, signed=True)
    return bytes(whole)


def shifted(rng: np.random.Generator, seeds: dict[str, bytes]) -> bytes:
    """A stretch is missing, doubled, or noise was put in between."""
    whole = _any(rng, seeds)
    start = int(rng.integers(0, len(whole)))
    stop = start + int(rng.integers(1, 3000))
    between = (b"", bytes(whole[start:stop]) * 2, rng.bytes(stop - start))[int(rng.integers(3))]
    return bytes(whole[:start]) + between + bytes(whole[stop:])


def spliced(rng: np.random.Generator, seeds: dict[str, bytes]) -> bytes:
    """The beginning of one format, the rest of another."""
    first, second = _any(rng, seeds), _any(rng, seeds)
    return bytes(first[: int(rng.integers(4, len(first)))]) + bytes(
        second[int(rng.integers(0, len(second))) :]
    )


def renamed(rng: np.random.Generator, seeds: dict[str, bytes]) -> bytes:
    """A sound file under another format's name."""
    return bytes(_any(rng, seeds))


def wav(
    body: bytes, tag: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16,
    claimed: int | None = None,
) -> bytes:  # fmt: skip
    """A WAV file that says what it is told to say."""
    claimed = len(body) if claimed is None else claimed
    block = channels * max(1, bits // 8)
    fmt = struct.pack(
        "<HHIIHH", tag, channels, rate, (rate * block) & 0xFFFFFFFF, block & 0xFFFF, bits
    )
    head = b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", claimed)
    return b"RIFF" + struct.pack("<I", (36 + claimed) & 0xFFFFFFFF) + b"WAVE" + head + body


def odd_header(rng: np.random.Generator, seeds: dict[str, bytes]) -> bytes:
    """A WAV header with rates, channels, depths, encodings and lengths that no recorder writes."""
    return wav(
        rng.bytes(int(rng.integers(0, 40_000))),
        tag=int(rng.choice([0, 1, 2, 3, 6, 7, 17, 49, 80, 85, 0xFFFE, 0xFFFF])),
        channels=int(rng.choice([0, 1, 2, 63, 64, 65, 255, 65_535])),
        rate=int(rng.choice([0, 1, 3_999, 4_000, 8_000, 192_000, 192_001, 2**31 - 1, 2**32 - 1])),
        bits=int(rng.choice([0, 1, 4, 8, 12, 16, 24, 32, 64, 65_535])),
        claimed=int(rng.choice([0, 1, 4_000, 2**31 - 1, 2**32 - 1])),
    )


def odd_floats(rng: np.random.Generator, seeds: dict[str, bytes]) -> bytes:
    """Samples that are NaN, infinite, enormous or next to nothing."""
    kind = np.dtype("<f4" if rng.random() < 0.5 else "<f8")
    odd = [np.nan, np.inf, -np.inf, 1e308, 3e38, -3e38, 1e19, 1e9, 70_000.0, 1e-40, 1e-310, 0.0]
    x = 0.3 * rng.standard_normal(int(rng.integers(1, 40_000)))
    places = rng.random(len(x)) < rng.choice([1e-4, 1e-2, 1.0])
    x[places] = rng.choice(odd, size=int(places.sum())) if rng.random() < 0.5 else rng.choice(odd)
    with np.errstate(over="ignore", under="ignore"):
        body = x.astype(kind).tobytes()
    channels = int(rng.choice([1, 2, 3]))
    rate = int(rng.choice([8_000, RATE, 44_100]))
    return wav(body, tag=3, channels=channels, rate=rate, bits=8 * kind.itemsize)


def text(rng: np.random.Generator, seeds: dict[str, bytes]) -> bytes:
    """Text, pages, playlists and scripts."""
    texts = (
        b"minutes of a meeting\n" * 50, b"<html><script>alert(1)</script></html>",
        b"#EXTM3U\n#EXTINF:10,\n/etc/hostname\n", b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"#!/bin/sh\ntouch pwned\n", b"\xff\xfe" + "notes".encode("utf-16-le") * 40,
        b"[Script Info]\nTitle: x\n", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
        b"<?xml version='1.0'?><MPD><BaseURL>http://127.0.0.1/</BaseURL></MPD>",
    )  # fmt: skip
    return texts[int(rng.integers(len(texts)))]


def tiny(rng: np.random.Generator, seeds: dict[str, bytes]) -> bytes:
    """Empty, one byte, one sample, silence."""
    bodies = (b"\x01\x40", b"", b"\0\0", bytes(2 * 4000), b"\x01", rng.bytes(6))
    whole = wav(bodies[int(rng.integers(len(bodies)))], channels=int(rng.choice([1, 2])))
    return (b"", b"R", whole, whole, whole)[int(rng.integers(5))]


KINDS: tuple[Maker, ...] = (
    random_bytes, random_body, cut, flipped, header_flipped, extreme, shifted, spliced, renamed,
    odd_header, odd_floats, text, tiny,
)  # fmt: skip


def make(folder: Path, kind: Maker, seed: int, known: dict[str, bytes]) -> Path:
    """Write one hostile file; its name tells the kind and the seed that make it again."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    suffix = Path(str(rng.choice(sorted(known)))).suffix
    path = folder / f"{kind.__name__}-{seed}{suffix}"
    path.write_bytes(kind(rng, known))
    return path


def read(path: str) -> str:
    """Do with a file what a manifest and an embedding do; say how it ended, in a few words."""
    from cryhear import params
    from cryhear.audio import decode, preprocess
    from cryhear.corpus import manifest
    from cryhear.errors import AudioError

    with warnings.catch_warnings():
        # A warning of NumPy's is a number that was not meant, printed where nobody asked.
        warnings.simplefilter("error", RuntimeWarning)
        row, heard = manifest._look(path, "", 600.0)
        if row["problem"]:
            return "refused: " + row["problem"].split(";")[0].split("(")[0].strip()
        measured = [value for value in row.values() if isinstance(value, float)]
        if not np.isfinite(measured).all() or heard is None or not np.isfinite(heard).all():
            raise ArithmeticError(f"measured {measured}")
        try:
            samples = decode.decode(path).samples
        except AudioError as error:
            return "refused at 16 kHz: " + str(error).removeprefix(f"{path}: ").split(";")[0]
        _, clips = preprocess.run(samples, params.Preprocess(short="pad"))
        if not np.isfinite(samples).all() or not np.isfinite(clips).all():
            raise ArithmeticError("samples or clips are not finite")
        return "read"


def work() -> None:
    """Read the paths on standard input, one a line, and answer each."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin:
        try:
            ended = read(json.loads(line))
        except Exception as error:
            ended = f"DEFECT {type(error).__name__}: {error}"
        print(PREFIX + json.dumps(ended), flush=True)


class Worker:
    """A process that reads hostile files, and is replaced when one of them ends it."""

    def __init__(self) -> None:
        self.process = self._started()

    def ask(self, path: Path) -> str:
        """How reading a file ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(str(path)) + "\n")
        self.process.stdin.flush()
        while select.select([self.process.stdout], [], [], TIME_S)[0]:
            line = self.process.stdout.readline()
            if not line:
                code = self.process.wait()
                self.process = self._started()
                return f"DEFECT the reader died (exit code {code})"
            if line.startswith(PREFIX):
                return str(json.loads(line[1:]))
        self.close()
        self.process = self._started()
        return f"DEFECT took longer than {TIME_S:g} s"

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    @staticmethod
    def _started() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, __file__, "--worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, bufsize=1, cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip


def run(folder: Path, runs: int, first: int = 0) -> Iterator[tuple[str, str, Path]]:
    """Make and read `runs` files, the kinds in turn; give kind, end and path of each."""
    known, worker = seeds(), Worker()
    try:
        for number in range(first, first + runs):
            kind = KINDS[number % len(KINDS)]
            path = make(folder, kind, number, known)
            ended = worker.ask(path)
            yield kind.__name__, ended, path
            if "DEFECT" not in ended:
                path.unlink()
    finally:
        worker.close()


def main() -> int:
    """Run, count and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1300)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--keep", type=Path, help="where files that show a defect are kept")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work()
        return 0
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    defects = []
    with tempfile.TemporaryDirectory(prefix="cryhear-fuzz-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for kind, ended, path in run(folder, given.runs, given.first):
            counts[kind, ended.split(":")[0] if "DEFECT" not in ended else "DEFECT"] += 1
            counts["", ended] += 1
            if "DEFECT" in ended:
                defects.append(f"{path.name}: {ended}")
    ends = sorted({end for kind, end in counts if kind})
    print(f"{'kind':16}" + "".join(f"{end:>20}" for end in ends))
    for kind in KINDS:
        cells = (f"{counts[kind.__name__, end]:20d}" for end in ends)
        print(f"{kind.__name__:16}" + "".join(cells))
    print(f"{'all':16}" + "".join(
        f"{sum(n for (kind, e), n in counts.items() if kind and e == end):20d}" for end in ends
    ))  # fmt: skip
    print("\nhow it ended:")
    for (kind, ended), n in counts.most_common():
        if not kind:
            print(f"{n:7d}  {ended[:150]}")
    print(f"\n{given.runs} files, {len(defects)} defects")
    return 1 if defects else 0


if __name__ == "__main__":
    raise SystemExit(main())
