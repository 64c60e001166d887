"""What cameras over GStreamer have in common: sinks to packets and pictures, faults to errors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from agent import config
from agent.core.picture import LORES_HEIGHT, LORES_WIDTH
from agent.drivers.gstreamer_graph import GstGraph, Sample
from agent.drivers.live_stream import LiveStream
from agent.errors import CameraError
from agent.media.lores import I420Fitter, Pacer
from agent.ports.camera import Camera, CameraItem, LoresFrame, Packet, RawFrame, StreamInfo
from agent.ports.clock import Clock
from agent.ports.encoder import Encoder

H264_CAPS = "video/x-h264,stream-format=byte-stream,alignment=au"
LORES_CAPS = "video/x-raw,format=I420"
# A sensor and its auto-exposure take a second or two to begin; what takes longer is at fault.
OPEN_TIMEOUT_S = 10.0
_NS_PER_S = 1_000_000_000
_LOOK_S = 0.1


class GstCamera(Camera):
    """A pipeline with an appsink `lores` (I420) and one of two more: `h264`, or `picture` (I420 of
    the configured size), which `encoder` then encodes.

    Pictures for the model are taken at `lores_rate_hz` where the element `pace` lets them out, so
    that those in between cost no scaling; without it, before the sink. A subclass says which
    pipeline (`_pipeline_text`) and what makes it open a GOP each second (`gop_remedy`).
    """

    gop_remedy = "let its encoder open a GOP each second"

    def __init__(
        self,
        settings: config.Camera,
        clock: Clock,
        encoder: Encoder | None = None,
        *,
        lores_rate_hz: float = 15.0,
    ) -> None:
        super().__init__()
        self._settings, self._clock, self._encoder = settings, clock, encoder
        self._lores_rate_hz = lores_rate_hz
        self._graph: GstGraph | None = None
        self._stream = LiveStream(self.gop_remedy)
        self._fitter = I420Fitter(LORES_WIDTH, LORES_HEIGHT)
        self._period_ns = _NS_PER_S // settings.frame_rate_hz
        self._first: Sample | None = None
        self._encoding = False

    @abstractmethod
    def _pipeline_text(self) -> str:
        """The pipeline for gst-launch-1.0. Raises CameraError when there is none."""

    def _source(self, graph: GstGraph) -> str:
        """Where the pictures come from, for the label sheet."""
        return f"GStreamer {' '.join(sorted(graph.factories('Source'))) or 'pipeline'}"

    def _open(self) -> StreamInfo:
        self._stream, self._first = LiveStream(self.gop_remedy), None
        graph = GstGraph(self._pipeline_text(), self._clock)
        self._graph = graph
        try:
            name = self._connect(graph)
            graph.start()
            self._await_packet(graph)
            return self._info(graph, name)
        except BaseException:
            self._close()
            raise

    def _connect(self, graph: GstGraph) -> str:
        """Returns the encoder's name."""
        settings, encoder = self._settings, self._encoder
        pacer = Pacer(self._lores_rate_hz, self._period_ns)
        graph.connect("lores", LORES_CAPS, self._take_picture)
        graph.gate("pace" if graph.has("pace") else "lores", pacer.is_due)
        if encoder is not None and graph.has("picture"):
            encoder.open(settings.width, settings.height, float(settings.frame_rate_hz))
            self._encoding = True
            graph.connect("picture", LORES_CAPS, self._encoder_of(encoder))
            return encoder.name
        graph.connect("h264", H264_CAPS, self._take_packet)
        encoders = graph.factories("Encoder")
        return " ".join(sorted(encoders)) or "the camera's own H.264"

    def _await_packet(self, graph: GstGraph) -> None:
        deadline_ns = self._clock.boot_ns() + round(OPEN_TIMEOUT_S * _NS_PER_S)
        while not self._stream.wait_for_packet(_LOOK_S):
            fault = graph.fault()
            if fault is not None:
                raise fault
            if self._clock.boot_ns() >= deadline_ns:
                raise CameraError(
                    f"the camera gave no footage in {OPEN_TIMEOUT_S:.0f} s",
                    remedy="check its cable, and `dmesg` for what the kernel says of it",
                )

    def _info(self, graph: GstGraph, encoder: str) -> StreamInfo:
        settings, first = self._settings, self._first
        if first is None or (first.width, first.height) != (settings.width, settings.height):
            given = "nothing" if first is None else f"{first.width}x{first.height}"
            raise CameraError(
                f"the pipeline gives {given}, not {settings.width}x{settings.height}",
                remedy="make camera.width and camera.height and the pipeline agree",
            )
        return StreamInfo(
            width=first.width,
            height=first.height,
            frame_rate_hz=first.frame_rate_hz or float(settings.frame_rate_hz),
            encoder=encoder,
            source=self._source(graph),
        )

    def _read(self, timeout_s: float) -> CameraItem | None:
        item = self._stream.get(timeout_s)
        if item is None and self._graph is not None:
            fault = self._graph.fault()
            if fault is not None:
                raise fault
        return item

    def _close(self) -> None:
        self._stream.close()
        if self._graph is not None:
            self._graph.stop()
            self._graph = None
        if self._encoding and self._encoder is not None:
            self._encoding = False
            self._encoder.close()

    def _take_packet(self, sample: Sample) -> None:
        self._first = self._first or sample
        self._stream.put_packet(
            Packet(
                pts_ns=sample.pts_ns,
                duration_ns=sample.duration_ns or self._period_ns,
                data=sample.content,
                keyframe=sample.keyframe,
            )
        )

    def _encoder_of(self, encoder: Encoder) -> Callable[[Sample], None]:
        def take(sample: Sample) -> None:
            self._first = self._first or sample
            content = self._fitter.packed(
                sample.content, sample.width, sample.height, sample.planes
            )
            frame = RawFrame(
                pts_ns=sample.pts_ns, width=sample.width, height=sample.height, data=content
            )
            for packet in encoder.encode(frame):
                self._stream.put_packet(packet)

        return take

    def _take_picture(self, sample: Sample) -> None:
        content, rect = self._fitter.fit(sample.content, sample.width, sample.height, sample.planes)
        active = (rect.x, rect.y, rect.width, rect.height)
        self._stream.put_picture(LoresFrame(pts_ns=sample.pts_ns, data=content, active=active))
