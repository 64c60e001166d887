"""The manifest of a model bundle: what admin, collector and camera agree on about a model.

`load_manifest` is the only way in. Unknown fields are ignored, an unknown schema is refused with
a reason. Files are named flat, beside the manifest, each with its size and SHA-256.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agent.core.picture import Crop
from agent.core.tagging import TagRule
from agent.errors import ModelError

SCHEMA = 1
MAX_MANIFEST_BYTES = 256 * 1024
MAX_ARTIFACT_BYTES = 64 * 1024 * 1024
MAX_SMALL_FILE_BYTES = 16 * 1024 * 1024
_MS = 1_000_000

Backend = Literal["onnxruntime", "tflite", "edgetpu", "hailo", "tensorrt"]
LabelKind = Literal["state", "event"]
Layout = Literal["NHWC", "NCHW"]
Dtype = Literal["uint8", "int8"]

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
LabelId = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Semver = Annotated[str, Meta(pattern=r"^[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}(-[0-9a-z.]{1,20})?$")]
Text = Annotated[str, Meta(max_length=200)]
Side = Annotated[int, Meta(ge=16, le=1024)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Millis = Annotated[int, Meta(ge=0, le=600_000)]
Measured = Annotated[float, Meta(ge=0.0, le=1e9)]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all parts: frozen, keyword only, unknown fields ignored."""


class ListedFile(Section, frozen=True, kw_only=True):
    """A file of the bundle, as it must be found."""

    path: FileName
    sha256: Sha256
    bytes: Annotated[int, Meta(ge=1, le=MAX_SMALL_FILE_BYTES)]


class ModelInput(Section, frozen=True, kw_only=True):
    """The picture, the same for every artifact: height x width pixels, taken from the lores frame.

    `crop`: "centre" is the largest centred rectangle of the picture's aspect ratio inside the
    frame's active rectangle, "stretch" all of it. `frame_rate_hz`: the rate the head was trained
    at. `max_gap_ms`: a longer gap between two frames resets the head.
    """

    height: Side
    width: Side
    colour: Literal["RGB"]
    source: Literal["lores_i420"]
    crop: Crop
    frame_rate_hz: Annotated[float, Meta(gt=0.0, le=120.0)]
    max_gap_ms: Annotated[int, Meta(ge=1, le=10_000)]


class InputTensor(Section, frozen=True, kw_only=True):
    """How one artifact takes the picture: value = scale * (number - zero_point), in 0..1.

    So uint8 is the picture's byte (zero point 0), int8 the byte xor 0x80 (zero point -128).
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    layout: Layout
    dtype: Dtype
    scale: Annotated[float, Meta(gt=0.0, le=1.0)]
    zero_point: Annotated[int, Meta(ge=-128, le=255)]


class Artifact(Section, frozen=True, kw_only=True):
    """The backbone compiled for one accelerator. `architecture`: "any", or the chip it is for."""

    backend: Backend
    variant: Text
    architecture: Text
    path: FileName
    sha256: Sha256
    bytes: Annotated[int, Meta(ge=1, le=MAX_ARTIFACT_BYTES)]
    toolchain: Text
    toolchain_version: Text
    tensor: InputTensor


class Backbone(Section, frozen=True, kw_only=True):
    """One picture in, `features` float32 numbers out, without memory of the picture before."""

    features: Annotated[int, Meta(ge=1, le=2048)]
    artifacts: Annotated[tuple[Artifact, ...], Meta(min_length=1, max_length=16)]


class Head(ListedFile, frozen=True, kw_only=True):
    """The causal head's weights: over the last `window` features, every `stride`-th frame."""

    window: Annotated[int, Meta(ge=1, le=256)]
    stride: Annotated[int, Meta(ge=1, le=16)]


class Label(Section, frozen=True, kw_only=True):
    """One score and how it becomes a tag. Ids are stable for ever; a new meaning is a new id.

    `smoothing_ms`: time constant of the exponential mean. A tag opens when the smoothed score
    stayed at or above `threshold_on` for `min_on_ms` and closes when it stayed below
    `threshold_off` for `min_off_ms`; the next one may begin `cooldown_ms` after. `temperature`
    divides the logit.
    """

    id: LabelId
    group: LabelId
    kind: LabelKind
    threshold_on: Share
    threshold_off: Share
    smoothing_ms: Millis
    min_on_ms: Millis
    min_off_ms: Millis
    cooldown_ms: Millis
    temperature: Annotated[float, Meta(ge=0.05, le=50.0)]

    def tag_rule(self) -> TagRule:
        """The same words as the rule that makes the tags."""
        return TagRule(
            label=self.id,
            group=self.group,
            kind=self.kind,
            threshold_on=self.threshold_on,
            threshold_off=self.threshold_off,
            smoothing_ns=self.smoothing_ms * _MS,
            min_on_ns=self.min_on_ms * _MS,
            min_off_ns=self.min_off_ms * _MS,
            cooldown_ns=self.cooldown_ms * _MS,
        )


class Quantisation(Section, frozen=True, kw_only=True):
    """How the backbone was made INT8, and how far its scores moved from the float network's."""

    scheme: Text
    calibration_sha256: Sha256
    max_score_difference: Share
    decisions_changed: Share


