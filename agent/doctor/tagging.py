"""The accelerator and the model that runs on it."""

from __future__ import annotations

import time
from statistics import median

from agent import app
from agent.core.picture import LORES_BYTES, LORES_HEIGHT, LORES_WIDTH, Rect
from agent.doctor.finding import Finding, Visit, good, warn
from agent.errors import ModelError

_TRIALS = 20


def check_accelerator(visit: Visit) -> Finding:
    """What the runtime itself says that it runs on, and how long a frame takes."""
    black = bytes(LORES_BYTES)
    whole = Rect(0, 0, LORES_WIDTH, LORES_HEIGHT)
    took_ms = []
    try:
        with app.open_model(visit.settings) as model:
            for frame in range(_TRIALS):
                began_s = time.perf_counter()
                model.score(frame + 1, black, LORES_WIDTH, LORES_HEIGHT, whole)
                took_ms.append((time.perf_counter() - began_s) * 1e3)
            ran, period_ms = model.provenance, 1e3 / model.frame_rate_hz
            instead_of = model.instead_of
    except ModelError:
        asked = visit.settings.tagger.accelerator
        return warn("accelerator", f"{asked}, not tried: no model opens", "see the line below")
    fact = f"{ran.accelerator}, {median(took_ms):.1f} ms a frame, {period_ms:.1f} ms are there"
    if instead_of:
        remedy = f"tagger.allow_cpu lets it; mend {instead_of} for speed"
        return warn("accelerator", fact, remedy)
    if median(took_ms) > period_ms:
        return warn("accelerator", fact, "frames will go unscored: use a faster accelerator")
    return good("accelerator", fact)


def check_model(visit: Visit) -> Finding:
    with app.open_model(visit.settings) as model:
        ran, labels = model.provenance, len(model.labels)
    return good("model", f"{ran.name} {ran.semver} (version {ran.version}), {labels} labels")
