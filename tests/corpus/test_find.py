"""Finding recordings, and reading what Donate-a-Cry's names say."""

from __future__ import annotations

import os
import unicodedata

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from cryhear import files
from cryhear.corpus import find as corpora_room
from cryhear.errors import CorpusError

IOS = "0D1AD73E-4C5E-45F3-85C4-9A3CB71E8856"
ANDROID = "0c8f14a9-6999-485b-97a2-913c1cbf099c"
SECOND = "96274EC9-59EB-49E3-96F3-A24D498FB7C3"
parse = corpora_room.parse_donateacry_name


def test_parses_an_ios_name():
    assert parse(f"{IOS}-1430742197-1.0-m-04-hu.caf") == corpora_room.DonateacryName(
        IOS.lower(), 1430742197.0, "ios", "1.0", "m", "04", "hu"
    )


def test_parses_an_android_name_in_milliseconds():
    found = parse(f"{ANDROID}-1431028888092-1.7-f-26-sc.3gp")
    assert found == corpora_room.DonateacryName(
        ANDROID, 1431028888.092, "android", "1.7", "f", "26", "sc"
    )


def test_the_platform_survives_conversion_to_wav():
    assert parse(f"{ANDROID}-1431028888092-1.7-m-26-sc.wav").platform == "android"
    assert parse(f"{IOS}-1430742197-1.0-m-04-hu.wav").platform == "ios"
    assert parse(f"{IOS}-1430742197-1.0-m-04-hu").platform == "ios"


@pytest.mark.parametrize(
    ("name", "time", "version"),
    [
        (f"{IOS}-1426957748.47029-1-{SECOND}-f-26-ti.caf.caf", 1426957748.47029, "1"),
        (f"{IOS}-1426958010-1.0-{SECOND}-f-26-ti.caf.caf", 1426958010.0, "1.0"),
    ],
)
def test_the_two_odd_names(name, time, version):
    found = parse(name)
    assert (found.instance, found.time_unix, found.app_version) == (IOS.lower(), time, version)
    assert (found.platform, found.sex, found.age_band, found.reason) == ("ios", "f", "26", "ti")


@pytest.mark.parametrize(
    "name",
    [
        "cry.wav",
        "",
        f"{IOS}-1430742197-1.0-x-04-hu.caf",
        f"{IOS}-1430742197-1.0-m-05-hu.caf",
        f"{IOS}-1430742197-1.0-m-04-zz.caf",
        f"{IOS}-14307-1.0-m-04-hu.caf",
        f"{IOS}-1430742197-1.0-m-04-hu_copy.caf",
    ],
)
def test_other_names_are_not_taken_for_it(name):
    assert parse(name) is None


@pytest.fixture
def tree(tmp_path):
    """A root with both of Donate-a-Cry's sets, other recordings, and things to pass over."""
    root = tmp_path / "mixed"
    files = [
        f"donateacry-ios-upload-bucket/{IOS}-1430742197-1.0-m-04-hu.caf",
        f"donateacry_corpus_cleaned_and_updated_data/hungry/{IOS}-1430742197-1.0-m-04-hu.wav",
        "ward/tired/one.WAV",
        "top.flac",
        "ward/notes.txt",
        "ward/.hidden.wav",
        ".cache/x.wav",
    ]
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_finds_recordings_by_folder_and_name(tree):
    table = corpora_room.find_recordings(tree)
    assert tuple(table.columns) == corpora_room.COLUMNS
    assert table["folder"].tolist() == [
        "",
        "donateacry-ios-upload-bucket",
        "donateacry_corpus_cleaned_and_updated_data/hungry",
        "ward/tired",
    ]
    assert table["set"].tolist() == ["mixed", "uploads", "cleaned", "mixed"]
    assert table["corpus"].unique().tolist() == ["mixed"]
    assert table["reason"].tolist() == ["", "hu", "hu", ""]
    assert table["instance"].tolist() == [
        "mixed/top.flac",
        IOS.lower(),
        IOS.lower(),
        "mixed/ward/tired/one.WAV",
    ]
    assert table["time_unix"].isna().tolist() == [True, False, False, True]
    assert (table["problem"] == "").all()
    assert all(os.path.isabs(path) and os.path.isfile(path) for path in table["path"])


