"""Make the derived tables from recordings: manifest, embeddings in shards, altered versions, signals.

Every step is one function on a study and an output folder, so that Snakemake can run shards side by
side, on this machine or a cluster. The same functions make ``data/donateacry`` (`publish`) and the
tables of a study that starts from folders of recordings or from the synthesiser.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cryhear import params
from cryhear.audio import features, perturb
from cryhear.audio.augment import augment, numbered
from cryhear.corpus import labels, synthetic
from cryhear.corpus import manifest as manifests
from cryhear.embedding import audioset_check, extract, fetch, load
from cryhear.embedding.store import Store, preprocess_key
from cryhear.embedding.tables import kind_of, pool
from cryhear.errors import MARK, CorpusError, CryhearError
from cryhear.files import (
    read_json,
    read_table,
    read_vectors,
    write_json,
    write_table,
    write_vectors,
)

PUBLISHED_SALT = "cryhear:donateacry"
"""Makes the hashed instance ids of `data/` the same at every build and unlike anyone else's."""


def manifest(study: params.Study, out: Path) -> None:
    """Find, decode and measure every recording of the study's roots.

    Writes ``manifest.parquet`` and, for the steps that decode again, ``private/paths.parquet``
    (recording, path), which is never published.
    """
    fetch(study.representations)  # where a model is out of reach, nothing is decoded in vain
    roots = [Path(root) for root in study.source.roots]
    if study.source.synthetic is not None:
        roots = [synthesise(study, out / "recordings")]
    table, paths = manifests.build(roots, jobs=study.embed.shards, limit_s=study.embed.limit_s)
    write_table(out / "manifest.parquet", table)
    write_table(out / "private" / "paths.parquet", paths)


def synthesise(study: params.Study, folder: Path) -> Path:
    """Write the synthetic corpus of a study and return its root."""
    settings = params.check(
        study.source.synthetic or {}, synthetic.SyntheticCorpus, "source.synthetic"
    )
    return Path(synthetic.corpus(folder, settings, study.seed))


def shard(study: params.Study, representation: str, part: int, parts: int, out: Path) -> None:
    """Embed the clips of one shard of the corpus into the store; a second run embeds nothing."""
    recordings = extract.shard(_usable(out), part, parts)
    backend = _backend(study, representation)
    store = Store(out / "store", backend, preprocess_key(study.preprocess))
    failures = extract.embed_recordings(recordings, backend, study.preprocess, store)
    target = out / "shards" / "clips" / f"{representation}.{part}of{parts}.parquet"
    _keep_shard(target, *_of(store, recordings), failures, len(recordings))


def variants(study: params.Study, representation: str, part: int, parts: int, out: Path) -> None:
    """Embed the altered versions of one shard: augmented, perturbed, otherwise preprocessed.

    Augmented copies are made of everything; the others of the study's set with its primary
    representation, which is all the robustness and sensitivity chapters read.
    """
    everything = extract.shard(_usable(out), part, parts)
    own_set = _of_set(everything, study.set)
    backend = _backend(study, representation)
    asked, keys = 0, [pd.DataFrame({"recording": [], "variant": []}, dtype=str)]
    vectors = [np.empty((0, backend.dimension), np.float32)]
    failures = [pd.DataFrame({"recording": [], "path": [], "problem": []}, dtype=str)]
    for version_of in versions(study):
        if not version_of.everything and representation != study.primary:
            continue
        recordings = everything if version_of.everything else own_set
        settings = version_of.settings
        store = Store(out / "store", backend, preprocess_key(settings, tag=version_of.name))
        failed = extract.embed_recordings(
            recordings, backend, settings, store, transform=version_of.recorded,
            denoised=version_of.denoised,
        )  # fmt: skip
        failures.append(failed.assign(problem=version_of.name + ": " + failed["problem"]))
        names, means = pool(*_of(store, recordings))
        keys.append(pd.DataFrame({"recording": names, "variant": version_of.name}, dtype=str))
        vectors.append(means)
        asked += len(recordings)
    target = out / "shards" / "variants" / f"{representation}.{part}of{parts}.parquet"
    made = pd.concat(keys, ignore_index=True)
    _keep_shard(target, made, np.concatenate(vectors), pd.concat(failures), asked)


