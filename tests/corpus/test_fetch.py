"""Downloads: pinned by content, unpacked below their folder only, whole or not at all."""

from __future__ import annotations

import io
import re
import stat
import zipfile
from dataclasses import replace

import pytest
import requests

from cryhear.corpus import fetch
from cryhear.errors import CorpusError

FILES = {
    "top-1/README.md": b"read me",
    "top-1/donateacry-ios-upload-bucket/a.caf": b"first",
    "top-1/donateacry-ios-upload-bucket/b.caf": b"second",
}


def _zip(members: dict[str, bytes] | list[tuple[zipfile.ZipInfo | str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def pinned(tmp_path, monkeypatch):
    """A small corpus that `fetch` knows, and a downloader that delivers given bytes."""
    source = tmp_path / "source"
    for name, content in FILES.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    digest, count = fetch.digest_of(source)
    known = fetch.Archive("https://example.org/toy.zip", count, digest, "none")
    monkeypatch.setitem(fetch.ARCHIVES, "toy", known)
    asked = []

    def deliver(content: bytes):
        def download(url, output_file, pooch):
            asked.append(url)
            with open(output_file, "wb") as out:
                out.write(content)

        return download

    return deliver, asked


def test_fetches_checks_and_unpacks(tmp_path, pinned):
    deliver, asked = pinned
    root = fetch.fetch("toy", tmp_path / "data", downloader=deliver(_zip(FILES)))
    assert root == tmp_path / "data" / "toy"
    assert (root / "donateacry-ios-upload-bucket" / "b.caf").read_bytes() == b"second"
    assert (root / "README.md").exists()
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["toy"]
    again = fetch.fetch("toy", tmp_path / "data", downloader=deliver(b""))
    assert (again, len(asked)) == (root, 1)  # what is whole is not downloaded again


def test_other_packing_of_the_same_recordings_is_accepted(tmp_path, pinned):
    deliver, _ = pinned
    other = {name.replace("top-1", "renamed"): content for name, content in FILES.items()}
    other["renamed/LICENSE"] = b"open"
    assert fetch.fetch("toy", tmp_path / "data", downloader=deliver(_zip(other))).is_dir()


def test_keeps_only_the_recordings_it_names(tmp_path, pinned, monkeypatch):
    deliver, _ = pinned
    known = fetch.ARCHIVES["toy"]
    monkeypatch.setitem(fetch.ARCHIVES, "toy", replace(known, kept=r"[a-z]\.\w+"))
    more = FILES | {"top-1/4-of-another-fold.ogg": b"left out"}
    root = fetch.fetch("toy", tmp_path / "data", downloader=deliver(_zip(more)))
    assert not list(root.rglob("*fold.ogg"))
    assert (root / "README.md").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"top-1/donateacry-ios-upload-bucket/a.caf": b"altered"},
        {"top-1/more.wav": b"added"},
    ],
)
def test_refuses_other_recordings(tmp_path, pinned, change):
    deliver, _ = pinned
    with pytest.raises(CorpusError, match="digest"):
        fetch.fetch("toy", tmp_path / "data", downloader=deliver(_zip(FILES | change)))
    assert list((tmp_path / "data").iterdir()) == []  # nothing half made is left


def test_refuses_a_folder_that_was_changed(tmp_path, pinned):
    deliver, _ = pinned
    root = fetch.fetch("toy", tmp_path, downloader=deliver(_zip(FILES)))
    (root / "donateacry-ios-upload-bucket" / "a.caf").write_bytes(b"altered")
    with pytest.raises(CorpusError, match="is there but holds 2 recordings"):
        fetch.fetch("toy", tmp_path, downloader=deliver(_zip(FILES)))


def test_refuses_what_is_no_zip(tmp_path, pinned):
    deliver, _ = pinned
    for content in (b"<html>busy</html>", _zip(FILES)[:-40]):
        with pytest.raises(CorpusError, match="damaged"):
            fetch.fetch("toy", tmp_path / "data", downloader=deliver(content))


