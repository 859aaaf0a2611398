"""Downloads: pinned by content, resumed, unpacked without trust."""

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
    info = zipfile.ZipInfo("top/link.wav")
    info.external_attr = (kind | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "member",
    [
        "/etc/passwd",
        "top/../../out.wav",
        "..",
        "C:/out.wav",
        "top\\..\\out.wav",
        _link(),
        _link(stat.S_IFIFO),
        _link(stat.S_IFBLK),
        "top/two\nlines.wav",
        "top/red\x1b[31m.wav",
        "top/\u202egnp.wav",
    ],
    ids=[
        "absolute",
        "climbs",
        "parent",
        "drive",
        "backslash",
        "link",
        "pipe",
        "device",
        "line",
        "escape",
        "direction",
    ],
)
def test_unpacks_nothing_from_an_unsafe_archive(tmp_path, member):
    packed, target = tmp_path / "bad.zip", tmp_path / "target"
    target.mkdir()
    packed.write_bytes(_zip([("top/good.wav", b"good"), (member, b"/etc/passwd")]))
    with pytest.raises(CorpusError, match="member"):
        fetch.extract(packed, target)
    assert list(target.iterdir()) == []
    assert not (tmp_path / "out.wav").exists()


def test_refuses_to_unpack_too_much(tmp_path):
    packed = tmp_path / "bomb.zip"
    packed.write_bytes(_zip({"top/a.wav": bytes(10**6)}))
    with pytest.raises(CorpusError, match="1,000,000 bytes"):
        fetch.extract(packed, tmp_path, largest=999_999)


def test_refuses_a_member_given_twice(tmp_path):
    packed, target = tmp_path / "twice.zip", tmp_path / "target"
    target.mkdir()
    with pytest.warns(UserWarning, match="Duplicate name"):
        packed.write_bytes(_zip([("top/a.wav", b"1"), ("top/a.wav", b"2")]))
    with pytest.raises(CorpusError, match="more than once"):
        fetch.extract(packed, target)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["top/a.wav", "top/A.WAV"], "more than once"),
        (["top/a.wav", "other/a.wav"], "more than once"),
        (["top/a", "top/a/b.wav"], "damaged"),
    ],
)
def test_refuses_members_that_would_overwrite_each_other(tmp_path, names, says):
    packed, target = tmp_path / "x.zip", tmp_path / "target"
    target.mkdir()
    packed.write_bytes(_zip(dict.fromkeys(names, b"x")))
    with pytest.raises(CorpusError, match=says):
        fetch.extract(packed, target)


def test_refuses_more_members_than_a_corpus_has(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "MOST_MEMBERS", 3)
    packed, target = tmp_path / "x.zip", tmp_path / "target"
    target.mkdir()
    packed.write_bytes(_zip({f"top/{i}": b"" for i in range(4)}))
    with pytest.raises(CorpusError, match="4 members"):
        fetch.extract(packed, target)
    assert list(target.iterdir()) == []


def test_a_bomb_gives_no_more_than_it_declares(tmp_path):
    """A member that says it holds ten bytes and unpacks to a million ends as damaged."""
    content = bytearray(_zip({"top/a.wav": bytes(10**6)}))
    for size in (content.index(b"PK\x01\x02") + 24, 22):
        content[size : size + 4] = (10).to_bytes(4, "little")
    packed, target = tmp_path / "bomb.zip", tmp_path / "target"
    target.mkdir()
    packed.write_bytes(content)
    with pytest.raises(CorpusError, match="damaged"):
        fetch.extract(packed, target)
    assert sum(p.stat().st_size for p in target.rglob("*") if p.is_file()) <= 10


class Server:
    """Stands in for requests.Session: sends a file, and may stop on the way or not resume."""

    def __init__(self, content: bytes, stops_after: int | None = None, ranges: bool = True):
        self.content, self.stops_after, self.ranges = content, stops_after, ranges
        self.starts: list[int] = []

    def get(self, url, headers, stream, timeout):
        start = int(headers["Range"].removeprefix("bytes=").removesuffix("-")) if headers else 0
        start = start if self.ranges else 0
        self.starts.append(start)
        response = requests.Response()
        response.url = url
        response.status_code = 206 if start else 200
        if start >= len(self.content):
            response.status_code = 416
        rest = self.content[start:]
        response.headers["Content-Length"] = str(len(rest))
        response.raw = io.BytesIO(rest[: self.stops_after])
        return response


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(tmp_path, ranges):
    content = bytes(range(256)) * 40
    part, out = tmp_path / "x.part", tmp_path / "x.zip"
    with pytest.raises(CorpusError, match="stopped after 4,000 bytes"):
        fetch.Resuming(part, Server(content, stops_after=4000))("https://a/x", str(out))
    assert part.stat().st_size == 4000
    server = Server(content, ranges=ranges)
    fetch.Resuming(part, server)("https://a/x", str(out))
    assert server.starts == [4000 if ranges else 0]
    assert out.read_bytes() == content
    assert not part.exists()


def test_a_part_that_the_server_does_not_have_is_dropped(tmp_path):
    part = tmp_path / "x.part"
    part.write_bytes(bytes(500))
    with pytest.raises(CorpusError, match="run the same command again"):
        fetch.Resuming(part, Server(b"short"))("https://a/x", str(tmp_path / "x.zip"))
    assert not part.exists()


def test_fetch_resumes_through_pooch(tmp_path, pinned):
    content = _zip(FILES)
    data = tmp_path / "data"
    data.mkdir()
    part = data / "toy.zip.part"
    with pytest.raises(CorpusError, match="stopped"):
        fetch.fetch("toy", data, downloader=fetch.Resuming(part, Server(content, stops_after=100)))
    server = Server(content)
    fetch.fetch("toy", data, downloader=fetch.Resuming(part, server))
    assert server.starts == [100]


@pytest.mark.corpus
@pytest.mark.parametrize("name", fetch.ARCHIVES)
def test_the_pinned_digest_is_the_real_corpus(corpora, name):
    pinned = fetch.ARCHIVES[name]
    assert fetch.digest_of(corpora / name) == (pinned.digest, pinned.recordings)
    names = [path.name for path in (corpora / name).rglob("*") if path.suffix in (".ogg", ".wav")]
    assert all(re.fullmatch(pinned.kept, found) for found in names)