class Version(NamedTuple):
    """One altered version: its name, preprocessing, and what is done to the waveform and when."""

    name: str
    settings: params.Preprocess
    recorded: extract.Transform | None = None
    denoised: extract.Transform | None = None
    everything: bool = False


def versions(study: params.Study) -> list[Version]:
    """The altered versions a study asks for in ``embed.variants``, as far as they can be made here.

    Chapter 11 names the conditions that are missing.
    """
    plain = study.preprocess
    chosen: list[Version] = []
    if "augmented" in study.embed.variants:
        for name, copy in numbered(study.augment.copies).items():
            fixed: Any = {"settings": study.augment, "sample_rate": 16_000, "seed": study.seed}
            changed = partial(augment, copy=copy, **fixed)
            chosen.append(Version(name, plain, denoised=changed, everything=True))
    if "perturbed" in study.embed.variants:
        for name in perturb.possible():
            changed = partial(_perturbed, name=name, seed=study.seed)
            chosen.append(Version(name, plain, recorded=changed))
    if "alternatives" in study.embed.variants:
        for name, changes in perturb.ALTERNATIVES.items():
            chosen.append(Version(name, plain.model_copy(update=changes)))
    return chosen


def merge(study: params.Study, out: Path) -> None:
    """Join the shards into one table a representation, add the signals, and say how all was made."""
    counts: dict[str, int] = {}
    for kind in ("clips", "variants"):
        for representation in study.representations:
            # Pieces of an earlier run cut into another number of shards lie beside these.
            pattern = f"{representation}.*of{study.embed.shards}.parquet"
            pieces = sorted((out / "shards" / kind).glob(pattern))
            if pieces:
                counts[f"{kind}/{representation}"] = _join(
                    pieces, out / kind / f"{representation}.parquet"
                )
    others = other_sounds(study) if study.source.other else None
    if others is not None:
        _embed_others(study, out, others)
    if "yamnet" in study.representations:
        write_table(out / "signals" / "heard.parquet", what_is_heard(study, out, others))
    known = labels.assign(_usable(out), "original")
    for name, table in features.all_tables(known, study.preprocess).items():
        write_table(out / "signals" / f"{name}.parquet", table)
    failed = f"*/*of{study.embed.shards}.failures"
    listed = [read_table(p) for p in sorted((out / "shards").glob(failed))]
    failures = pd.concat(listed, ignore_index=True) if listed else pd.DataFrame()
    for row in failures.itertuples():
        print(f"not embedded: {row.path}: {row.problem}", file=sys.stderr)
    backends = {r: _backend(study, r) for r in study.representations}
    packages = ("cryhear", "numpy", "scipy", "soundfile", "soxr", "av", "audiomentations")
    write_json(
        out / "provenance.json",
        {
            "preprocess": study.preprocess.model_dump(mode="json"),
            "augment": study.augment.model_dump(mode="json"),
            "seed": study.seed,
            "representations": {r: backend.version for r, backend in backends.items()},
            "revisions": {
                r: backend.revision for r, backend in backends.items() if backend.revision
            },
            "notes": {r: backend.note for r, backend in backends.items() if backend.note},
            "rows": counts,
            "not_embedded": len(failures),
            "versions": {p: version(p) for p in packages},
        },
    )


def publish(built: Path, published: Path) -> None:
    """Copy derived tables for publication: ids hashed, names dropped, vectors as narrow as they fit.

    Tables that are no longer made are taken away. The same tables give the same bytes.
    """
    for path in list(published.rglob("*.parquet")):
        if not (built / path.relative_to(published)).exists():
            path.unlink()
    table = manifests.publishable(read_table(built / "manifest.parquet"), PUBLISHED_SALT)
    write_table(published / "manifest.parquet", table)
    for kind in ("clips", "variants", "other"):
        for path in sorted((built / kind).glob("*.parquet")):
            keys, vectors = read_vectors(path)
            write_vectors(published / kind / path.name, keys, vectors, dtype=_narrowest(vectors))
    for path in sorted((built / "signals").glob("*.parquet")):
        write_table(published / "signals" / path.name, read_table(path))
    write_json(published / "provenance.json", read_json(built / "provenance.json"))


