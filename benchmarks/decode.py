"""Reading and preparing recordings beside the original study's own chain.

The original: ``librosa.load(path, sr=16000)``, ``scipy.signal.wiener``, ``gaussian_filter1d``, division
by the root mean square, two-second clips; a file at a time, in one process. Ours runs in one process
too, and then as a study does it, in shards side by side, one a core. On the real corpus, where it is
found, the files a telephone app sent (AMR in 3GP, IMA4 in CAF) are decoded by ours and by
librosa, which asks the system's ffmpeg.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
from joblib import Parallel, cpu_count, delayed

from benchmarks import bench, made
from cryhear import params
from cryhear.audio import decode, preprocess

SETTINGS = params.Preprocess(rms_target=1.0, tail="drop", silence_dbfs=-120.0)
"""The original's: a root mean square of 1, no clip for the rest."""

RESAMPLED = 2e-5
"""Largest difference of two runs of the whole chain, relative to the largest sample. Both resample
with soxr's high quality, ours by blocks: 24 bits of a 16-bit file, then the Wiener filter, whose gain
multiplies a sample's rounding."""

CODED = 0.05
"""Median correlation missing from 1 of two decoders of a lossy codec (they differ in scaling, start and
the last half step of each sample): anything but the same sound is far from it."""

CORPUS = 40
"""How many times as many recordings shards are given: 1,600, a corpus."""

HOP = 28_800
CLIP = 32_000


def ours(paths: list[Path]) -> list[np.ndarray]:
    """Clips of each file by the library."""
    decoded = (decode.decode(path).samples for path in paths)
    return [preprocess.run(samples, SETTINGS)[1] for samples in decoded]


def count_clips(paths: list[Path]) -> int:
    """How many clips the library makes of some files: what a shard does before it embeds them."""
    return sum(map(len, ours(paths)))


def side_by_side(paths: list[Path]) -> int:
    """The same in a process a core."""
    n = cpu_count()
    return sum(Parallel(n)(delayed(count_clips)(paths[i::n]) for i in range(n)))


def original(paths: list[Path]) -> list[np.ndarray]:
    """Clips of each file as the original study's notebook makes them."""
    import librosa
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import wiener

    made_clips = []
    for path in paths:
        x, _ = librosa.load(path, sr=16_000, mono=True)
        x = gaussian_filter1d(wiener(x), sigma=0.5)
        x = x / (np.sqrt(np.mean(x**2)) + 1e-9)
        starts = range(0, len(x) - CLIP + 1, HOP)
        made_clips.append(np.stack([x[s : s + CLIP] for s in starts]).astype(np.float32))
    return made_clips


def steps(results: bench.Results, repeats: int) -> None:
    """The filters alone, on one recording of 7 s."""
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import wiener

    x = made.cry(7.0, 16_000, np.random.default_rng(1))
    filters = {
        "wiener": (preprocess.wiener, wiener),
        "gaussian": (preprocess.gaussian, lambda a: gaussian_filter1d(a, sigma=0.5)),
    }
    for name, (mine, theirs) in filters.items():
        many = bench.pair(
            lambda mine=mine: [mine(x) for _ in range(20)],
            lambda theirs=theirs: [theirs(x) for _ in range(20)], repeats,
        )  # fmt: skip
        # Beside the double-precision result: in float32 SciPy's own is the one further off.
        exact = theirs(x.astype(np.float64))
        bench.check_close(many.our_output[-1], exact, bench.FLOAT32, name)
        results.ratio(name, many)


def wav(results: bench.Results, folder: Path, count: int, repeats: int, times: int) -> None:
    """The whole chain on WAV files, at a telephone's rate and at the models' own."""
    for key, rate in (("wav", made.RATE), ("wav_16k", 16_000)):
        paths = made.recordings(folder / key, count, 7.0, rate)
        found = bench.pair(lambda p=paths: ours(p), lambda p=paths: original(p), repeats)
        for mine, theirs in zip(found.our_output, found.their_output, strict=True):
            bench.check_close(mine, theirs, RESAMPLED, f"{key}: clips")
        results.ratio(key, found, note=f"{count} recordings of 7 s at {rate} Hz")
        many = paths * times
        shards = bench.pair(
            lambda p=many: side_by_side(p), lambda p=many: sum(map(len, original(p))), repeats
        )
        bench.check_same(shards.our_output, shards.their_output, f"{key}: clips")
        results.ratio(
            f"{key}_shards", shards, note=f"{len(many)} recordings, ours in {cpu_count()} processes"
        )
        results.number(
            f"{key}_rate", count / np.median(found.ours), "count", note="recordings a second"
        )


def coded(results: bench.Results, folder: Path, count: int, repeats: int) -> None:
    """Files only FFmpeg reads: ours through PyAV, librosa through the system's ffmpeg."""
    files = lossy(folder, count) if shutil.which("ffmpeg") else {"3gp": [], "caf": []}
    for suffix, found in files.items():
        if not found:
            results.number(suffix, "not measured: no ffmpeg or no such recording here", "text")
            continue
        both = bench.pair(
            lambda p=found: [decode.decode(path).samples for path in p],
            lambda p=found: [_loaded(path) for path in p], repeats,
        )  # fmt: skip
        apart = [_apart(a, b) for a, b in zip(both.our_output, both.their_output, strict=True)]
        if np.median(apart) > CODED:
            raise bench.Unequal(
                f"{suffix}: the two decoders correlate at 1 - {np.median(apart):.3f}"
            )
        results.ratio(suffix, both, note=f"{len(found)} recordings")


def lossy(folder: Path, count: int) -> dict[str, list[Path]]:
    """3GP and CAF files: the corpus's own where it is found, else CAF that ffmpeg makes here."""
    root = bench.corpora()
    if root is not None:
        files = {s: sorted((root / "donateacry").rglob(f"*.{s}"))[:count] for s in ("3gp", "caf")}
        return files
    paths = []
    for wav_path in made.recordings(folder / "coded", count, 7.0):
        paths.append(wav_path.with_suffix(".caf"))
        command = [
            "ffmpeg",
            "-loglevel",
            "error",
            "-y",
            "-i",
            str(wav_path),
            "-c:a",
            "adpcm_ima_qt",
        ]
        subprocess.run([*command, str(paths[-1])], check=True)
    return {"3gp": [], "caf": paths}


def _loaded(path: Path) -> np.ndarray:
    import librosa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it falls back to audioread is what is measured
        return librosa.load(path, sr=16_000, mono=True)[0]


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """1 minus the highest correlation of two waveforms within 50 ms of each other."""
    from scipy.signal import correlate

    n = min(len(a), len(b), CLIP)
    a, b = a[:n] / np.linalg.norm(a[:n]), b[:n] / np.linalg.norm(b[:n])
    middle = n - 1
    return 1 - float(correlate(a, b, method="fft")[middle - 800 : middle + 801].max())


def measure(results: bench.Results) -> None:
    """Measure everything."""
    count, repeats, times = (3, 1, 2) if results.quick else (40, 7, CORPUS)
    steps(results, repeats)
    with tempfile.TemporaryDirectory() as folder:
        wav(results, Path(folder), count, repeats, times)
        coded(results, Path(folder), count, repeats)


if __name__ == "__main__":
    raise SystemExit(bench.run("decode", measure))
