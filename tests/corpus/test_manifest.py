"""The table of recordings, from files to what a study uses."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr

from cryhear import files
from cryhear.corpus import labels, manifest
from cryhear.errors import CorpusError

RATE = 16_000
A, B, C = (f"{n}D1AD73E-4C5E-45F3-85C4-9A3CB71E8856" for n in "012")
UPLOADS = "donateacry-ios-upload-bucket"
CLEANED = "donateacry_corpus_cleaned_and_updated_data"


def _sound(seed: int, seconds: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    phase = np.cumsum(2 * np.pi * (450 + 80 * np.cumsum(rng.standard_normal(n)) / n**0.5) / RATE)
    return (0.2 * np.sin(phase) + 0.1 * np.sin(2 * phase)).astype(np.float32)


def _write(path: Path, x: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x, rate)
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Uploads of three instances, two cleaned copies, and recordings with every kind of trouble."""
    root = tmp_path_factory.mktemp("corpora") / "toy"
    up, clean = root / UPLOADS, root / CLEANED
    first = _write(up / f"{A}-1430742100-1.0-m-04-hu.wav", _sound(1))
    shutil.copy(first, up / f"{A}-1430742160-1.0-m-04-hu.wav")
    _write(up / f"{B}-1430742200-1.0-f-26-bp.wav", _sound(2))
    # The same sound under another instance, quieter: B and C share an infant.
    _write(up / f"{C}-1430742300-1.0-f-26-dc.wav", 0.3 * _sound(2))
    _write(up / f"{C}-1430742420-1.0-f-26-dk.wav", _sound(3))
    _write(up / f"{C}-1430742540-1.0-f-26-ti.wav", _sound(4, 1.5))
    (up / f"{A}-1430742550-1.0-m-04-hu.wav").write_bytes(b"")
    (up / f"{B}-1430742560-1.0-m-04-hu.wav").write_bytes(b"")
    _write(clean / "hungry" / first.name, soxr.resample(_sound(1), RATE, 8000), 8000)
    # Copied under another name, and into a folder that contradicts its tag.
    renamed = clean / "tired" / f"{B}-1430742999-1.0-f-26-hu.wav"
    _write(renamed, soxr.resample(_sound(2), RATE, 8000), 8000)
    return root


@pytest.fixture(scope="module")
def built(root) -> tuple[pd.DataFrame, pd.DataFrame]:
    return manifest.build([root])


@pytest.fixture(scope="module")
def table(built) -> pd.DataFrame:
    return built[0]


def _row(table: pd.DataFrame, name: str, folder: str = UPLOADS) -> pd.Series:
    found = table[table["name"].str.contains(name) & table["folder"].str.startswith(folder)]
    assert len(found) == 1
    return found.iloc[0]


def test_every_recording_found_is_a_row(root, built):
    table, paths = built
    assert tuple(table.columns) == manifest.COLUMNS
    assert len(table) == 10
    row = _row(table, f"{B}-1430742200")
    assert row["sha256"] == files.sha256_of(root / UPLOADS / row["name"])
    assert row["recording"] == row["sha256"][:16]
    assert (row["codec"], row["sample_rate"], row["channels"]) == ("pcm_s16", RATE, 1)
    assert row["duration_s"] == pytest.approx(3.0)
    assert row["peak"] == pytest.approx(np.abs(_sound(2)).max(), abs=1e-3)
    assert paths["recording"].is_unique
    assert set(paths["recording"]) == set(table.loc[table["problem"] == "", "recording"])
    assert all(files.sha256_of(p)[:16] == r for r, p in paths.itertuples(index=False))


def test_time_is_relative_to_the_instance(table):
    assert _row(table, "1430742420")["time_s"] == 120.0
    assert _row(table, "1430742300")["time_s"] == 0.0


def test_a_bad_recording_is_listed_without_its_path_and_the_rest_go_on(table):
    bad = table[table["problem"] != ""]
    assert bad["problem"].str.startswith("empty (0 bytes)").all()
    assert len(bad) == 2
    assert bad["duration_s"].isna().all()
    assert not bad["problem"].str.contains("/").any()


def test_exact_duplicates_point_at_the_first(table):
    first, second = _row(table, f"{A}-1430742100"), _row(table, f"{A}-1430742160")
    assert (first["duplicate_of"], second["duplicate_of"]) == ("", first["recording"])


