"""Bytes become samples as libsndfile reads them, and a header is believed only as far as it can be."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from cryhear.errors import AudioError
from cryhear.prediction import pcm

RATE = 16_000
SUBTYPES = {
    "u8": "PCM_U8", "s16le": "PCM_16", "s24le": "PCM_24", "s32le": "PCM_32", "f32le": "FLOAT",
    "f64le": "DOUBLE",
}  # fmt: skip


def wav(x, subtype="PCM_16", form="WAV"):
    buffer = io.BytesIO()
    soundfile.write(buffer, x, RATE, subtype=subtype, format=form)
    return buffer.getvalue()


def noise(channels=2, n=1000):
    return np.random.default_rng(0).uniform(-0.9, 0.9, (n, channels)).astype(np.float32)


PLAIN = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)


def header(data=b"", fmt=PLAIN, length=None, before=b""):
    size = len(data) if length is None else length
    chunks = (
        b"fmt " + struct.pack("<I", len(fmt)) + fmt + before + b"data" + struct.pack("<I", size)
    )
    return b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + chunks + data


@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
@pytest.mark.parametrize("encoding", pcm.ENCODINGS)
def test_every_encoding_is_read_as_libsndfile_reads_it(encoding, form):
    data = wav(noise(), SUBTYPES[encoding], form)
    stream = io.BytesIO(data)
    found = pcm.wav_header(stream.read)
    assert (found.encoding, found.rate, found.channels) == (encoding, RATE, 2)
    sound = stream.read(found.length)
    assert len(sound) == 1000 * found.width
    expected = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0]
    read = found.samples(sound)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("length", [0, 0x7FFF0000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_length_that_stands_for_unknown_is_no_length(length):
    assert pcm.wav_header(io.BytesIO(header(length=length)).read).length is None
    assert pcm.wav_header(io.BytesIO(header(length=64)).read).length == 64


def test_chunks_before_the_sound_are_passed_over():
    odd = b"LIST" + struct.pack("<I", 5) + b"INFOx" + b"\0"
    stream = io.BytesIO(header(b"\1\0" * 8, before=odd))
    assert pcm.wav_header(stream.read).length == 16
    assert stream.read() == b"\1\0" * 8


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "does not start with a WAV header"),
        (b"RIFF", "does not start with a WAV header"),
        (b"\0" * 4096, "--format s16le"),
        (b"RIFF\0\0\0\0AVI " + b"\0" * 64, "does not start with a WAV header"),
        (b"RIFF\0\0\0\0WAVE", "without sound"),
        (header()[:20], "cut short"),
        (header()[:40], "without sound"),
        (header(fmt=b"\1\0"), "cut short"),
        (header(fmt=struct.pack("<HHIIHH", 6, 1, 8000, 8000, 1, 8)), "encoding 6 with 8 bits"),
        (header(fmt=struct.pack("<HHIIHH", 1, 0, RATE, 0, 0, 16)), "0 channels"),
        (header(fmt=struct.pack("<HHIIHH", 1, 65, RATE, 0, 0, 16)), "65 channels"),
        (header(fmt=struct.pack("<HHIIHH", 1, 1, 0, 0, 0, 16)), "0 Hz"),
        (header(fmt=struct.pack("<HHIIHH", 1, 1, 2**32 - 1, 0, 0, 16)), "4294967295 Hz"),
        (b"RIFF\0\0\0\0WAVEdata" + struct.pack("<I", 8) + b"\0" * 8, "without sound"),
        (header(before=b"JUNK" + struct.pack("<I", 2**32 - 1)), "without sound"),
    ],
)
def test_a_header_that_cannot_be_believed_is_refused(data, says):
    with pytest.raises(AudioError, match=says):
        pcm.wav_header(io.BytesIO(data).read)


def test_a_chunk_that_claims_gigabytes_is_not_read():
    asked = []

    def read(size):
        asked.append(size)
        return stream.read(size)

    stream = io.BytesIO(header(before=b"JUNK" + struct.pack("<I", 2**31)))
    with pytest.raises(AudioError, match="without sound"):
        pcm.wav_header(read)
    assert max(asked) <= pcm.LARGEST_CHUNK


def test_numbers_that_are_no_sound_do_not_warn(recwarn):
    form = pcm.Format("f64le", RATE, 1)
    read = form.samples(struct.pack("<4d", 1e300, float("nan"), float("-inf"), 0.5))
    assert read[3, 0] == 0.5
    assert not np.isfinite(read[:3]).any()
    assert not recwarn.list


def test_random_bytes_are_a_header_or_refused():
    rng = np.random.default_rng(0)
    whole = header(b"\0" * 64)
    for _ in range(500):
        data = bytearray(whole[: int(rng.integers(0, len(whole)))])
        for place in rng.integers(0, max(1, len(data)), 3):
            if data:
                data[place] = int(rng.integers(0, 256))
        try:
            found = pcm.wav_header(io.BytesIO(bytes(data)).read)
        except AudioError:
            continue
        assert found.width > 0
