"""Settings that are each in their range and do not go together. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agent.config.base import Contradiction
from agent.config.hands import hands_contradictions, line_contradictions
from agent.config.sections import CPU_PROVIDER, Camera, Encoder, Settings, Tagger


def contradictions(settings: Settings) -> Iterator[Contradiction]:
    """(key, problem, remedy) of each, the first of each section first."""
    yield from _camera(settings.camera, settings.encoder)
    if settings.device.kind == "camera":
        yield from _fakes(settings)
    yield from _tagger(settings.tagger)
    yield from hands_contradictions(settings.button, settings.indicator)
    power = settings.power
    yield from line_contradictions(
        "power", power.failing_chip, {"failing_line": power.failing_line}
    )
    yield from _limits(settings)


def _camera(camera: Camera, encoder: Encoder) -> Iterator[Contradiction]:
    if camera.driver == "replay" and camera.footage is None:
        yield "camera.footage", "missing", "the replay driver needs a folder of MP4 files"
    if camera.width % 2 or camera.height % 2:
        yield "camera.width", "width and height must be even", "I420 halves both"
    for key, reader, is_set in (
        ("footage", "replay", camera.footage is not None),
        ("pipeline", "gstreamer", bool(camera.pipeline)),
    ):
        if is_set and camera.driver != reader:
            yield (
                f"camera.{key}",
                f"read by the driver {reader} alone, and camera.driver is {camera.driver}",
                "leave it out, or choose that driver",
            )
    missing = [sink for sink in ("h264", "lores") if f"name={sink}" not in camera.pipeline]
    if camera.pipeline and missing:
        yield (
            "camera.pipeline",
            f"no appsink named {missing[0]}",
            f"end that branch in `appsink name={missing[0]}`",
        )
    if camera.driver == "replay" and encoder.driver == "hardware":
        yield (
            "encoder.driver",
            "replayed footage has no hardware encoder",
            'set encoder.driver = "x264"',
        )


def _fakes(settings: Settings) -> Iterator[Contradiction]:
    fakes = {
        "camera.driver": settings.camera.driver == "replay",
        "tagger.accelerator": settings.tagger.accelerator == "fake",
        "button.driver": settings.button.driver == "pipe",
    }
    for key, is_fake in fakes.items():
        if is_fake:
            yield (
                key,
                "a camera must not run on replayed or fake parts",
                'choose a real driver, or set device.kind = "desk"',
            )


def _tagger(tagger: Tagger) -> Iterator[Contradiction]:
    on_onnx = tagger.accelerator == "onnxruntime"
    on_tflite = tagger.accelerator in ("tflite", "edgetpu")
    if not on_onnx and (tagger.providers != (CPU_PROVIDER,) or tagger.provider_options):
        yield (
            "tagger.providers",
            "they are ONNX Runtime's",
            'take it out, or set tagger.accelerator = "onnxruntime"',
        )
    strangers = sorted(set(tagger.provider_options) - set(tagger.providers))
    if strangers:
        yield (
            "tagger.provider_options",
            f"options for {', '.join(strangers)}, which tagger.providers does not list",
            "list it, or take its options out",
        )
    if tagger.delegate and not on_tflite:
        yield (
            "tagger.delegate",
            "delegates are TFLite's",
            'take it out, or set tagger.accelerator = "tflite"',
        )
    if tagger.delegate_options and not (tagger.delegate or tagger.accelerator == "edgetpu"):
        yield (
            "tagger.delegate_options",
            "options without a delegate",
            "name it in tagger.delegate",
        )


def _limits(settings: Settings) -> Iterator[Contradiction]:
    retention, power, governor = settings.retention, settings.power, settings.governor
    if 0 < retention.spool_budget_bytes <= retention.slack_bytes:
        yield (
            "retention.spool_budget_bytes",
            "not larger than retention.slack_bytes: the card would be full for ever",
            "raise it, or lower retention.slack_bytes",
        )
    if power.stop_below_percent > power.warn_below_percent:
        yield (
            "power.stop_below_percent",
            "larger than power.warn_below_percent: a session would end without a warning",
            "lower it",
        )
    if governor.hot_c <= governor.warm_c:
        yield (
            "governor.hot_c",
            "not above governor.warm_c: scoring would pause before it slows down",
            "raise it",
        )
    begin, _, end = settings.network.quiet_hours.partition("-")
    if begin and begin == end:
        yield (
            "network.quiet_hours",
            "begin and end are the same",
            'give two times, or "" for none',
        )
    if settings.uplink.window_cap_bytes < settings.uplink.part_bytes:
        yield "uplink.window_cap_bytes", "smaller than uplink.part_bytes", "raise it"
