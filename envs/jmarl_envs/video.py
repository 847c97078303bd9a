"""Rows of images as an MP4. The only module that imports PyAV, which brings its own ffmpeg."""

import io
from collections.abc import Sequence
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

CODEC = "libx264"  # with yuv420p and even sides what every player and browser shows
# `crf`: the quality, where 18 looks like the original; without `bf` frames come out in order
OPTIONS = {"crf": "18", "bf": "0"}
INDEX_FIRST = {"movflags": "faststart"}  # so that a page plays it while it loads
WHITE = 255


def mp4(frames: Sequence[Any], frames_per_second: int = 10) -> bytes:
    """The file of a film of frames, images or [height, width, 3] uint8, which rests on the last for
    a second.

    Sides that are odd grow by a white pixel, on the right and below.
    """
    data = io.BytesIO()
    # the index is put first by reading what is written a second time
    again = lambda url, flags, options: Reader(data)
    with av.open(data, "w", format="mp4", options=INDEX_FIRST, io_open=again) as file:
        stream = file.add_stream(CODEC, frames_per_second, OPTIONS)
        height, width = (side + side % 2 for side in np.shape(frames[0])[:2])
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        tell_colours(stream.codec_context)
        packets = [packet for frame in frames for packet in stream.encode(coded(np.asarray(frame)))]
        packets += stream.encode()
        packets[-1].duration = frames_per_second
        file.mux(packets)
    return data.getvalue()


class Reader(io.RawIOBase):
    """Bytes that are being written, read from a place of its own."""

    def __init__(self, data: io.BytesIO) -> None:
        self.data, self.place = data, 0

    def read(self, size: int = -1) -> bytes:
        with self.data.getbuffer() as buffer:
            found = bytes(buffer[self.place :][: None if size < 0 else size])
        self.place += len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = self.data.getbuffer().nbytes
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: size}[whence]
        self.place = start + offset
        return self.place

    def tell(self) -> int:
        return self.place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def tell_colours(codec: av.VideoCodecContext) -> None:
    """Players guess by the size of the picture otherwise, and shift its colours."""
    codec.color_range = ColorRange.MPEG
    codec.color_primaries = ColorPrimaries.BT709
    codec.color_trc = ColorTrc.BT709
    codec.colorspace = Colorspace.ITU709


def coded(frame: np.ndarray) -> av.VideoFrame:
    """With even sides, as light and colours of half the resolution."""
    margins = [(0, side % 2) for side in frame.shape[:2]]
    even = np.pad(frame, [*margins, (0, 0)], constant_values=WHITE)
    return av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
