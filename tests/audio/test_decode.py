"""Decoding recordings, good and broken."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from made_sound import RATE, encoded

from cryhear.audio import decode, readers
from cryhear.errors import AudioError

LENGTH = 2 * RATE

# A lossy codec pads its ends by up to a frame or two of 1,024 samples at each end.
PADDING = 4 * 1024
# The weakest codec here (IMA ADPCM) leaves a tone's level within a few percent.
LEVEL_TOLERANCE = 0.05
# Resampling and 16-bit storage move a sample of a 0.5 tone by well under a thousandth.
SAMPLE_TOLERANCE = 1e-3
# A resampler that is fed other pieces may round a float32 sample near 1 once more.
BLOCK_TOLERANCE = 1e-6


@pytest.fixture
def sine() -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(LENGTH) / RATE)).astype(np.float32)


def encode(path: Path, x: np.ndarray, codec: str, form: str, rate: int = RATE) -> Path:
    path.write_bytes(encoded(x, codec, form, rate))
    return path


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x[2048:-2048].astype(np.float64) ** 2)))


@pytest.mark.parametrize(
    ("suffix", "options", "codec"),
    [
        (".wav", {}, "pcm_s16"),
        (".wav", {"subtype": "FLOAT"}, "pcm_f32"),
        (".flac", {}, "flac"),
        (".ogg", {}, "vorbis"),
        (".mp3", {}, "mp3"),
        (".aiff", {}, "pcm_s16"),
    ],
)
def test_decodes_what_libsndfile_reads(tmp_path, sine, suffix, options, codec):
    path = tmp_path / f"tone{suffix}"
    soundfile.write(path, sine, RATE, **options)
    decoded = decode.decode(path)
    assert decoded.source.codec == codec
    assert decoded.samples.dtype == np.float32
    assert decoded.samples.flags["C_CONTIGUOUS"]
    assert decoded.samples.shape == (LENGTH,)
    assert rms(decoded.samples) == pytest.approx(rms(sine), rel=LEVEL_TOLERANCE)


@pytest.mark.parametrize(
    ("name", "encoder", "form", "rate", "codec"),
    [
        ("a.m4a", "aac", "ipod", RATE, "aac"),
        ("a.aac", "aac", "adts", RATE, "aac"),
        ("a.3gp", "libopencore_amrnb", "3gp", 8000, "amr_nb"),
        ("a.amr", "libopencore_amrnb", "amr", 8000, "amr_nb"),
        ("a.caf", "adpcm_ima_qt", "caf", RATE, "adpcm_ima_qt"),
        ("a.opus", "libopus", "ogg", 48_000, "opus"),
    ],
)
def test_decodes_what_ffmpeg_reads(tmp_path, sine, name, encoder, form, rate, codec):
    if encoder not in av.codecs_available:
        pytest.skip(f"this PyAV has no {encoder} encoder to make the file with")
    decoded = decode.decode(encode(tmp_path / name, sine, encoder, form, rate))
    assert (decoded.source.codec, decoded.source.sample_rate) == (codec, rate)
    assert decoded.sample_rate == RATE
    assert abs(len(decoded.samples) - LENGTH) <= PADDING
    # AMR models speech and does not keep a tone's level as well as the others.
    tolerance = 0.2 if codec == "amr_nb" else LEVEL_TOLERANCE
    assert rms(decoded.samples) == pytest.approx(rms(sine), rel=tolerance)


def test_the_content_decides_not_the_name(tmp_path, sine):
    path = encode(tmp_path / "really_m4a.wav", sine, "aac", "ipod")
    assert decode.decode(path).source.codec == "aac"


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_resamples_to_the_rate_asked_for(tmp_path, rate):
    time = np.arange(3 * rate) / rate
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * time), rate)
    decoded = decode.decode(tmp_path / "a.wav")
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)
    assert abs(len(decoded.samples) - 3 * RATE) <= 1
    n = min(len(decoded.samples), len(expected)) - RATE // 10  # the ends ring
    middle = slice(RATE // 10, n)
    assert np.abs(decoded.samples[middle] - expected[middle]).max() < SAMPLE_TOLERANCE
    assert decoded.source.duration_s == pytest.approx(3.0)


def test_keeps_its_own_rate_if_asked_and_averages_channels(tmp_path, sine):
    both = np.stack([sine, 0.5 * sine], axis=1)
    soundfile.write(tmp_path / "a.wav", both, 44_100, subtype="FLOAT")
    mixed = decode.decode(tmp_path / "a.wav", sample_rate=None)
    assert (mixed.sample_rate, mixed.source.channels) == (44_100, 2)
    np.testing.assert_allclose(mixed.samples, 0.75 * sine, atol=1e-6)  # float32 rounding


def test_a_damaged_tail_leaves_what_can_be_decoded(tmp_path, sine):
    soundfile.write(tmp_path / "a.flac", sine, RATE)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "b.flac").write_bytes(whole[: len(whole) // 2])
    decoded = decode.decode(tmp_path / "b.flac")
    assert 0.2 * LENGTH < len(decoded.samples) < 0.8 * LENGTH
    caf = encode(tmp_path / "a.caf", sine, "adpcm_ima_qt", "caf")
    (tmp_path / "b.caf").write_bytes(caf.read_bytes()[:9000])
    assert 0.2 * LENGTH < len(decode.decode(tmp_path / "b.caf").samples) < 0.8 * LENGTH


def _wav_with(path: Path, x: np.ndarray, offset: int, value: bytes) -> Path:
    soundfile.write(path, x, RATE)
    content = bytearray(path.read_bytes())
    content[offset : offset + len(value)] = value
    path.write_bytes(content)
    return path


def _broken(folder: Path, kind: str, x: np.ndarray) -> Path:
    path = folder / "x.wav"
    if kind == "missing":
        return path
    if kind in ("NaN", "infinite"):
        x = x.copy()
        x[7] = np.nan if kind == "NaN" else -np.inf
        soundfile.write(path, x, RATE, subtype="FLOAT")
    elif kind == "silent":
        soundfile.write(path, 0 * x, RATE)
    elif kind == "cancelling":
        soundfile.write(path, np.stack([x, -x], axis=1), RATE)
    elif kind == "rate":
        _wav_with(path, x, 24, struct.pack("<I", 2_000_000_000))
    elif kind == "slow":
        _wav_with(path, x, 24, struct.pack("<I", 1))
    elif kind == "no samples":
        soundfile.write(path, x, RATE)
        path.write_bytes(path.read_bytes()[:44])
    else:
        path.write_bytes(
            {
                "empty": b"",
                "text": b"These are the minutes of a meeting.\n" * 100,
                "playlist": b"#EXTM3U\n#EXTINF:10,\n/etc/hostname\n#EXT-X-ENDLIST\n",
                "concat": b"ffconcat version 1.0\nfile other.wav\n",
                "bytes": np.random.default_rng(0).bytes(5000),
            }[kind]
        )
    return path


UNREADABLE = [
    ("missing", "not a file"),
    ("empty", "empty"),
    ("text", "not audio"),
    ("playlist", "not audio"),
    ("no samples", "no samples"),
    ("NaN", "NaN or infinite"),
    ("rate", "2000000000 Hz"),
]
"""What is no recording, however it is read, and what is said of it."""


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        *UNREADABLE,
        ("concat", "not audio"),
        ("bytes", "not audio"),
        ("infinite", "NaN or infinite"),
        ("silent", "silent"),
        ("cancelling", "channels are averaged"),
        ("slow", "sample rate 1 Hz"),
    ],
)
def test_refuses_and_says_why(tmp_path, sine, kind, says):
    path = _broken(tmp_path, kind, sine)
    with pytest.raises(AudioError, match=says) as caught:
        decode.decode(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "; expected " in str(caught.value)


def test_text_is_no_sound_whatever_its_name(tmp_path):
    """libsndfile takes every file called .au for headerless 8 kHz sound."""
    (tmp_path / "notes.au").write_bytes(b"These are the minutes of a meeting.\n" * 1000)
    with pytest.raises(AudioError, match="not audio"):
        decode.decode(tmp_path / "notes.au")


def test_tags_in_another_encoding_do_not_stop_the_sound(tmp_path, sine):
    path = encode(tmp_path / "a.caf", sine, "adpcm_ima_qt", "caf")
    whole = path.read_bytes()
    tags = (b"title\0" + "Schrei von Käthe".encode("latin-1") + b"\0").ljust(30, b"\0")
    info = b"info" + struct.pack(">qI", 4 + len(tags), 1) + tags
    at = whole.index(b"data")
    path.write_bytes(whole[:at] + info + whole[at:])
    assert abs(len(decode.decode(path).samples) - LENGTH) <= PADDING


@pytest.mark.parametrize("value", [3e38, -1e19])
def test_numbers_beyond_any_sound_are_refused(tmp_path, sine, value):
    x = sine.copy()
    x[LENGTH // 2] = value
    soundfile.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="of full scale; expected at most"):
        decode.decode(tmp_path / "a.wav", sample_rate=8_000)


def test_whole_numbers_stored_as_floats_are_taken(tmp_path, sine):
    soundfile.write(tmp_path / "a.wav", sine * 32_768, RATE, subtype="FLOAT")
    assert np.abs(decode.decode(tmp_path / "a.wav").samples).max() > 16_000


def test_refuses_a_film_without_sound(tmp_path):
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(AudioError, match="no audio stream"):
        decode.decode(path)


def test_stops_at_the_limit_without_reading_on(tmp_path, sine):
    """A sparse file claims a day of sound; it is refused in less memory than ten minutes take."""
    path = _wav_with(tmp_path / "long.wav", sine, 40, struct.pack("<I", 2_700_000_000))
    with open(path, "r+b") as handle:
        handle.truncate(2_700_000_044)
    tracemalloc.start()
    with pytest.raises(AudioError, match="longer than 30 s"):
        decode.decode(path, limit_s=30.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20  # 30 s of float32 at 16 kHz is 1.9 MB, blocks 0.3 MB


def test_a_header_that_lies_costs_nothing(tmp_path, sine):
    path = _wav_with(tmp_path / "year.wav", sine, 40, b"\xff\xff\xff\xff")
    assert len(decode.decode(path).samples) == LENGTH


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("pattern", "codec", "rate"),
    [
        ("donateacry-android-upload-bucket/*.3gp", "amr_nb", 8_000),
        ("donateacry-ios-upload-bucket/*.caf", "adpcm_ima_qt", 16_000),
        ("donateacry_corpus_cleaned_and_updated_data/*/*.wav", "pcm_s16", 8_000),
    ],
)
def test_decodes_the_real_corpus(corpora, pattern, codec, rate):
    for path in sorted((corpora / "donateacry").glob(pattern))[:5]:
        decoded = decode.decode(path)
        assert (decoded.source.codec, decoded.source.sample_rate) == (codec, rate)
        assert np.isfinite(decoded.samples).all()
        assert abs(len(decoded.samples) - decoded.source.duration_s * RATE) <= 1


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [("a.wav", RATE, 1), ("a.wav", 44_100, 2), ("a.flac", 8_000, 1), ("a.ogg", 48_000, 2)],
)
def test_blocks_join_to_what_decode_gives(tmp_path, name, rate, channels):
    rng = np.random.default_rng(0)
    x = 0.1 * rng.normal(size=(5 * rate, channels)).astype(np.float32)
    soundfile.write(tmp_path / name, x, rate)
    pieces = list(decode.blocks(tmp_path / name))
    assert all(piece.ndim == 1 and piece.dtype == np.float32 for piece in pieces)
    whole = decode.decode(tmp_path / name).samples
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=BLOCK_TOLERANCE)
    assert np.abs(whole).max() > 1000 * BLOCK_TOLERANCE


def test_blocks_of_what_ffmpeg_reads_join_to_what_decode_gives(tmp_path, sine):
    path = encode(tmp_path / "a.caf", sine, "adpcm_ima_qt", "caf")
    np.testing.assert_array_equal(
        np.concatenate(list(decode.blocks(path))), decode.decode(path).samples
    )


@pytest.mark.parametrize(("kind", "says"), UNREADABLE)
def test_blocks_refuse_and_say_why(tmp_path, sine, kind, says):
    path = _broken(tmp_path, kind, sine)
    with pytest.raises(AudioError, match=says) as caught:
        list(decode.blocks(path))
    assert str(caught.value).startswith(f"{path}: ")


def test_blocks_of_silence_are_silent(tmp_path, sine):
    """A stream may be silent; what to make of it is not the decoder's to say."""
    path = _broken(tmp_path, "silent", sine)
    assert not np.concatenate(list(decode.blocks(path))).any()