def test_the_set_comes_from_the_root_too(tree):
    bucket = corpora_room.find_recordings(tree / "donateacry-ios-upload-bucket")
    assert (bucket["set"].tolist(), bucket["folder"].tolist()) == (["uploads"], [""])


def test_links_out_of_the_root_are_listed_not_followed(tree, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.wav").write_bytes(b"x")
    (tree / "out.wav").symlink_to(outside / "secret.wav")
    (tree / "folder").symlink_to(outside, target_is_directory=True)
    (tree / "gone.wav").symlink_to(tree / "nothing.wav")
    (tree / "in.wav").symlink_to(tree / "top.flac")
    os.mkfifo(tree / "pipe.wav")
    table = corpora_room.find_recordings(tree).set_index("name")["problem"]
    assert "leaves the root" in table["out.wav"]
    assert "link to a folder" in table["folder"]
    assert "link to nothing" in table["gone.wav"]
    assert "regular file" in table["pipe.wav"]
    assert table["in.wav"] == ""
    assert "secret.wav" not in table.index


def test_a_name_that_is_not_utf8_is_listed(tree):
    bad = os.fsencode(tree) + b"/\xff.wav"
    try:
        with open(bad, "wb") as handle:
            handle.write(b"x")
    except OSError:
        pytest.skip("this file system holds no such names")
    table = corpora_room.find_recordings(tree)
    row = table[table["problem"] != ""]
    assert row["name"].tolist() == ["\\udcff.wav"]
    assert "UTF-8" in row["problem"].item()


def test_several_roots_make_one_table(tree, tmp_path):
    other = tmp_path / "b" / "mixed"
    other.mkdir(parents=True)
    (other / "top.flac").write_bytes(b"y")
    table = corpora_room.find_all([tree, other, tree / "ward", tree])
    assert len(table) == 5
    assert table["path"].is_unique
    assert table["instance"].nunique() == 4
    last = table.iloc[-1]
    assert (last["corpus"], last["set"]) == ("mixed-2", "mixed-2")
    assert last["instance"] == "mixed-2/top.flac"


def test_hashed_gives_each_content_once(tree):
    table, refused = corpora_room.hashed([tree])  # all files of the tree hold the same byte
    assert table["recording"].tolist() == ["2d711642b726b044"]
    assert os.path.isfile(table["path"][0])
    assert refused.empty


def test_hashed_lists_what_cannot_be_opened_and_goes_on(tree, monkeypatch):
    (tree / "out.wav").symlink_to("/etc/hostname")

    def sha256_of(path):
        if path.endswith("one.WAV"):
            raise PermissionError(13, "Permission denied", path)
        return files.sha256_of(path)

    monkeypatch.setattr(corpora_room, "sha256_of", sha256_of)
    table, refused = corpora_room.hashed([tree])
    assert len(table) == 1
    said = {os.path.basename(path): problem for path, problem in refused.to_numpy()}
    assert said["one.WAV"] == "cannot be read (Permission denied)"
    assert "leaves the root" in said["out.wav"]


def test_refuses_roots_without_recordings(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="not a folder"):
        corpora_room.find_recordings(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="holds no recording"):
        corpora_room.find_recordings(tmp_path / "empty")
    with pytest.raises(CorpusError, match="no root"):
        corpora_room.find_all([])


@pytest.mark.corpus
def test_the_real_corpus(corpora):
    table = corpora_room.find_recordings(corpora / "donateacry")
    assert table.groupby("set").size().to_dict() == {"uploads": 1128, "cleaned": 457}
    assert (table["reason"] != "").all()
    uploads = table[table["set"] == "uploads"]
    assert uploads["instance"].nunique() == 411
    assert uploads["platform"].value_counts().to_dict() == {"android": 712, "ios": 416}
    assert table.loc[table["set"] == "cleaned", "instance"].nunique() == 221
    assert table["time_unix"].between(1.42e9, 1.45e9).all()  # 2015


IDS = st.text(
    st.characters(exclude_characters="/\\\0", exclude_categories=["Cs", "Cc"]),
    min_size=1,
    max_size=30,
)


@given(
    IDS.filter(lambda i: i.strip() == i and i[0] != "."),
    st.sampled_from(["1430742197000", "1430742197", "1430742197.25"]),
)
@settings(deadline=None)
def test_any_id_is_read_and_its_capitals_do_not_matter(identity, time):
    rest = f"-{time}-1.0-f-26-bp.wav"
    found = parse(identity + rest)
    assert (found.sex, found.age_band, found.reason) == ("f", "26", "bp")
    assert (
        found.instance == parse(unicodedata.normalize("NFD", identity.casefold()) + rest).instance
    )
    assert corpora_room.near_miss(identity + rest) == ""


@pytest.mark.parametrize(
    "ids", [("baby07", "Baby07"), ("ward-3-b1", "WARD-3-B1"), ("Zo\u00eb", "Zoe\u0308"), ("7", "7")]
)
def test_recordings_of_one_id_are_of_one_infant(tmp_path, ids):
    for folder, identity in zip("ab", ids, strict=True):
        (tmp_path / folder).mkdir()
        for n in range(3):
            (tmp_path / folder / f"{identity}-{1430742197000 + n}-1.0-m-04-hu.wav").write_bytes(
                b"x"
            )
    assert corpora_room.find_recordings(tmp_path)["instance"].nunique() == 1
    assert corpora_room.find_all([tmp_path / "a", tmp_path / "b"])["instance"].nunique() == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("baby07-1430742197000-1.0-m-05-hu.wav", "age is '05'"),
        ("baby07_1430742197000_1.0_m_04_hu.wav", "separator is '_'"),
        ("baby07-143074219700-1.0-m-04-hu.wav", "time is '143074219700'"),
        ("baby07-1430742197000-1.0-m-04-hu (1).wav", "' (1)' follows the reason"),
        ("baby07-1430742197000-1.0-m-04-hu-2.wav", "'-2' follows the reason"),
        ("1430742197000-1.0-m-04-hu.wav", "the id is missing"),
        ("baby07-1430742197000-m-04-hu.wav", "version is missing"),
        ("baby07-1430742197000-1.0-m-04.wav", "reason is missing"),
        ("baby07-1430742197000-1.0-m-04-hungry.wav", "reason is 'hungry'"),
        ("baby07-1430742197000-1.0-male-04-hu.wav", "sex is 'male'"),
        ("baby07-1430742197000-v1-f-26-dc.m4a", "version is 'v1'"),
        ("cry-3.wav", ""), ("a-b-c-d-e-f.wav", ""), ("2024-01-15-10-30-00.wav", ""),
        ("baby07_hungry_2.wav", ""),
    ],
)  # fmt: skip
def test_near_misses_say_what_is_wrong(name, says):
    assert parse(name) is None
    found = corpora_room.near_miss(name)
    assert says in found
    assert bool(found) == bool(says)


