"""Cameras by GStreamer: a Jetson's CSI camera, or any pipeline that the settings give."""

from __future__ import annotations

from agent import config
from agent.core.picture import LORES_HEIGHT, LORES_WIDTH, fit_inside
from agent.drivers.gstreamer_camera import GstCamera
from agent.ports.clock import Clock

# An exposure this short keeps a moving hand sharp; the gain pays for it. In nanoseconds.
MOTION_EXPOSURE_NS = (100_000, 8_000_000)


class GStreamerCamera(GstCamera):
    """`settings.pipeline`, which has appsinks named `h264` and `lores`; without one the CSI camera
    number `settings.number` of a Jetson, encoded by its NVENC (`encoder.driver = "hardware"`) or,
    on a board that has none, by x264enc (`"x264"`)."""

    gop_remedy = (
        "set its encoder's GOP to one second (x264enc key-int-max, nvv4l2h264enc iframeinterval"
        " and idrinterval: the frame rate) and put `h264parse config-interval=-1` behind it"
    )

    def __init__(
        self,
        settings: config.Camera,
        encoder: config.Encoder,
        clock: Clock,
        *,
        lores_rate_hz: float = 15.0,
    ) -> None:
        super().__init__(settings, clock, lores_rate_hz=lores_rate_hz)
        self._text = settings.pipeline or jetson_pipeline(settings, encoder)

    def _pipeline_text(self) -> str:
        return self._text


def jetson_pipeline(camera: config.Camera, encoder: config.Encoder) -> str:
    """The pipeline of a Jetson's CSI camera: scaling and colour conversion by its VIC."""
    width, height, rate = camera.width, camera.height, camera.frame_rate_hz
    small = fit_inside(width, height, LORES_WIDTH, LORES_HEIGHT)
    exposure = ""
    if camera.exposure == "motion":
        exposure = ' exposuretimerange="{} {}"'.format(*MOTION_EXPOSURE_NS)
    return (
        f"nvarguscamerasrc sensor-id={camera.number}{exposure} !"
        f" video/x-raw(memory:NVMM),format=NV12,width={width},height={height},framerate={rate}/1 !"
        f" tee name=lens lens. ! queue ! {_encoding(camera, encoder)} !"
        " h264parse config-interval=-1 ! appsink name=h264"
        " lens. ! queue leaky=downstream max-size-buffers=2 ! identity name=pace ! nvvidconv !"
        f" video/x-raw,format=I420,width={small.width},height={small.height} ! appsink name=lores"
    )


def _encoding(camera: config.Camera, encoder: config.Encoder) -> str:
    rate = camera.frame_rate_hz
    if encoder.driver == "hardware":
        return (
            f"nvv4l2h264enc bitrate={encoder.bitrate_kbps * 1000} control-rate=1 preset-level=1"
            f" iframeinterval={rate} idrinterval={rate} insert-sps-pps=true maxperf-enable=true"
        )
    return f"nvvidconv ! video/x-raw,format=I420 ! {x264enc(encoder, rate)}"


def x264enc(encoder: config.Encoder, frame_rate_hz: int) -> str:
    """The element x264enc as the recording path wants it: closed 1 s GOPs, no delay."""
    return (
        f"x264enc speed-preset={encoder.preset} tune=zerolatency bitrate={encoder.bitrate_kbps}"
        f" vbv-buf-capacity=1000 key-int-max={frame_rate_hz} bframes=0 threads={encoder.threads}"
        " option-string=scenecut=0:open-gop=0"
    )