def other_sounds(study: params.Study) -> pd.DataFrame:
    """Sounds that are no study recordings: ``recording``, ``path``, ``category`` (their folder)."""
    roots = [Path(root) for root in study.source.other]
    table, paths = manifests.build(roots, jobs=study.embed.shards, limit_s=study.embed.limit_s)
    folders = table.drop_duplicates("recording")[["recording", "folder"]]
    return paths.merge(folders.rename(columns={"folder": "category"}), on="recording")


def _embed_others(study: params.Study, out: Path, others: pd.DataFrame) -> None:
    backend = _backend(study, study.primary)
    store = Store(out / "store", backend, preprocess_key(study.preprocess, tag="other"))
    extract.embed_recordings(others[["recording", "path"]], backend, study.preprocess, store)
    keys, vectors = store.read()
    category = others.set_index("recording")["category"]
    keys = keys.assign(category=category.reindex(keys["recording"]).to_numpy())
    write_vectors(out / "other" / f"{study.primary}.parquet", keys, vectors)


def what_is_heard(study: params.Study, out: Path, others: pd.DataFrame | None) -> pd.DataFrame:
    """What YAMNet hears in the study's recordings, in synthetic cries and in the other sounds."""
    own = _usable(out)
    asked = [_of_set(own, study.set).assign(source=study.set)]
    if others is not None:
        asked.append(others.assign(source=others["category"].map(kind_of)))
    columns = ["recording", "source", "path"]
    everything = pd.concat([table[columns] for table in asked], ignore_index=True)
    return audioset_check.table(everything, _backend(study, "yamnet"), study.seed)


def _narrowest(vectors: np.ndarray) -> str:
    """Half precision where every value fits its range; some openSMILE functionals do not."""
    size = np.abs(vectors[vectors != 0])
    fits = not len(size) or (
        size.max() < 60_000 and np.quantile(size, 0.001, method="lower") > 1e-6
    )
    return "float16" if fits else "float32"


def _perturbed(samples: np.ndarray, recording: str, name: str, seed: int) -> np.ndarray:
    change = perturb.PERTURBATIONS[name]
    return change(samples, 16_000, perturb.generator(name, recording, seed))


def _usable(out: Path) -> pd.DataFrame:
    """Recordings that decode and are no exact duplicate, with their paths: recording, path, ..."""
    table = read_table(out / "manifest.parquet")
    paths = read_table(out / "private" / "paths.parquet")
    table = table[table["problem"] == ""].drop_duplicates("recording")
    return table.merge(paths, on="recording", validate="one_to_one")


def _of_set(recordings: pd.DataFrame, set_name: str) -> pd.DataFrame:
    return recordings if set_name == "all" else recordings[recordings["set"] == set_name]


def _backend(study: params.Study, representation: str) -> Any:
    return load(representation, num_threads=study.embed.threads)


def _keep_shard(
    target: Path, keys: pd.DataFrame, vectors: np.ndarray, failures: pd.DataFrame, asked: int
) -> None:
    if asked and not len(keys):
        raise CorpusError(
            f"shard {target.stem} holds no clip: all of its recordings failed ({len(failures)} problems). "
            "See what `cryhear corpus check` says of the roots."
        )
    write_table(target.with_suffix(".failures"), failures[["recording", "path", "problem"]])
    write_vectors(target, keys, vectors)


def _of(store: Store, recordings: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """What a store holds of some recordings."""
    keys, vectors = store.read()
    mine = keys["recording"].isin(recordings["recording"]).to_numpy()
    return keys[mine], vectors[mine]


def _join(pieces: list[Path], target: Path) -> int:
    parts = [read_vectors(piece) for piece in pieces]
    keys = pd.concat([k for k, _ in parts], ignore_index=True)
    order = keys.sort_values(list(keys.columns)).index.to_numpy()
    write_vectors(target, keys.iloc[order], np.concatenate([v for _, v in parts])[order])
    return len(keys)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the Snakefile's rules: ``STEP PARAMS [REPRESENTATION PART PARTS] OUT``."""
    step, path, *cut, out = sys.argv[1:] if arguments is None else arguments
    steps: dict[str, Any] = {
        "manifest": manifest, "shard": shard, "variants": variants, "merge": merge
    }  # fmt: skip
    try:
        steps[step](params.load(path), *cut[:1], *map(int, cut[1:]), Path(out))
    except CryhearError as error:
        print(f"{MARK}{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