def test_a_root_that_is_a_link_keeps_the_name_it_was_given(tmp_path, monkeypatch):
    (tmp_path / "2023-01").mkdir()
    (tmp_path / "2023-01" / "hungry.wav").write_bytes(b"x")
    (tmp_path / "cries").symlink_to("2023-01")
    (tmp_path / "again").symlink_to("cries")
    monkeypatch.chdir(tmp_path)
    for root, name in (
        ("cries", "cries"),
        ("again", "again"),
        ("./cries/", "cries"),
        ("2023-01/../cries", "cries"),
    ):
        table = corpora_room.find_recordings(root)
        assert (table["set"].item(), table["corpus"].item()) == (name, name)
        assert table["instance"].item() == f"{name}/hungry.wav"
    assert corpora_room.find_all(["cries", "2023-01"])["set"].tolist() == ["cries"]


def test_sound_of_any_ending_is_found_and_the_rest_is_listed(tmp_path, tone):
    for name in ("a.3ga", "b", "c.data", "d.WAV"):
        soundfile.write(tmp_path / "t.wav", tone(1.0), 16_000)
        (tmp_path / "t.wav").rename(tmp_path / name)
    others = {
        "notes.txt": b"minutes", "photo.jpg": b"\xff\xd8\xff\xe0" + b"\0" * 99, "empty": b"",
        "photo.heic": b"\0\0\0\x18ftypheic" + b"\0" * 99, "page.webp": b"RIFF\1\0\0\0WEBPVP8 ",
        "utf16.csv": "a,b".encode("utf-16"), ".DS_Store": b"\0",
    }  # fmt: skip
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    assert corpora_room.find_recordings(tmp_path)["name"].tolist() == [
        "a.3ga",
        "b",
        "c.data",
        "d.WAV",
    ]
    listed = corpora_room.passed_over([tmp_path])
    assert set(listed["file"]) == set(others)
    assert (listed["reason"] != "").all()
