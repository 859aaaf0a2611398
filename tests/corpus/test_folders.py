"""What lies below a folder: nothing in it is trusted, and nothing stops the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cryhear.corpus import find, folders, manifest
from cryhear.errors import CorpusError


def problems(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): said for path, said in folders.walk(root)}


def test_links_in_a_circle_are_listed(tmp_path):
    (tmp_path / "good.wav").write_bytes(b"x")
    (tmp_path / "a.wav").symlink_to("b.wav")
    (tmp_path / "b.wav").symlink_to("a.wav")
    (tmp_path / "self").symlink_to(".")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    found = problems(tmp_path)
    assert found["good.wav"] == ""
    assert found["a.wav"].startswith("cannot be reached")
    assert found["b.wav"].startswith("cannot be reached")
    assert "link to a folder" in found["self"]
    assert "leaves the root" in found["zero.wav"]


def test_a_root_that_is_a_link_in_a_circle_is_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(CorpusError, match="not a folder"):
        find.find_all([tmp_path / "a"])


def test_a_tree_nested_deeper_than_the_stack_is_walked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    depth = 1100  # Python's stack holds 1000 calls
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    Path("deep.wav").write_bytes(b"x")
    (found,) = problems(tmp_path).items()
    Path("deep.wav").unlink()
    for _ in range(depth):  # pytest's own clearing away would outgrow the stack
        os.chdir("..")
        os.rmdir("d")
    assert found[0].endswith("d/deep.wav")
    assert found[1] == ""


def test_a_closed_folder_is_listed(tmp_path, monkeypatch):
    (tmp_path / "good.wav").write_bytes(b"x")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refusing(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # root may read every folder
    assert problems(tmp_path) == {
        "good.wav": "",
        "closed": "a folder that cannot be read (Permission denied)",
    }


def test_a_folder_named_like_a_recording_is_looked_into(tmp_path):
    (tmp_path / "x.wav").mkdir()
    (tmp_path / "x.wav" / "in.wav").write_bytes(b"x")
    assert problems(tmp_path) == {"x.wav/in.wav": ""}


def test_a_file_of_a_year_is_not_read_to_its_end(tmp_path):
    with open(tmp_path / "year.wav", "wb") as handle:
        handle.truncate(10**12)  # sparse: it takes no room
    assert "1,000,000,000,000 bytes" in problems(tmp_path)["year.wav"]


def test_a_root_of_which_nothing_may_be_opened_says_why(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(CorpusError, match=r"1 cannot: .*pipe\.wav is not a regular file"):
        find.find_all([tmp_path])


@pytest.mark.parametrize(
    "name",
    [
        "two\nlines.wav", "tab\tand\rreturn.wav", 'quote".wav', "<script>alert(1)<.wav", "-rf.wav",
        "a..b.wav", "| a | b |.wav", "{num}`x`.wav", "\x1b[31m.wav", "\u202egnp.wav", "n" * 250 + ".wav",
    ],
)  # fmt: skip
def test_any_name_makes_a_valid_manifest(tmp_path, tone, name):
    import soundfile

    soundfile.write(tmp_path / "x.wav", tone(2.5), 16_000)
    (tmp_path / "x.wav").rename(tmp_path / name)
    (tmp_path / "broken.wav").write_text("text")
    table, _ = manifest.build([tmp_path])
    row = table.set_index("name").loc[name]
    assert (row["problem"], row["duration_s"]) == ("", 2.5)


def test_a_set_named_by_a_folder_may_hold_anything(tmp_path, tone):
    import soundfile

    root = tmp_path / "two\nlines <b>"
    root.mkdir()
    soundfile.write(root / "x.wav", tone(2.5), 16_000)
    table, _ = manifest.build([root])
    assert table["set"].tolist() == ["two\nlines <b>"]