@pytest.mark.parametrize("rate", [RATE, 22_050])
def test_blocks_of_a_cut_file_are_what_decode_still_reads(tmp_path, rate):
    """libsndfile gives up a cut FLAC in its middle; FFmpeg reads on."""
    x = 0.1 * np.random.default_rng(0).normal(size=16 * rate)
    for name in ("a.flac", "a.ogg", "a.mp3", "a.wav"):
        soundfile.write(tmp_path / name, x, rate)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
        expected = decode.decode(tmp_path / name).samples
        got = np.concatenate(list(decode.blocks(tmp_path / name)))
        assert len(got) == len(expected) > 9 * RATE
        np.testing.assert_allclose(got, expected, atol=BLOCK_TOLERANCE)


def test_blocks_stop_at_the_limit(tmp_path, sine):
    soundfile.write(tmp_path / "a.wav", np.tile(sine, 4), RATE)
    with pytest.raises(AudioError, match="longer than 3 s"):
        list(decode.blocks(tmp_path / "a.wav", limit_s=3.0))


def test_memory_stays_flat_while_a_long_file_is_read(tmp_path):
    """Ten minutes of sound are 38 MB as float32; a block and its resampling are 1 MB."""
    soundfile.write(tmp_path / "a.wav", np.zeros(8_000 * 600, np.int16), 8_000)
    tracemalloc.start()
    total = sum(len(piece) for piece in decode.blocks(tmp_path / "a.wav"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 600 * RATE
    assert peak < 4 * 2**20


def test_a_name_that_no_disk_takes_is_refused():
    for name in ("x" * 300 + ".wav", "a\0b.wav"):
        for read in (decode.decode, lambda path: list(decode.blocks(path))):
            with pytest.raises(AudioError, match=r"not a file|cannot be read"):
                read(name)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for read in (decode.decode, lambda path: list(decode.blocks(path))):
        with pytest.raises(AudioError, match="a pipe; expected a file; send it to standard input"):
            read(tmp_path / "pipe.wav")


def packed(x: np.ndarray, form: str, subtype: str, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, x, rate, format=form, subtype=subtype)
    return buffer.getvalue()


def ramp(seconds: float, pitch: float, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)


def xingless(data: bytes) -> bytes:
    """An MP3 of varying bit rate as an encoder writes it into a pipe: without its first, counting, frame."""
    at = next(
        i for i in range(1, len(data)) if data[i] == 0xFF and data[i + 1] == data[1] and i > 100
    )
    return data[at:]


JOINED = [
    ("WAV", "PCM_16"), ("WAVEX", "FLOAT"), ("RF64", "PCM_16"), ("WAV", "IMA_ADPCM"), ("W64", "PCM_16"),
    ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16"),
    ("AU", "PCM_16"), ("AU", "ULAW"), ("CAF", "PCM_16"), ("CAF", "ALAC_16"),
]  # fmt: skip
ENCODED = [
    ("ipod", "aac", RATE), ("adts", "aac", RATE), ("3gp", "libopencore_amrnb", 8000),
    ("amr", "libopencore_amrnb", 8000), ("caf", "adpcm_ima_qt", RATE), ("webm", "libopus", 48_000),
    ("asf", "wmav2", RATE),
]  # fmt: skip


def joined_of(form: str, codec: str, seconds: list[float], rate: int = RATE) -> bytes:
    parts = [ramp(s, 300 + 200 * i, RATE) for i, s in enumerate(seconds)]
    if any((form, codec, rate) == known for known in ENCODED):
        if codec not in av.codecs_available:
            pytest.skip(f"this PyAV has no {codec} encoder")
        return b"".join(encoded(x, codec, form, rate) for x in parts)
    return b"".join(packed(x, form, codec) for x in parts)


@pytest.mark.parametrize(("form", "codec", "rate"), [*((f, c, RATE) for f, c in JOINED), *ENCODED])
def test_joined_files_are_read_to_the_end_of_the_last(tmp_path, form, codec, rate):
    seconds = [1.0, 1.5, 0.7]
    (tmp_path / "x").write_bytes(joined_of(form, codec, seconds, rate))
    decoded = decode.decode(tmp_path / "x")
    # Each part of a lossy codec is padded to whole frames.
    assert decoded.source.duration_s == pytest.approx(sum(seconds), abs=0.3)
    pitches = [300, 500, 700]
    for at, pitch in zip((0.5, 1.75, 2.85), pitches, strict=True):
        part = decoded.samples[int((at - 0.25) * RATE) : int((at + 0.25) * RATE)]
        heard = np.argmax(np.abs(np.fft.rfft(part))) * RATE / len(part)
        assert heard == pytest.approx(pitch, abs=5)


@pytest.mark.parametrize("seconds", [3.0, 7.0])
def test_an_mp3_without_a_count_is_read_to_its_end(tmp_path, seconds):
    rng = np.random.default_rng(0)
    loud = 0.3 * rng.normal(size=RATE)  # its first frames are the largest
    x = np.concatenate([loud, ramp(seconds - 1, 440)])
    buffer = io.BytesIO()
    soundfile.write(
        buffer, x, RATE, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE"
    )
    (tmp_path / "x.mp3").write_bytes(xingless(buffer.getvalue()))
    decoded = decode.decode(tmp_path / "x.mp3")
    assert decoded.source.duration_s == pytest.approx(seconds, abs=0.2)
    assert decoded.source.warning == ""


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("second", [(8_000, 1), (24_000, 1), (RATE, 2)])
def test_a_rate_or_channels_that_change_midway(tmp_path, form, second):
    """The rest is brought to the first part's rate and channels, and that is said."""
    rate, channels = second
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(form, "PCM_16")
    rest = np.tile(ramp(1.0, 500, rate)[:, None], (1, channels))
    (tmp_path / "x").write_bytes(
        packed(ramp(1.0, 300), form, subtype) + packed(rest, form, subtype, rate)
    )
    decoded = decode.decode(tmp_path / "x")
    assert decoded.source.duration_s == pytest.approx(2.0, abs=0.2)
    part = decoded.samples[int(1.25 * RATE) : int(1.75 * RATE)]
    assert np.argmax(np.abs(np.fft.rfft(part))) * 2 == pytest.approx(500, abs=5)
    assert rms(part) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert "it goes on at" in decoded.source.warning


@pytest.mark.parametrize(
    ("form", "codec"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16"), ("CAF", "PCM_16"),
                        ("MP3", "MPEG_LAYER_III")],
)  # fmt: skip
def test_a_file_that_lost_its_end_says_so(tmp_path, form, codec):
    whole = packed(ramp(4.0, 440), form, codec)
    (tmp_path / "whole").write_bytes(whole)
    assert decode.decode(tmp_path / "whole").source.warning == ""
    (tmp_path / "x").write_bytes(whole[: len(whole) // 2])
    decoded = decode.decode(tmp_path / "x")
    assert 1.5 < decoded.source.duration_s < 2.5
    assert decoded.source.warning != ""


@pytest.mark.parametrize(
    "name",
    [
        "2024-01-15T10:30:00.m4a", "file:b.m4a", "concat:b.m4a|b.m4a", "data:audio;base64,AAAA.m4a", "-",
        "pipe:0", "crypto:b.m4a", "subfile,,start,0,end,9,,:b.m4a", "http:b.m4a", "b.m4a?x", "%03d.m4a",
    ],
)  # fmt: skip
def test_a_name_is_never_taken_for_an_address(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for path, seconds in (("b.m4a", 4.0), (name, 1.0)):
        Path(path).write_bytes(encoded(ramp(seconds, 440), "aac", "ipod"))
    assert decode.decode(name).source.duration_s == pytest.approx(1.0, abs=0.2)
    pieces = np.concatenate(list(decode.blocks(name)))
    assert len(pieces) == pytest.approx(RATE, abs=0.2 * RATE)


def test_a_long_wav_that_counts_its_bytes_is_not_searched_for_others(tmp_path, sine, monkeypatch):
    """Joined WAV files are found by their beginnings; a header that covers the file leaves none to find."""
    soundfile.write(tmp_path / "a.wav", sine, RATE)
    monkeypatch.setattr(readers, "_search", lambda *_: pytest.fail("searched"))
    assert len(decode.decode(tmp_path / "a.wav").samples) == LENGTH
