"""A GStreamer pipeline, as far as a camera needs one: named sinks, boot time, one line of fault.

The only file that speaks to GStreamer, through PyGObject. Both come from the distribution
(`make gstreamer`); they are imported when a camera is opened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from agent.drivers.boot_time import BootTime
from agent.errors import CameraError
from agent.ports.clock import Clock

_STOP_LINE = "the camera's pipeline ended by itself"

_log = logging.getLogger(__name__)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One buffer of a sink. `pts_ns` is CLOCK_BOOTTIME; `duration_ns` 0 and `frame_rate_hz` 0.0
    when the pipeline does not tell. `planes` are (offset, bytes a row) of raw pictures."""

    pts_ns: int
    duration_ns: int
    content: bytes
    keyframe: bool
    width: int
    height: int
    frame_rate_hz: float
    planes: tuple[tuple[int, int], ...] = ()


class GstGraph:
    """The pipeline that `text` describes, in the language of gst-launch-1.0.

    `receive` functions run on the pipeline's threads; an exception of theirs stops the stream and
    comes out of `fault`. `stop` is idempotent and frees the device.
    """

    def __init__(self, text: str, clock: Clock) -> None:
        """Raises CameraError: GStreamer or an element of it is missing, or a fault in `text`."""
        self._gst, self._video = _libraries()
        self._clock = clock
        self._handlers: list[tuple[Any, int]] = []
        self._broken: CameraError | None = None
        self._boot_time: BootTime | None = None
        try:
            self._pipeline = self._gst.parse_launch(text)
        except Exception as exc:
            raise CameraError(f"GStreamer: {_line(exc)}", remedy=_remedy(_line(exc))) from exc
        if not isinstance(self._pipeline, self._gst.Pipeline):
            self._pipeline = None
            raise CameraError("GStreamer: one element is no pipeline", remedy="add an appsink")

    def has(self, name: str) -> bool:
        return self._pipeline.get_by_name(name) is not None

    def connect(self, name: str, caps: str, receive: Callable[[Sample], None]) -> None:
        """Have the appsink `name` take `caps` and pass each buffer to `receive`."""
        sink = self._pipeline.get_by_name(name)
        if sink is None or sink.get_factory().get_name() != "appsink":
            raise CameraError(
                f"GStreamer: the pipeline has no appsink named {name}",
                remedy=f"end that branch in `appsink name={name}`",
            )
        sink.set_property("caps", self._gst.Caps.from_string(caps))
        sink.set_property("sync", False)
        sink.set_property("emit-signals", True)
        sink.set_property("max-buffers", 8)
        self._handlers.append((sink, sink.connect("new-sample", self._pass_on, receive)))

    def gate(self, name: str, wanted: Callable[[int], bool]) -> None:
        """Drop what comes out of the element `name` (goes into it, for a sink) unless `wanted(pts)`
        says so; that pts is the stream's own, in nanoseconds."""
        element = self._pipeline.get_by_name(name)
        pad = element.get_static_pad("src") or element.get_static_pad("sink")

        def decide(_pad: Any, info: Any) -> Any:
            keep = wanted(info.get_buffer().pts)
            return self._gst.PadProbeReturn.OK if keep else self._gst.PadProbeReturn.DROP

        pad.add_probe(self._gst.PadProbeType.BUFFER, decide)

    def start(self) -> None:
        clock = self._gst.SystemClock.obtain()
        self._boot_time = BootTime(self._clock, clock.get_time)
        self._pipeline.use_clock(clock)
        self._pipeline.set_state(self._gst.State.PLAYING)

    def fault(self) -> CameraError | None:
        """What ended the stream, once something did: an element's error, the end of the stream, or
        an exception of a `receive` function."""
        if self._broken is None:
            kinds = self._gst.MessageType.ERROR | self._gst.MessageType.EOS
            message = self._pipeline.get_bus().pop_filtered(kinds)
            if message is not None:
                self._broken = self._told(message)
        return self._broken

    def stop(self) -> None:
        if self._pipeline is None:
            return
        self._pipeline.set_state(self._gst.State.NULL)
        for sink, handler in self._handlers:
            sink.disconnect(handler)
        self._handlers.clear()
        self._pipeline = None

    def factories(self, kind: str) -> list[str]:
        """Names of the elements of a class such as "Source" or "Encoder", in no certain order."""
        found: list[str] = []
        walk = self._pipeline.iterate_recurse()
        while True:
            state, element = walk.next()
            if state != self._gst.IteratorResult.OK:
                return found
            factory = element.get_factory()
            if kind in factory.get_metadata("klass").split("/"):
                found.append(factory.get_name())

    def offered_caps(self, name: str) -> Any:
        """What the source `name` can give, as GstCaps; opens its device. Raises CameraError."""
        source = self._pipeline.get_by_name(name)
        source.set_state(self._gst.State.READY)
        state, _now, _next = source.get_state(self._gst.SECOND)
        if state == self._gst.StateChangeReturn.FAILURE:
            raise self.fault() or CameraError(f"GStreamer: {name} cannot be opened")
        return source.get_static_pad("src").query_caps(None)

    def caps(self, text: str) -> Any:
        return self._gst.Caps.from_string(text)

    def _pass_on(self, sink: Any, receive: Callable[[Sample], None]) -> Any:
        try:
            sample = sink.emit("pull-sample")
            if sample is not None and self._broken is None:
                receive(self._read(sample))
        except Exception as exc:
            _log.exception("camera pipeline")
            self._broken = CameraError(f"camera failed ({exc})")
            return self._gst.FlowReturn.ERROR
        return self._gst.FlowReturn.OK

    def _read(self, sample: Any) -> Sample:
        buffer, caps = sample.get_buffer(), sample.get_caps().get_structure(0)
        running_ns = sample.get_segment().to_running_time(self._gst.Format.TIME, buffer.pts)
        if buffer.pts == self._gst.CLOCK_TIME_NONE or self._boot_time is None:
            raise CameraError("a buffer without a time", remedy="use a live source")
        known, numerator, denominator = caps.get_fraction("framerate")
        has_duration = buffer.duration != self._gst.CLOCK_TIME_NONE
        return Sample(
            pts_ns=self._boot_time.of(self._pipeline.get_base_time() + running_ns),
            duration_ns=buffer.duration if has_duration else 0,
            content=buffer.extract_dup(0, buffer.get_size()),
            keyframe=not buffer.has_flags(self._gst.BufferFlags.DELTA_UNIT),
            width=caps.get_int("width")[1],
            height=caps.get_int("height")[1],
            frame_rate_hz=numerator / denominator if known and numerator else 0.0,
            planes=self._planes(buffer, sample) if caps.get_name() == "video/x-raw" else (),
        )

    def _planes(self, buffer: Any, sample: Any) -> tuple[tuple[int, int], ...]:
        layout = self._video.buffer_get_video_meta(buffer)
        if layout is None:
            layout = self._video.VideoInfo.new_from_caps(sample.get_caps())
        return tuple(zip(list(layout.offset)[:3], list(layout.stride)[:3], strict=True))

    def _told(self, message: Any) -> CameraError:
        if message.type == self._gst.MessageType.EOS:
            return CameraError(_STOP_LINE, remedy="a camera needs a live source")
        error, details = message.parse_error()
        # The details end in what the kernel said, where it was asked.
        said = details.strip().splitlines()[-1] if details else ""
        said = f" ({said})" if said.startswith("system error") else ""
        line = f"{error.message.rstrip('.')}{said}"
        return CameraError(f"{message.src.get_name()}: {line}", remedy=_remedy(line))


def _libraries() -> tuple[Any, Any]:
    try:
        import gi

        gi.require_version("Gst", "1.0")
        gi.require_version("GstApp", "1.0")
        gi.require_version("GstVideo", "1.0")
        from gi.repository import Gst, GstApp, GstVideo  # noqa: F401
    except (ImportError, ValueError) as exc:
        raise CameraError(
            f"GStreamer is not installed for this Python ({exc})",
            remedy="run `make gstreamer` in the project's folder",
        ) from exc
    Gst.init(None)
    return Gst, GstVideo


def _line(exc: Exception) -> str:
    return str(getattr(exc, "message", "") or exc)


def _remedy(line: str) -> str:
    if "no element" in line:
        return "install the plugin it belongs to; `gst-inspect-1.0 NAME` shows whether it is there"
    if "No such file" in line or "Cannot identify device" in line:
        return "is the camera plugged in? `ls /dev/video*`; set camera.device"
    if "busy" in line.lower():
        return "another program has the camera: end it"
    return "check camera.* in the settings; `gst-launch-1.0` runs the same pipeline by hand"