def test_near_duplicates_are_found_within_and_across_sets(table):
    original, again = _row(table, f"{B}-1430742200"), _row(table, "1430742300")
    assert again["duplicate_of"] == original["recording"] != again["recording"]
    assert _row(table, "1430742999", CLEANED)["copy_of"] == original["recording"]
    namesake = _row(table, f"{A}-1430742100", CLEANED)
    assert namesake["copy_of"] == _row(table, f"{A}-1430742100")["recording"]
    assert (table.loc[table["set"] == "uploads", "copy_of"] == "").all()
    assert (table.loc[table["set"] == "cleaned", "duplicate_of"] == "").all()


def test_near_duplicates_share_an_infant_and_empty_files_do_not(table):
    assert table["instance"].nunique() == 3
    assert table.groupby("instance")["infant"].nunique().eq(1).all()
    assert table.groupby("infant")["instance"].unique().map(set).tolist() == [
        {A.lower()},
        {B.lower(), C.lower()},
    ]


def test_processes_give_the_same_table(root, table):
    pd.testing.assert_frame_equal(manifest.build([root], jobs=2)[0], table)


def test_select_says_why_each_recording_is_left_out(table):
    uploads = manifest.select(table, "uploads")
    status = uploads.set_index("name")["status"]
    assert _row(uploads, f"{A}-1430742100")["status"] == "used"
    assert _row(uploads, f"{A}-1430742160")["status"] == "duplicate"
    assert _row(uploads, "1430742420")["status"] == "unlabelled"
    assert _row(uploads, "1430742540")["status"] == "short"
    assert _row(uploads, "1430742550")["status"] == "unusable"
    assert (uploads.loc[uploads["set"] == "cleaned", "status"] == "other set").all()
    assert set(status) <= set(manifest.STATUSES)
    assert _row(manifest.select(table, "uploads", minimum_duration_s=1), "1430742540")[
        "status"
    ] == ("used")


def test_a_recording_and_its_copy_never_count_twice(table):
    alone = manifest.select(table, "cleaned")
    assert (alone.loc[alone["set"] == "cleaned", "status"] == "used").all()
    for sets in (None, ["uploads", "cleaned"]):
        both = manifest.select(table, sets)
        assert (both.loc[both["set"] == "cleaned", "status"] == "duplicate").all()
        assert both.loc[both["status"] == "used", "recording"].is_unique


def test_copies_equal_in_bytes_in_two_corpora_count_once(root, tmp_path):
    source = next((root / UPLOADS).glob(f"{B}-1430742200*"))
    (tmp_path / "other").mkdir()
    shutil.copy(source, tmp_path / "other" / "pain_1.wav")
    shutil.copy(source, tmp_path / "other" / "pain_2.wav")
    table, _ = manifest.build([root / UPLOADS, tmp_path / "other"])
    one = manifest.select(table, "other")
    assert one.loc[one["set"] == "other", "status"].tolist() == ["used", "duplicate"]
    both = manifest.select(table)
    assert both.loc[both["set"] == "other", "status"].tolist() == ["duplicate", "duplicate"]
    assert table.loc[table["set"] == "other", "infant"].nunique() == 1


def test_select_refuses_a_set_that_is_not_there(table):
    with pytest.raises(CorpusError, match="uploads"):
        manifest.select(table, "upload")


def test_audit_lists_what_a_reader_must_know(table):
    found = manifest.audit(table)
    sets = found["sets"].set_index("set")
    assert sets.loc["uploads"].to_dict() == {
        "found": 8, "unusable": 2, "duplicate": 2, "short": 1, "unlabelled": 1, "used": 2,
        "copies": 0, "infants": 2,
    }  # fmt: skip
    assert sets.loc["cleaned", ["found", "used", "copies"]].tolist() == [2, 2, 2]
    assert len(found["problems"]) == 2
    assert found["conflicts"]["rules_matched"].tolist() == ["path_pain=tired;code_hunger=hu"]
    # One equal in bytes, one in sound, two across sets; and the two empty files are equal too.
    assert len(found["duplicates"]) == 5
    assert found["unlabelled"]["reason"].tolist() == ["dk"]
    counts = found["counts"].set_index(["set", "label"])["recordings"]
    assert counts.to_dict() == {
        ("cleaned", "hunger"): 1,
        ("cleaned", "pain"): 1,
        ("uploads", "hunger"): 1,
        ("uploads", "pain"): 1,
    }
    assert manifest.audit(table, labels="strict")["sets"]["unlabelled"].sum() == 1


