"""Packs a model bundle, once it has shown on this machine that its parts agree."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from agent import __version__
from agent.drivers.accelerator_onnxruntime import OnnxRuntimeAccelerator
from agent.drivers.accelerator_tflite import TfliteAccelerator
from agent.errors import ModelError
from agent.ports.accelerator import Accelerator
from agent.services.model_gate import gate
from agent.storage.model_slots import Bundle, listed_files, open_bundle
from agent.wire.bundle_archive import MANIFEST_NAME, write_archive
from agent.wire.gate_report import GateReport
from agent.wire.model_manifest import ModelManifest

# What can be tried at a desk. Artifacts for other chips are judged by the gate of each camera.
RUNNERS: Mapping[str, Callable[[], Accelerator]] = {
    "onnxruntime": OnnxRuntimeAccelerator,
    "tflite": TfliteAccelerator,
}
_MOST_DECISIONS_CHANGED = 0.05
_AGAIN = "export the model again"


class Packed(msgspec.Struct, frozen=True):
    """A bundle that may be signed. `tried`: by backend, what the gate found here."""

    manifest: ModelManifest
    archive: bytes
    tried: dict[str, GateReport]

    @property
    def not_tried(self) -> list[str]:
        backends = {artifact.backend for artifact in self.manifest.backbone.artifacts}
        return sorted(backends - self.tried.keys())


def pack(folder: Path, runners: Mapping[str, Callable[[], Accelerator]] = RUNNERS) -> Packed:
    """Check the bundle in `folder` and make its archive.

    Raises ModelError: a file missing, altered or of another size; shapes, labels, quantisation or
    golden scores that do not agree; nothing in it that can be tried on this machine.
    """
    bundle = open_bundle(folder)
    manifest = bundle.manifest
    _refuse_unproven(bundle)
    tried: dict[str, GateReport] = {}
    for backend in dict.fromkeys(each.backend for each in manifest.backbone.artifacts):
        if backend not in runners:
            continue
        report = gate(
            folder,
            runners[backend](),
            agent_version=__version__,
            board="",
            wanted_backend=backend,
        )
        if report.refused:
            raise ModelError(f"bundle {folder} on {backend}: {report.refused}")
        tried[backend] = report
    if not tried:
        raise ModelError(
            f"bundle {folder} has no artifact that can be tried here",
            remedy=f"add one for {' or '.join(sorted(runners))}",
        )
    names = [MANIFEST_NAME, *(listed.path for listed in listed_files(manifest))]
    out = io.BytesIO()
    write_archive(out, [(name, (folder / name).read_bytes()) for name in names])
    return Packed(manifest, out.getvalue(), tried)


def _refuse_unproven(bundle: Bundle) -> None:
    """What no run would show: golden vectors missing for an artifact, of other labels or pictures,
    or a quantisation that changed what the model says."""
    manifest = bundle.manifest
    for artifact in manifest.backbone.artifacts:
        if not any(artifact.backend in golden.tolerance for golden in manifest.golden):
            raise ModelError(
                f"bundle {bundle.folder}: no golden vectors for {artifact.backend}",
                remedy="add them: without them nobody sees a runtime that computes wrongly",
            )
    picture = manifest.input
    for golden in manifest.golden:
        arrays = bundle.arrays(golden)
        wanted = {
            "pictures": (golden.frames, picture.height, picture.width, 3),
            "pts_ns": (golden.frames,),
            "scores": (golden.frames, len(manifest.labels)),
        }
        for name, shape in wanted.items():
            found = arrays[name].shape if name in arrays else None
            if found != shape:
                raise ModelError(
                    f"bundle {bundle.folder}: {golden.path} holds {name} {found}, {shape} is due"
                    f" for {golden.frames} frames and {len(manifest.labels)} labels",
                    remedy=_AGAIN,
                )
    changed = manifest.quantisation.decisions_changed
    if changed > _MOST_DECISIONS_CHANGED:
        raise ModelError(
            f"bundle {bundle.folder}: quantisation changed {changed:.1%} of all decisions,"
            f" {_MOST_DECISIONS_CHANGED:.0%} is the most",
            remedy="calibrate it anew, or keep more layers float",
        )
