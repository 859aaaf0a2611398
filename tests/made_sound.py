"""Recordings in formats that only FFmpeg's encoders write."""

from __future__ import annotations

import io

import av
import numpy as np

RATE = 16_000


def encoded(x: np.ndarray, codec: str, form: str, rate: int = RATE) -> bytes:
    """Samples at 16 kHz through one of FFmpeg's encoders."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = "mono"
        stream.bit_rate = 12_200 if "amr" in codec else 64_000
        context = stream.codec_context
        frame = av.AudioFrame.from_ndarray((x[None] * 32767).astype(np.int16), "s16", "mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(
            context.format.name, "mono", rate, frame_size=context.frame_size or 0
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            if piece is not None:
                piece.pts = None
            for packet in stream.encode(piece):
                container.mux(packet)
    return buffer.getvalue()