def test_refuses_an_unknown_corpus(tmp_path):
    with pytest.raises(CorpusError, match="donateacry"):
        fetch.fetch("donateacri", tmp_path)


def _link(kind: int = stat.S_IFLNK) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("top-1/link.wav")
    info.external_attr = (kind | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "member",
    [
        "/etc/out.wav",
        "top-1/../../../out.wav",
        "..",
        "C:/out.wav",
        "top-1\\..\\out.wav",
        _link(),
        _link(stat.S_IFIFO),
        _link(stat.S_IFBLK),
        "top-1/two\nlines.wav",
        "top-1/donateacry-ios-upload-bucket/a.caf/b.wav",
        "top-1/donateacry-ios-upload-bucket/A.CAF",
        "other/a.wav",
    ],
    ids=str,
)
def test_a_member_that_does_not_belong_leaves_nothing(tmp_path, pinned, member):
    """Whatever it tries, it is written below the corpus or nowhere, and then no longer the pinned one."""
    deliver, _ = pinned
    before = {path for path in tmp_path.rglob("*") if "data" not in path.parts}
    packed = _zip([*FILES.items(), (member, b"/etc/passwd")])
    with pytest.raises(CorpusError, match=r"digest|damaged"):
        fetch.fetch("toy", tmp_path / "data", downloader=deliver(packed))
    assert list((tmp_path / "data").iterdir()) == []
    assert {path for path in tmp_path.rglob("*") if "data" not in path.parts} == before


def test_a_member_given_twice_is_refused(tmp_path, pinned):
    deliver, _ = pinned
    with pytest.warns(UserWarning, match="Duplicate name"):
        packed = _zip([*FILES.items(), ("top-1/donateacry-ios-upload-bucket/a.caf", b"2")])
    with pytest.raises(CorpusError, match="digest"):
        fetch.fetch("toy", tmp_path / "data", downloader=deliver(packed))


@pytest.mark.parametrize(
    ("limit", "value", "says"),
    [("LARGEST_BYTES", 10, "18 bytes; expected at most"), ("MOST_MEMBERS", 2, "3 members")],
)
def test_refuses_to_unpack_too_much(tmp_path, pinned, monkeypatch, limit, value, says):
    deliver, _ = pinned
    monkeypatch.setattr(fetch, limit, value)
    with pytest.raises(CorpusError, match=says):
        fetch.fetch("toy", tmp_path / "data", downloader=deliver(_zip(FILES)))
    assert list((tmp_path / "data").iterdir()) == []


def test_a_bomb_gives_no_more_than_it_declares(tmp_path, pinned):
    """A member that says it holds ten bytes and unpacks to a million ends as damaged."""
    deliver, _ = pinned
    content = bytearray(_zip({"top-1/a.wav": bytes(10**6)}))
    for size in (content.index(b"PK\x01\x02") + 24, 22):
        content[size : size + 4] = (10).to_bytes(4, "little")
    with pytest.raises(CorpusError, match="damaged"):
        fetch.fetch("toy", tmp_path / "data", downloader=deliver(bytes(content)))
    assert list((tmp_path / "data").iterdir()) == []


def test_a_download_that_stops_says_what_to_do(tmp_path, pinned):
    def stopping(url, output_file, pooch):
        raise requests.ConnectionError("the connection closed early")

    with pytest.raises(CorpusError, match=r"stopped \(the connection.*run the same command again"):
        fetch.fetch("toy", tmp_path / "data", downloader=stopping)


@pytest.mark.corpus
@pytest.mark.parametrize("name", fetch.ARCHIVES)
def test_the_pinned_digest_is_the_real_corpus(corpora, name):
    pinned = fetch.ARCHIVES[name]
    assert fetch.digest_of(corpora / name) == (pinned.digest, pinned.recordings)
    names = [path.name for path in (corpora / name).rglob("*") if path.suffix in (".ogg", ".wav")]
    assert all(re.fullmatch(pinned.kept, found) for found in names)
