"""A Raspberry Pi's camera, by picamera2: main stream to the encoder, lores stream to the model.

picamera2 and libcamera come from the distribution (`make pi-camera`); they are imported when the
camera is opened.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from agent import config
from agent.core.picture import LORES_HEIGHT, LORES_WIDTH, fit_inside
from agent.drivers.boot_time import BootTime
from agent.drivers.encoding_thread import EncodingThread
from agent.drivers.live_stream import LiveStream
from agent.errors import CameraError
from agent.media.lores import I420Fitter, Pacer, Planes
from agent.ports.camera import Camera, CameraItem, LoresFrame, Packet, RawFrame, StreamInfo
from agent.ports.clock import Clock
from agent.ports.encoder import Encoder

# The encoder of Pi 0 to 4 (bcm2835-codec); a Pi 5 has none.
HARDWARE_ENCODER = Path("/dev/video11")
OPEN_TIMEOUT_S = 10.0
# Requests under way between the sensor and us: enough for a scheduler's hiccup, in CMA memory.
_BUFFERS = 6
_NS_PER_S = 1_000_000_000
_US_PER_S = 1_000_000
_FORMATS = ("YUV420", "NV12")
_GOP_REMEDY = "update the camera's firmware: its encoder does not open a GOP each second"

_log = logging.getLogger(__name__)


class Picamera2Camera(Camera):
    """Camera number `settings.number`. With an `encoder` the main stream is encoded by it, on the
    CPU; without one (`encoder.driver = "hardware"`) by the board's own, asked for explicitly.

    What libcamera really configured is read back: a main stream of another size and formats that
    are not 4:2:0 are refused; the lores stream may have any size and is fitted. With `exposure =
    "motion"` exposures are short where the sensor's tuning offers that.
    """

    def __init__(
        self,
        settings: config.Camera,
        encoder_settings: config.Encoder,
        clock: Clock,
        encoder: Encoder | None,
        *,
        lores_rate_hz: float = 15.0,
    ) -> None:
        super().__init__()
        self._settings, self._encoder_settings = settings, encoder_settings
        self._clock, self._encoder = clock, encoder
        self._lores_rate_hz = lores_rate_hz
        self._lens: Any = None
        self._stream = LiveStream(_GOP_REMEDY)
        self._encoding: EncodingThread | None = None
        self._boot_time = BootTime(clock)
        self._fitter = I420Fitter(LORES_WIDTH, LORES_HEIGHT)
        self._pacer = Pacer(lores_rate_hz, 0)
        self._period_ns = _NS_PER_S // settings.frame_rate_hz
        self._layouts: dict[str, dict[str, Any]] = {}
        self._board_encoder: Any = None
        self._gop_due_ns = 0

    def hardware_encoder(self) -> Any:
        """The board's encoder, as picamera2 drives it. Raises CameraError when there is none."""
        if not HARDWARE_ENCODER.exists():
            raise CameraError(
                f"this board has no H.264 encoder ({HARDWARE_ENCODER} is not there)",
                remedy='set encoder.driver = "x264"',
            )
        from picamera2.encoders.h264_encoder import H264Encoder

        return H264Encoder(
            bitrate=self._encoder_settings.bitrate_kbps * 1000,
            repeat=True,
            iperiod=self._settings.frame_rate_hz,
            framerate=self._settings.frame_rate_hz,
        )

    def _open(self) -> StreamInfo:
        self._stream, self._encoding = LiveStream(_GOP_REMEDY), None
        self._pacer = Pacer(self._lores_rate_hz, self._period_ns)
        self._boot_time = BootTime(self._clock)
        self._lens = _open_lens(self._settings.number)
        try:
            self._configure()
            name = self._begin()
            if not self._stream.wait_for_packet(OPEN_TIMEOUT_S):
                raise CameraError(
                    f"the camera gave no footage in {OPEN_TIMEOUT_S:.0f} s",
                    remedy="check its ribbon cable, and `dmesg` for what the kernel says of it",
                )
            return self._info(name)
        except BaseException:
            self._close()
            raise

    def _configure(self) -> None:
        settings, lens = self._settings, self._lens
        small = fit_inside(settings.width, settings.height, LORES_WIDTH, LORES_HEIGHT)
        wanted = lens.create_video_configuration(
            main={"size": (settings.width, settings.height), "format": "YUV420"},
            lores={"size": (small.width, small.height), "format": "YUV420"},
            raw=None,
            buffer_count=_BUFFERS,
            controls=self._controls(),
        )
        lens.configure(wanted)
        given = lens.camera_configuration()
        self._layouts = {name: dict(given[name]) for name in ("main", "lores")}
        main = self._layouts["main"]
        if tuple(main["size"]) != (settings.width, settings.height):
            raise CameraError(
                "the camera gives {}x{}, not {}x{}".format(
                    *main["size"], settings.width, settings.height
                ),
                remedy="set camera.width and camera.height to a size that it has",
            )
        for layout in self._layouts.values():
            if layout["format"] not in _FORMATS:
                raise CameraError(
                    f"the camera gives {layout['format']} pictures, not {' or '.join(_FORMATS)}",
                    remedy="update libcamera and picamera2",
                )

    def _controls(self) -> dict[str, Any]:
        """What is asked of the sensor: only controls that this one has."""
        period_us = _US_PER_S // self._settings.frame_rate_hz
        controls: dict[str, Any] = {"FrameDurationLimits": (period_us, period_us)}
        if self._settings.exposure == "motion":
            from libcamera import controls as known

            controls["AeExposureMode"] = known.AeExposureModeEnum.Short
        offered = self._lens.camera_controls
        return {name: value for name, value in controls.items() if name in offered}

    def _begin(self) -> str:
        """Start sensor and encoder; returns the encoder's name."""
        lens = self._lens
        lens.pre_callback = self._take_request
        if self._encoder is None:
            encoder = self.hardware_encoder()
            self._board_encoder, self._gop_due_ns = encoder, 0
            lens.start_encoder(encoder, _output(encoder, self._take_encoded), name="main")
            lens.start()
            return f"V4L2 {HARDWARE_ENCODER} ({type(encoder).__name__})"
        self._encoding = EncodingThread(self._encoder, self._stream.put_packet, self._stream.fail)
        settings = self._settings
        self._encoding.start(settings.width, settings.height, float(settings.frame_rate_hz))
        lens.start()
        return self._encoder.name

    def _info(self, encoder: str) -> StreamInfo:
        settings = self._settings
        properties = self._lens.camera_properties
        return StreamInfo(
            width=settings.width,
            height=settings.height,
            frame_rate_hz=float(settings.frame_rate_hz),
            encoder=encoder,
            source=f"libcamera {properties.get('Model', 'camera')}, number {settings.number}",
        )

    def _read(self, timeout_s: float) -> CameraItem | None:
        return self._stream.get(timeout_s)

    def _close(self) -> None:
        self._stream.close()
        lens, self._lens = self._lens, None
        self._board_encoder = None
        try:
            if lens is not None:
                lens.pre_callback = None
                lens.stop_encoder()
                lens.close()
        finally:
            if self._encoding is not None:
                self._encoding.stop()
                self._encoding = None

    def _pts_ns(self, sensor_ns: int) -> int:
        """Encoders of picamera2 count in microseconds; so pictures and packets both do."""
        return self._boot_time.of_either(sensor_ns // 1000 * 1000)

    def _take_request(self, request: Any) -> None:
        """On the camera's thread, for each frame of the sensor."""
        try:
            pts_ns = self._pts_ns(request.request.metadata[_sensor_timestamp()])
            if self._board_encoder is not None:
                self._open_gop_when_due(pts_ns)
            elif self._encoding is not None:
                width, height = self._layouts["main"]["size"]
                content = self._i420(request, "main")
                self._encoding.put(
                    RawFrame(pts_ns=pts_ns, width=width, height=height, data=content)
                )
            if self._pacer.is_due(pts_ns):
                width, height = self._layouts["lores"]["size"]
                content, rect = self._fitter.fit(self._i420(request, "lores"), width, height)
                active = (rect.x, rect.y, rect.width, rect.height)
                self._stream.put_picture(LoresFrame(pts_ns=pts_ns, data=content, active=active))
        except Exception as exc:  # it would end the camera's thread, and nobody would know why
            _log.exception("camera frame")
            self._stream.fail(CameraError(f"camera failed ({exc})"))

    def _open_gop_when_due(self, pts_ns: int) -> None:
        """The board's encoder counts frames, which make no second when the sensor missed some."""
        if pts_ns >= self._gop_due_ns:
            self._board_encoder.force_key_frame()
            self._gop_due_ns = pts_ns + _NS_PER_S - self._period_ns // 2

    def _i420(self, request: Any, name: str) -> bytes:
        layout = self._layouts[name]
        width, height = layout["size"]
        content = request.make_buffer(name).tobytes()
        return i420_of(content, layout["format"], width, height, layout["stride"])

    def _take_encoded(self, content: bytes, keyframe: bool, sensor_us: int) -> None:
        self._stream.put_packet(
            Packet(
                pts_ns=self._pts_ns(sensor_us * 1000),
                duration_ns=self._period_ns,
                data=content,
                keyframe=keyframe,
            )
        )


def i420_of(content: bytes, form: str, width: int, height: int, stride: int) -> bytes:
    """Packed I420 of a buffer of libcamera: YUV420 (three planes, the chroma's rows half as long)
    or NV12 (luma, then U and V taking turns)."""
    luma = stride * height
    if form == "YUV420":
        half = stride // 2
        planes: Planes = ((0, stride), (luma, half), (luma + half * (height // 2), half))
        return I420Fitter.packed(content, width, height, planes)
    if len(content) < luma + luma // 2:
        raise ValueError(f"{len(content)} bytes are no NV12 of {width}x{height}")
    chroma = content[luma : luma + luma // 2]
    separate = content[:luma] + chroma[::2] + chroma[1::2]
    half = stride // 2
    planes = ((0, stride), (luma, half), (luma + luma // 4, half))
    return I420Fitter.packed(separate, width, height, planes)


def _open_lens(number: int) -> Any:
    try:
        from picamera2 import Picamera2
    except ImportError as exc:
        raise CameraError(
            f"picamera2 is not installed for this Python ({exc})",
            remedy="run `make pi-camera` in the project's folder",
        ) from exc
    try:
        return Picamera2(number)
    except (IndexError, RuntimeError) as exc:
        raise CameraError(
            f"camera number {number} cannot be opened ({exc})",
            remedy="check its ribbon cable and camera.number; `rpicam-hello --list-cameras` lists"
            " what is there; end any other program that has it",
        ) from exc


def _sensor_timestamp() -> Any:
    from libcamera import controls

    return controls.SensorTimestamp


def _output(encoder: Any, receive: Any) -> Any:
    """An Output of picamera2 that passes on (bytes, keyframe, sensor time in microseconds)."""
    from picamera2.outputs import Output

    class PacketOutput(Output):  # type: ignore[misc]
        def outputframe(
            self,
            frame: Any,
            keyframe: bool = True,
            timestamp: int | None = None,
            packet: Any = None,
            audio: bool = False,
        ) -> None:
            if not audio and timestamp is not None:
                receive(bytes(frame), keyframe, encoder.firsttimestamp + timestamp)

    return PacketOutput()
