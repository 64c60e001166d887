"""One loaded model: a bundle, the accelerator that runs it, its head, and the tags it makes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.core.picture import Rect
from agent.core.preprocess import PicturePreparer
from agent.core.tagging import Change, OpenSpan, Span, TagTracker
from agent.core.temporal_head import TemporalHead
from agent.errors import AcceleratorError, ModelError
from agent.ports.accelerator import Accelerator, Picture
from agent.storage.model_slots import Bundle, open_bundle
from agent.wire.label_sheet import ModelProvenance
from agent.wire.model_manifest import Golden, ModelManifest, agent_is_new_enough

_MS = 1_000_000
# More digits say nothing about a score; fewer bytes go into every label sheet.
_SCORE_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Scored:
    """What one frame gave. `settled_through_ns`: nothing said later begins or ends up to there."""

    scores: tuple[float, ...]
    changes: tuple[Change, ...]
    open_spans: tuple[OpenSpan, ...]
    settled_through_ns: int


class TaggerModel:
    """Scores frames in order and turns the scores into tags. Made by `load_model`."""

    def __init__(self, bundle: Bundle, accelerator: Accelerator, first_span_id: int = 0) -> None:
        manifest = bundle.manifest
        artifact = manifest.artifact_for(accelerator.backend)
        self.labels = tuple(label.id for label in manifest.labels)
        self.frame_rate_hz = manifest.input.frame_rate_hz
        self._rules = [label.tag_rule() for label in manifest.labels]
        self.max_gap_ms = manifest.input.max_gap_ms
        self._max_gap_ns = self.max_gap_ms * _MS
        self._head = _head(manifest, bundle.arrays(manifest.head))
        # Two by turns: one picture is in the accelerator while the next is prepared.
        self._preparers = itertools.cycle((_preparer(manifest), _preparer(manifest)))
        self._tracker = self._fresh_tracker(first_span_id)
        self.manifest = manifest
        self.golden_difference = 0.0
        self._accelerator = accelerator
        accelerator.open(manifest, artifact, bundle.artifact_file(artifact))
        running = accelerator.describe()
        self.instead_of = running.instead_of
        self.provenance = ModelProvenance(
            name=manifest.name,
            version=manifest.version,
            semver=manifest.semver,
            artifact_sha256=artifact.sha256,
            manifest_sha256=bundle.manifest_sha256,
            backend=running.backend,
            accelerator=running.line,
        )

    def score(
        self, pts_ns: int, i420: Any, frame_width: int, frame_height: int, active: Rect
    ) -> Scored:
        """Score one lores frame.

        Raises AcceleratorError when the accelerator fails (the next frame may be tried), and
        ValueError when the frame is malformed or not after the one before.
        """
        return self.score_picture(pts_ns, self.prepare(i420, frame_width, frame_height, active))

    def prepare(self, i420: Any, frame_width: int, frame_height: int, active: Rect) -> Picture:
        """The model's picture of a lores frame; good until the call after the next one. May be
        called from one thread while another scores. Raises ValueError: the frame is malformed."""
        return next(self._preparers).prepare(i420, frame_width, frame_height, active)

    def score_picture(self, pts_ns: int, picture: Picture) -> Scored:
        """As `score`, of a picture that `prepare` made."""
        raw = self._head.push(pts_ns, self._accelerator.infer(picture))
        if not np.isfinite(raw).all():
            raise AcceleratorError("the model gave a score that is not a finite number")
        # By way of a list: a tuple that grows is no use to Python's store of old ones of its size.
        rounded = [round(score, _SCORE_DIGITS) for score in raw.tolist()]
        scores = tuple(rounded)
        changes = tuple(self._tracker.push(pts_ns, scores))
        settled_ns = self._tracker.settled_through_ns
        return Scored(
            scores=scores,
            changes=changes,
            open_spans=tuple(self._tracker.open_spans()),
            settled_through_ns=pts_ns if settled_ns is None else settled_ns,
        )

    def finish(self, pts_ns: int) -> list[Span]:
        """Close the open spans, at `pts_ns` at the latest, and start anew with the next frame."""
        spans = self._tracker.flush(pts_ns)
        self.restart()
        return spans

    def restart(self) -> None:
        """Forget the past: the next frame is a first one. Span ids go on counting."""
        self._head.reset()
        self._tracker = self._fresh_tracker(self._tracker.next_id)

    def close(self) -> None:
        """Free the accelerator."""
        self._accelerator.close()

    def check_golden(self, bundle: Bundle) -> None:
        """Run the golden pictures. Raises ModelError when the scores are not the expected ones."""
        for golden in bundle.manifest.golden:
            tolerance = golden.tolerance.get(self._accelerator.backend)
            if tolerance is not None:
                self._check(golden, tolerance, bundle)
        self.restart()

    def _check(self, golden: Golden, tolerance: float, bundle: Bundle) -> None:
        arrays = bundle.arrays(golden)
        pictures, pts_ns, expected = (arrays.get(k) for k in ("pictures", "pts_ns", "scores"))
        if pictures is None or pts_ns is None or expected is None:
            raise ModelError(
                f"golden vectors {golden.path} are incomplete",
                remedy="install the bundle again as it was released",
            )
        self._head.reset()
        found = self._scores_of(pictures, [int(t) for t in pts_ns])
        same_shape = found.shape == expected.shape
        difference = float(np.abs(found - expected).max()) if same_shape else math.inf
        self.golden_difference = max(self.golden_difference, difference)
        if not difference <= tolerance:  # also when it is no number
            raise ModelError(
                f"model {bundle.manifest.name} version {bundle.manifest.version} does not give its"
                f" golden scores on {self._accelerator.describe().line}",
                remedy="the runtime or its driver computes wrongly: run `sightline-agent doctor`",
            )

    def _scores_of(self, pictures: NDArray[Any], pts_ns: Sequence[int]) -> NDArray[np.float32]:
        pairs = zip(pictures, pts_ns, strict=True)
        return np.stack([self._head.push(t, self._accelerator.infer(p)) for p, t in pairs])

    def _fresh_tracker(self, next_id: int) -> TagTracker:
        return TagTracker(
            self._rules,
            frame_period_ns=round(1e9 / self.frame_rate_hz),
            max_gap_ns=self._max_gap_ns,
            next_id=next_id,
        )


def load_model(
    folder: Path, accelerator: Accelerator, agent_version: str, *, first_span_id: int = 0
) -> TaggerModel:
    """Verify the bundle in `folder`, open it on `accelerator` and try its golden vectors.

    The golden vectors are compared when what runs is the real backend (a fake computes nothing).
    Raises ModelError or AcceleratorError with the remedy; the accelerator is closed then.
    """
    bundle = open_bundle(folder)
    manifest = bundle.manifest
    if not agent_is_new_enough(manifest, agent_version):
        raise ModelError(
            f"model {manifest.name} version {manifest.version} needs agent {manifest.min_agent},"
            f" this is {agent_version}",
            remedy="update the agent first",
        )
    model = TaggerModel(bundle, accelerator, first_span_id)
    try:
        if model.provenance.backend == accelerator.backend:
            model.check_golden(bundle)
    except BaseException:
        model.close()
        raise
    return model


def _head(manifest: ModelManifest, weights: dict[str, NDArray[Any]]) -> TemporalHead:
    return TemporalHead(
        weights,
        features=manifest.backbone.features,
        window=manifest.head.window,
        stride=manifest.head.stride,
        temperatures=[label.temperature for label in manifest.labels],
        max_gap_ns=manifest.input.max_gap_ms * _MS,
    )


def _preparer(manifest: ModelManifest) -> PicturePreparer:
    picture = manifest.input
    try:
        return PicturePreparer(picture.height, picture.width, picture.crop)
    except ValueError as exc:
        raise ModelError(
            f"model {manifest.name}: {exc}", remedy="install a model made for this agent"
        ) from exc