def test_published_tables_name_nobody_and_decide_the_same(table):
    public = manifest.publishable(table, "salt")
    text = public.drop(columns=["sha256", "recording", "duplicate_of", "copy_of"]).to_csv()
    for instance in (A, B, C):
        assert instance.lower() not in text.lower()
    assert "14307" not in text
    assert public["instance"].str.fullmatch("[0-9a-f]{12}").all()
    assert public["instance"].nunique() == table["instance"].nunique()
    same = table["infant"] == table["instance"]
    assert ((public["infant"] == public["instance"]) == same).all()
    assert (public["name"] == "").all()
    assert public["folder"].tolist() == table["folder"].tolist()
    for preset in labels.PRESETS:
        assert (
            labels.assign(public, preset)["label"].tolist()
            == labels.assign(table, preset)["label"].tolist()
        )
    manifest.validate(public)
    other = manifest.publishable(table, "pepper")
    assert not (other["instance"] == public["instance"]).any()
    with pytest.raises(CorpusError, match="salt"):
        manifest.publishable(table, "")


def test_published_folders_keep_only_what_decides_a_label(table):
    mine = table.head(1).assign(folder="Anna Smith/2015-05-04/hungry anna", name="burp_anna.wav")
    public = manifest.publishable(mine, "salt")
    assert public["folder"].item() == "-/-/hungry"
    assert public["name"].item() == "burp"


def test_survives_parquet(table, tmp_path):
    files.write_table(tmp_path / "m.parquet", table)
    again = manifest.validate(files.read_table(tmp_path / "m.parquet"))
    pd.testing.assert_frame_equal(again, table, check_dtype=False)
    assert (manifest.select(again)["status"] == manifest.select(table)["status"]).all()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("sex", "x"),
        ("clipping_share", 1.5),
        ("recording", "XYZ"),
        ("folder", None),
        ("time_s", -1.0),
        ("reason", "zz"),
    ],
)
def test_validate_refuses_what_is_not_a_manifest(table, column, value):
    wrong = table.astype({column: object})
    wrong.loc[0, column] = value
    with pytest.raises(CorpusError, match=column):
        manifest.validate(wrong)


@pytest.mark.parametrize(
    ("column", "value"), [("label", "colic"), ("status", "perhaps"), ("conflict", "no")]
)
def test_validate_checks_labels_where_there_are_some(table, column, value):
    chosen = manifest.select(table)
    assert manifest.validate(chosen)["label"].isin(["", *labels.CLASSES]).all()
    wrong = chosen.astype({column: object})
    wrong.loc[0, column] = value
    with pytest.raises(CorpusError, match=column):
        manifest.validate(wrong)


def test_validate_refuses_missing_columns_and_unmeasured_recordings(table):
    with pytest.raises(CorpusError, match="infant"):
        manifest.validate(table.drop(columns="infant"))
    unmeasured = table.assign(duration_s=float("nan"))
    with pytest.raises(CorpusError, match="measured"):
        manifest.validate(unmeasured)


@pytest.mark.corpus
@pytest.mark.slow
def test_the_real_corpus(corpora):
    """The counts that the study's protocol names, and the 457 copies."""
    table, _ = manifest.build([corpora / "donateacry"], jobs=2)
    found = manifest.audit(table)
    counts = found["counts"].set_index(["set", "label"])["recordings"].to_dict()
    # Of 104 uploads tagged as pain, two are silent (and equal in bytes), five under 2 s.
    assert counts == {
        ("uploads", "hunger"): 742,
        ("uploads", "pain"): 97,
        ("uploads", "neurological"): 88,
        ("cleaned", "hunger"): 382,
        ("cleaned", "pain"): 48,
        ("cleaned", "neurological"): 27,
    }
    sets = found["sets"].set_index("set")
    assert sets["infants"].to_dict() == {"uploads": 379, "cleaned": 221}
    assert sets["unusable"].to_dict() == {"uploads": 2, "cleaned": 0}
    cleaned = table[table["set"] == "cleaned"]
    stems = table.set_index("recording")["name"].str.split(".", n=-1).str[:-1].str.join(".")
    originals = cleaned["copy_of"].map(stems[~stems.index.duplicated()])
    assert originals.tolist() == cleaned["name"].str.removesuffix(".wav").tolist()
    repeated = table[(table["duplicate_of"] != "")]
    assert repeated["problem"].str.startswith("silent").tolist() == [True]
    assert (table["infant"] == table["instance"]).all()