class Golden(ListedFile, frozen=True, kw_only=True):
    """Pictures and the scores they must give; `tolerance` is the largest difference per backend."""

    frames: Annotated[int, Meta(ge=1, le=1000)]
    tolerance: Annotated[dict[str, Share], Meta(max_length=16)]


class Budget(Section, frozen=True, kw_only=True):
    """What one class of board spends: measured, per frame."""

    board: Text
    latency_ms: Measured
    resident_mib: Measured


class Metric(Section, frozen=True, kw_only=True):
    """One label on one held-out set; `average_precision` is None where truth had one kind only."""

    label: LabelId
    held_out_set: Text
    average_precision: Share | None
    prevalence: Share
    onsets: Annotated[int, Meta(ge=0)] = 0
    onsets_found: Annotated[int, Meta(ge=0)] = 0
    median_onset_delay_ms: float | None = None


class ModelManifest(Section, frozen=True, kw_only=True):
    """A bundle, whole. `version` grows by one with each release; `semver` is for people."""

    schema: int
    name: Name
    version: Annotated[int, Meta(ge=1, le=1_000_000)]
    semver: Semver
    min_agent: Semver
    created: Text
    licence: Text
    card: ListedFile
    input: ModelInput
    backbone: Backbone
    head: Head
    labels: Annotated[tuple[Label, ...], Meta(min_length=1, max_length=200)]
    quantisation: Quantisation
    golden: Annotated[tuple[Golden, ...], Meta(max_length=8)] = ()
    budget: Annotated[tuple[Budget, ...], Meta(max_length=32)] = ()
    metrics: Annotated[tuple[Metric, ...], Meta(max_length=2000)] = ()

    def artifact_for(self, backend: Backend) -> Artifact:
        """The first artifact for `backend`. Raises ModelError when the bundle has none."""
        for artifact in self.backbone.artifacts:
            if artifact.backend == backend:
                return artifact
        held = ", ".join(sorted({a.backend for a in self.backbone.artifacts}))
        raise ModelError(
            f"model {self.name} version {self.version} has no {backend} artifact",
            remedy=f"choose an accelerator it was made for ({held}) or another model",
        )


class _Header(msgspec.Struct, frozen=True):
    schema: int


def load_manifest(payload: bytes) -> ModelManifest:
    """Parse and check a manifest.

    Raises ModelError with the reason and the place: too large, not JSON, a schema this agent
    does not know, a field missing, of the wrong type or out of range, or parts that contradict
    each other.
    """
    if len(payload) > MAX_MANIFEST_BYTES:
        raise _refusal(f"{len(payload)} bytes, more than {MAX_MANIFEST_BYTES}")
    try:
        schema = msgspec.json.decode(payload, type=_Header).schema
        if schema != SCHEMA:
            raise ModelError(
                f"model manifest has schema {schema}, this agent knows {SCHEMA}",
                remedy="update the agent, or install a model made for it",
            )
        manifest = msgspec.json.decode(payload, type=ModelManifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _refusal(str(exc) or type(exc).__name__) from exc
    _refuse_contradictions(manifest)
    return manifest


def dump_manifest(manifest: ModelManifest) -> bytes:
    """Indented JSON, fields in declaration order: the same manifest gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def json_schema() -> dict[str, Any]:
    """JSON Schema of the manifest, made from the structs."""
    return msgspec.json.schema(ModelManifest)


def agent_is_new_enough(manifest: ModelManifest, agent_version: str) -> bool:
    """True when `agent_version` is at least the manifest's `min_agent` (numbers compared)."""
    return _numbers(agent_version) >= _numbers(manifest.min_agent)


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return tuple(int(part) for part in found.groups()) if found else (0, 0, 0)


def _refuse_contradictions(manifest: ModelManifest) -> None:
    seen: set[str] = set()
    for label in manifest.labels:
        if label.id in seen:
            raise _refusal(f"label {label.id} is listed twice")
        seen.add(label.id)
        if label.threshold_off > label.threshold_on:
            raise _refusal(
                f"label {label.id}: threshold_off {label.threshold_off} is above"
                f" threshold_on {label.threshold_on}"
            )
    period_ms = 1000.0 / manifest.input.frame_rate_hz
    if manifest.input.max_gap_ms < period_ms:
        raise _refusal(
            f"input.max_gap_ms {manifest.input.max_gap_ms} is shorter than one frame"
            f" ({period_ms:.0f} ms): every frame would reset the head"
        )
    for artifact in manifest.backbone.artifacts:
        zero = 0 if artifact.tensor.dtype == "uint8" else -128
        if artifact.tensor.zero_point != zero:
            raise _refusal(
                f"artifact {artifact.path}: {artifact.tensor.dtype} with zero point"
                f" {artifact.tensor.zero_point}, {zero} is needed for pictures in 0..1"
            )
    for metric in manifest.metrics:
        if metric.label not in seen:
            raise _refusal(f"metric for label {metric.label}, which the model does not have")


def _refusal(reason: str) -> ModelError:
    return ModelError(
        f"model manifest refused ({reason})", remedy="install the bundle again as it was released"
    )
