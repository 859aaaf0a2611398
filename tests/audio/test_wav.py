"""WAV from files and pipes: the sound as it was written, or a refusal by name; never noise."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from cryhear.audio import decode
from cryhear.audio import wav as wavs
from cryhear.errors import AudioError

RATE = 16_000
SUBTYPES = {
    "u8": "PCM_U8", "s16le": "PCM_16", "s24le": "PCM_24", "s32le": "PCM_32", "f32le": "FLOAT",
    "f64le": "DOUBLE", "alaw": "ALAW", "mulaw": "ULAW",
}  # fmt: skip
GUID = bytes.fromhex("000000001000800000aa00389b71")
ONE_STEP = 1.01 / 32768
"""Sound that was stored in 16 bits and read again."""


def written(x, subtype="PCM_16", form="WAV"):
    buffer = io.BytesIO()
    soundfile.write(buffer, x, RATE, subtype=subtype, format=form)
    return buffer.getvalue()


def noise(channels=2, n=1000):
    return np.random.default_rng(0).uniform(-0.9, 0.9, (n, channels)).astype(np.float32)


def fmt(tag=1, channels=1, rate=RATE, block=None, bits=16, more=b""):
    block = channels * bits // 8 if block is None else block
    byte_rate = (rate * block) % 2**32
    return struct.pack("<HHIIHH", tag, channels, rate, byte_rate, block % 2**16, bits) + more


def extensible(tag=1, bits=16, valid=None, **how):
    more = struct.pack("<HHI", 22, bits if valid is None else valid, 0) + struct.pack("<H", tag)
    return fmt(0xFFFE, bits=bits, more=more + GUID, **how)


def chunk(name, body, size=None, pad=True):
    size = len(body) if size is None else size
    return name + struct.pack("<I", size) + body + b"\0" * (len(body) % 2 if pad else 0)


def riff(*chunks, name=b"RIFF"):
    body = b"".join(chunks)
    return name + struct.pack("<I", len(body) + 4) + b"WAVE" + body


PLAIN = fmt()


def header(data=b"", fmt=PLAIN, length=None, before=b""):
    return riff(chunk(b"fmt ", fmt), before, chunk(b"data", data, length))


def piped(data):
    """What a pipe gives: samples and notes."""
    found = wavs.Wav(io.BytesIO(data).read)
    size = 100 * found.format.width
    pieces = [
        found.format.samples(p[: len(p) - len(p) % found.format.width]) for p in found.data(size)
    ]
    return np.concatenate([*pieces, np.zeros((0, found.format.channels), np.float32)]), found


def both(tmp_path, data):
    """The sound as a file and as a pipe give it, which must be the same, or both refuse."""
    (tmp_path / "x.wav").write_bytes(data)
    try:
        one = decode.decode(tmp_path / "x.wav", sample_rate=None)
    except AudioError as error:
        with pytest.raises(AudioError):
            piped(data)
        raise AudioError(str(error)) from None
    many, found = piped(data)
    np.testing.assert_array_equal(one.samples, many.mean(axis=1, dtype=np.float32))
    assert one.source.channels == many.shape[1]
    assert one.sample_rate == found.format.rate
    return many, one.source.warning


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize("encoding", SUBTYPES)
def test_every_encoding_is_read_as_libsndfile_reads_it(encoding, form):
    data = written(noise(), SUBTYPES[encoding], form)
    read, found = piped(data)
    assert (found.format.encoding, found.format.rate, found.format.channels) == (encoding, RATE, 2)
    assert found.length == 1000 * found.format.width
    expected = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, expected)


SOUND = (noise(1)[:, 0] * 32767).astype("<i2")
BYTES = SOUND.tobytes()


@pytest.mark.parametrize("length", [0, 0x7FFF0000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_length_that_stands_for_unknown_is_no_length(tmp_path, length):
    data = header(BYTES, length=length)
    assert wavs.Wav(io.BytesIO(data).read).length is None
    heard, warning = both(tmp_path, data)
    assert len(heard) == len(SOUND)
    assert warning == ""


def ds64(data_length):
    return chunk(b"ds64", struct.pack("<QQQI", 0, data_length, 0, 0))


SOME = chunk(b"data", BYTES, 2**32 - 1)
FMT = chunk(b"fmt ", fmt())
LIST = chunk(b"LIST", b"INFOISFT\x04\0\0\0abcd")
WHOLE = {
    "RF64": riff(ds64(2000), FMT, SOME, LIST, name=b"RF64"),
    "BW64": riff(ds64(2000), FMT, SOME, LIST, name=b"BW64"),
    "RF64 of unknown length": riff(ds64(0), FMT, SOME, name=b"RF64"),
    "RF64 with -1": riff(ds64(2**64 - 1), FMT, SOME, name=b"RF64"),
    "RF64 of ordinary length": riff(ds64(0), FMT, chunk(b"data", BYTES), LIST, name=b"RF64"),
    "chunk after": riff(FMT, chunk(b"data", BYTES), LIST),
    "odd chunk before": header(BYTES, before=chunk(b"LIST", b"INFOx")),
    "odd chunk unpadded": header(BYTES, before=chunk(b"LIST", b"INFOx", pad=False)),
    "odd chunks": header(BYTES, before=chunk(b"junk", b"x", pad=False) + chunk(b"junk", b"abc")),
    "two data chunks": riff(FMT, chunk(b"data", BYTES[:1000]), LIST, chunk(b"data", BYTES[1000:])),
    "an empty data chunk first": riff(FMT, chunk(b"data", b""), LIST, chunk(b"data", BYTES)),
    "joined": header(BYTES[:600]) + header(BYTES[600:1400]) + header(BYTES[1400:]),
    "joined, then a chunk": header(BYTES[:600]) + LIST + header(BYTES[600:]) + LIST,
    "extensible": header(BYTES, extensible()),
    "long fmt": header(BYTES, fmt() + b"\0\0"),
    "wrong byte rate": header(BYTES, struct.pack("<HHIIHH", 1, 1, RATE, 7, 2, 16)),
    "tag after": header(BYTES) + b"TAG".ljust(128, b"\0"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WHOLE)
def test_the_whole_sound_and_nothing_else_is_read(tmp_path, kind):
    heard, warning = both(tmp_path, WHOLE[kind])
    np.testing.assert_allclose(heard[:, 0], SOUND / 32768, atol=1e-7)
    assert warning == ""


def wide(x, shift):
    return (np.round(x.astype(float) * 8388607).astype("<i4") << shift).tobytes()


@pytest.mark.parametrize(
    ("data", "scale"),
    [
        (header(wide(noise(1), 8), fmt(bits=32)), 1.0),
        (header(wide(noise(1), 8), extensible(bits=32, valid=24)), 1.0),
        (header((SOUND & ~15).tobytes(), fmt(bits=12, block=2)), 0.9999),
        (header(noise(1).tobytes(), extensible(3, bits=32)), 1.0),
    ],
)
def test_samples_wider_than_their_bits_are_read_from_the_top(tmp_path, data, scale):
    heard, _ = both(tmp_path, data)
    assert np.corrcoef(heard[:, 0], noise(1)[:, 0])[0, 1] >= 0.999 * scale


REFUSED = {
    "24 bits in 4 bytes": (header(wide(noise(1), 0), fmt(bits=24, block=4)), "4 bytes to 1 samples of 24"),
    "20 bits in 4 bytes": (header(wide(noise(1), 0), fmt(bits=20, block=4)), "4 bytes to 1 samples of 20"),
    "16 bits in 4 bytes": (header(BYTES, fmt(block=4)), "4 bytes to 1 samples of 16 bits"),
    "two channels in one's bytes": (header(BYTES, fmt(channels=2, block=2)), "2 bytes to 2 samples"),
    "block of 0": (header(BYTES, fmt(block=0)), "0 bytes to 1 samples"),
    "24 in 4, extensible": (header(wide(noise(1), 0), extensible(bits=24, block=4)), "4 bytes to 1"),
    "floats called integers": (header(noise(1).tobytes(), fmt(bits=32)), "the header calls integers"),
    "floats called integers, quiet": (header((noise(1) * 1e-3).tobytes(), fmt(bits=32)), "calls integers"),
    "floats called integers, extensible": (header(noise(1).tobytes(), extensible(bits=32)), "calls integers"),
    "fmt of 14 bytes": (header(BYTES, fmt()[:14]), "cut short"),
    "fmt of 2 bytes": (header(BYTES, b"\1\0"), "cut short"),
    "0 channels": (header(BYTES, fmt(channels=0)), "0 channels"),
    "65 channels": (header(BYTES, fmt(channels=65)), "65 channels"),
    "0 Hz": (header(BYTES, fmt(rate=0)), "rate 0 Hz"),
    "no fmt": (riff(chunk(b"data", BYTES)), "without sound"),
    "fmt after the sound": (riff(chunk(b"data", BYTES), chunk(b"fmt ", fmt())), "without sound"),
    "two ways of storing": (header(BYTES) + header(BYTES, fmt(rate=8000)), "stored in different ways"),
    "two channels, then one": (header(BYTES, fmt(channels=2)) + header(BYTES), "stored in different ways"),
    "two fmt chunks": (header(BYTES, before=chunk(b"fmt ", fmt(bits=8))), "stored in different ways"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_header_that_contradicts_itself_is_refused_by_file_and_pipe(tmp_path, kind):
    data, says = REFUSED[kind]
    with pytest.raises(AudioError, match=says):
        both(tmp_path, data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "does not start with a WAV header"),
        (b"RIFF", "does not start with a WAV header"),
        (b"\0" * 4096, "--format s16le"),
        (b"RIFF\0\0\0\0AVI " + b"\0" * 64, "does not start with a WAV header"),
        (b"RIFF\0\0\0\0WAVE", "without sound"),
        (header()[:20], "without sound"),
        (header()[:40], "without sound"),
        (header(fmt=fmt(17, block=256, bits=4)), "encoding 17 with 4 bits"),
        (header(fmt=fmt(3, bits=16)), "encoding 3 with 16 bits"),
        (header(fmt=extensible()[:30]), "encoding 65534"),
        (header(fmt=fmt(rate=2**32 - 1)), "4294967295 Hz"),
        (header(before=b"JUNK" + struct.pack("<I", 2**32 - 1)), "without sound"),
    ],
)
def test_a_stream_that_cannot_be_read_is_refused(data, says):
    with pytest.raises(AudioError, match=says):
        wavs.Wav(io.BytesIO(data).read)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (header(BYTES)[:-800], "800 bytes more than there are"),
        (header(BYTES, length=len(BYTES) + 10**6), "1,000,000 bytes more"),
        (header(BYTES, length=400), "1,600 bytes after the sound"),
        (header(BYTES) + b"\xff\xfe" * 500, "1,000 bytes after the sound"),
    ],
)
def test_lengths_that_disagree_are_noted(tmp_path, data, says):
    (tmp_path / "x.wav").write_bytes(data)
    assert says in decode.decode(tmp_path / "x.wav").source.warning


@given(
    parts=st.lists(st.integers(0, 300), min_size=1, max_size=4),
    odd=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=3),
    unknown=st.booleans(), long=st.booleans(), stereo=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_however_it_is_cut_into_chunks_the_sound_is_the_same(parts, odd, unknown, long, stereo):
    """Any number of `data` chunks among others, padded or not, under a short or a long header."""
    channels = 1 + stereo
    pieces = np.split(
        np.arange(1, sum(parts) * channels + 1, dtype="<i2"), np.cumsum(parts[:-1]) * channels
    )
    data = [chunk(b"data", piece.tobytes()) for piece in pieces]
    between = [chunk(b"junk", b"n" * n, pad=pad) for n, pad in odd]
    if long:
        data[0] = chunk(b"data", pieces[0].tobytes(), 2**32 - 1 if pieces[0].nbytes else None)
    if unknown:
        data[-1] = chunk(b"data", pieces[-1].tobytes(), 0)
    first = [ds64(pieces[0].nbytes)] if long else []
    whole = [*first, *between, chunk(b"fmt ", fmt(channels=channels)), *between]
    for piece in data:
        whole += [piece, *(between if not unknown else [])]
    read, _ = piped(riff(*whole, name=b"RF64" if long else b"RIFF"))
    np.testing.assert_array_equal(read.ravel() * 32768, np.concatenate(pieces))


def test_a_chunk_that_claims_gigabytes_is_not_read():
    asked = []

    def read(size):
        asked.append(size)
        return stream.read(size)

    stream = io.BytesIO(header(before=b"JUNK" + struct.pack("<I", 2**31)))
    with pytest.raises(AudioError, match="without sound"):
        wavs.Wav(read)
    assert max(asked) <= wavs.LARGEST_CHUNK


def test_integers_of_32_bits_are_not_taken_for_floats():
    rng = np.random.default_rng(0)
    for scale in (1, 100, 10**5, 10**8, 2**31 - 1):
        x = (rng.uniform(-1, 1, 2000) * scale).astype("<i4")
        read = wavs.Format("s32le", RATE, 1).samples(x.tobytes())
        np.testing.assert_allclose(read[:, 0], x / 2**31, atol=1e-7)


def test_numbers_that_are_no_sound_do_not_warn(recwarn):
    form = wavs.Format("f64le", RATE, 1)
    read = form.samples(struct.pack("<4d", 1e300, float("nan"), float("-inf"), 0.5))
    assert read[3, 0] == 0.5
    assert not np.isfinite(read[:3]).any()
    signalling = wavs.Format("f32le", RATE, 1).samples(struct.pack("<I", 0x7FA00000))
    assert np.isnan(signalling).all()
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
            read, _ = piped(bytes(data))
        except AudioError:
            continue
        assert read.ndim == 2


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_raw_samples_of_24_bits_in_4_bytes_are_refused(cut):
    form = wavs.Format("s24le", RATE, 1)
    x = np.round(noise(1)[:, 0] * 8388607).astype("<i4")
    wide = x.tobytes()[cut:]
    with pytest.raises(AudioError, match="24 bits in 4 bytes; expected 3 bytes a sample"):
        form.samples(wide[: len(wide) // 3 * 3])


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-5, 0.0])
def test_samples_of_24_bits_at_any_level_are_taken(scale):
    form = wavs.Format("s24le", RATE, 1)
    x = np.round(noise(1)[:, 0] * scale * 8388607).astype("<i4")
    packed = x.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    np.testing.assert_allclose(form.samples(packed)[:, 0], x / 8388608, atol=1e-7)
