"""One video of one camera: when its frames were taken, and any of them decoded. Any codec that PyAV reads.

Frames are asked for in order most of the time, so the decoder of a video stays open and goes forward; going back
opens the file again. Nothing relies on the file's index, which many recorders write wrong or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from threading import Lock

import av
import numpy as np
from av.error import FFmpegError

from scenes.shots import paths_by_name
from warpgs.checks import check_picture, refuse, sentence
from warpgs.types import Camera

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".mts", ".wmv")
COPY = "copy the file again, or repair it with ffmpeg -i IN -c copy OUT"
LARGEST_SIDE = 16384
"""No camera's picture is wider or higher [px]; a damaged header may say so."""


class VideoFile:
    """A video that is opened when it is first asked for something. Threads may share it; they take turns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._decoded: Iterator[av.VideoFrame] | None = None
        self._container: av.container.InputContainer | None = None
        self._next = 0
        self._last: tuple[int, np.ndarray] | None = None

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height [px] of the pictures, turned upright as the file says."""
        height, width = self.picture(0).shape[:2]
        return width, height

    @property
    def fps(self) -> float:
        """Frames per second: what the header states where its time stamps agree, else what these say [1/s]."""
        return self._timing[1]

    @property
    def times_s(self) -> np.ndarray:
        """When each frame was taken, since the first one [s], rising, shape [n], float64."""
        return self._timing[0]

    def picture(self, index: int) -> np.ndarray:
        """The ``index``-th frame as RGB, uint8, shape [height, width, 3].

        Raises:
            ValueError: the file has no such frame; OSError: it cannot be decoded.
        """
        with self._lock:
            if self._last is None or self._last[0] != index:
                self._last = index, self._decode(index)
            return self._last[1]

    def picture_by(self, camera: Camera, index: int) -> np.ndarray:
        """The same, refused where its size is not the camera's: a video may change it on the way."""
        picture = self.picture(index)
        check_picture(f"{self.path}: frame {index}", picture, camera, (3,))
        return picture

    def close(self) -> None:
        """Give the decoder back; it opens again when needed."""
        if self._container is not None:
            self._container.close()
        self._container = self._decoded = None

    @cached_property
    def _timing(self) -> tuple[np.ndarray, float]:
        stamps, base, stated, announced = self._read_stamps()
        if not stamps:
            refuse(self.path, "a video with frames", "none", COPY)
        if announced > len(stamps) + 1:  # the last one may lack its end in files of some cameras
            refuse(self.path, f"the {announced} frames that its header announces", len(stamps), COPY)
        if None in stamps:
            if not stated:
                refuse(self.path, "time stamps or a frame rate", "neither", "store it as .mp4 with ffmpeg -r RATE")
            return np.arange(len(stamps)) / float(stated), float(stated)
        ticks = np.array(sorted(stamps), np.float64)
        if len(ticks) > 1 and np.diff(ticks).min() <= 0:
            refuse(self.path, "a time stamp of its own for each frame", "one that occurs twice", COPY)
        times_s = (ticks - ticks[0]) * float(base)
        if stated and abs((len(ticks) - 1) / stated - times_s[-1]) <= 2.5 * float(base):
            return times_s, float(stated)
        if len(ticks) == 1:
            refuse(self.path, "a frame rate or more than one frame", "neither", COPY)
        return times_s, float((len(ticks) - 1) / times_s[-1])

    def _read_stamps(self) -> tuple[list[int | None], Fraction, Fraction | None, int]:
        """Of every frame the time stamp in units of the second result [s]; the rate and the number of frames that the
        header states, None and 0 where it is silent."""
        try:
            with self._open() as container:
                stream = container.streams.video[0]
                packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
                if any(packet.is_corrupt for packet in packets):
                    refuse(self.path, "a whole video", "a truncated packet", COPY)
                pts = [packet.pts for packet in packets]
                stamps = [packet.dts for packet in packets] if None in pts else pts
                rate, base = stream.average_rate or stream.guessed_rate, stream.time_base
                announced = max(stream.frames, round(_stated_duration_s(stream) * (rate or 0)))
                return stamps, base or Fraction(1), rate, announced
        except (FFmpegError, OverflowError) as error:
            raise OSError(sentence(self.path, "a whole video", error, COPY)) from error

    def _decode(self, index: int) -> np.ndarray:
        try:
            if self._decoded is None or index < self._next:
                self.close()
                self._container = self._open()
                stream = self._container.streams.video[0]
                stream.thread_type = "AUTO"
                self._decoded, self._next = self._container.decode(stream), 0
            while self._next <= index:
                frame = next(self._decoded)
                self._next += 1
            if frame.is_corrupt:
                refuse(f"{self.path}: frame {index}", "a whole picture", "a damaged one", COPY)
            return _upright(frame)
        except StopIteration as error:
            self.close()
            got = f"only {self._next} that can be decoded"
            raise OSError(sentence(self.path, f"at least {index + 1} frames", got, COPY)) from error
        except (FFmpegError, MemoryError) as error:
            self.close()
            raise OSError(sentence(f"{self.path}: frame {index}", "a whole picture", error, COPY)) from error

    def _open(self) -> av.container.InputContainer:
        try:
            container = av.open(str(self.path))
        except FileNotFoundError as error:
            raise FileNotFoundError(sentence(self.path, "a video", "no such file", "copy it")) from error
        except (FFmpegError, UnicodeDecodeError) as error:
            raise OSError(sentence(self.path, "a video", error, COPY)) from error
        if not container.streams.video or container.streams.video[0].codec_context is None:
            container.close()
            refuse(self.path, "a file with a video stream of a known codec", "none", "convert it with ffmpeg")
        context = container.streams.video[0].codec_context
        if max(context.width, context.height) > LARGEST_SIDE:
            container.close()
            refuse(self.path, f"sides of at most {LARGEST_SIDE} pixels", f"{context.width}x{context.height}", COPY)
        return container


def video_paths(folder: Path) -> list[Path]:
    """Videos in a folder in the order of their names; none where there is no such folder."""
    return paths_by_name(folder, SUFFIXES)


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """RGB pixels, turned as phones ask for, and as OpenCV turns them when it calibrates."""
    picture = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90.0)))


def _stated_duration_s(stream: av.VideoStream) -> float:
    """What Matroska says of one stream, as 00:00:03.400000000; 0 where nothing is said."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    return 0.0 if match is None else 3600.0 * int(match[1]) + 60.0 * int(match[2]) + float(match[3])
