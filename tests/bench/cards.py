"""Scenario cards: how small, tilted and blurred they are still read, and what looking costs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from agent.core.card_gate import card_areas
from agent.core.lens import look_at
from agent.drivers.card_reader_opencv import OpenCvCardReader
from agent.services.tagger_link import LOOK_HZ
from firmware_tools.card_office import found_office
from tests.card_maker import card_text, lores
from tests.footage_maker import SHIPPED

CODE_PX = (80, 95, 110, 140, 180, 220)
BLUR_PX = (0.0, 0.8, 1.2)
LOOKS = 20
# Two seconds of holding the card up.
LOOKS_IN_A_ROW = 5


class Rate(NamedTuple):
    """Shares of single looks that read the card, and of rows of looks in which one did."""

    code_px: int
    blur_px: float
    looks: float
    rows: float


class CardFigures(NamedTuple):
    rates: list[Rate]
    card_ms: float
    footage_ms: float
    gate_passed: float
    lens_ms: float

    @property
    def standby_share(self) -> float:
        """Of one core, for looks at footage without a card."""
        return (self.footage_ms + self.lens_ms) * LOOK_HZ / 1e3


def measure(folder: Path) -> CardFigures:
    found_office(folder)
    text, reader = card_text(folder), OpenCvCardReader()
    rates, took_s = [], []
    for code_px in CODE_PX:
        for blur_px in BLUR_PX:
            hits = []
            for seed in range(LOOKS):
                picture = lores(
                    text, code_px=code_px, tilt=0.3 * seed / LOOKS, blur_px=blur_px, seed=seed
                )
                began_s = time.perf_counter()
                hits.append(reader.read(picture) == (text,))
                took_s.append(time.perf_counter() - began_s)
            rows = [any(hits[at::4]) for at in range(4)]
            rates.append(Rate(code_px, blur_px, sum(hits) / LOOKS, sum(rows) / len(rows)))
    footage = _footage()
    began_s = time.perf_counter()
    for picture in footage:
        reader.read(picture)
    footage_s = time.perf_counter() - began_s
    began_s = time.perf_counter()
    for picture in footage:
        look_at(picture)
    lens_s = time.perf_counter() - began_s
    return CardFigures(
        rates=rates,
        card_ms=float(np.median(took_s)) * 1e3,
        footage_ms=footage_s / len(footage) * 1e3,
        gate_passed=sum(bool(card_areas(picture)) for picture in footage) / len(footage),
        lens_ms=lens_s / len(footage) * 1e3,
    )


def report(figures: CardFigures) -> list[str]:
    lines = [
        "  card read, by width of its code in the 640x360 picture (single looks / within 2 s):",
        f"    {'width':>6}" + "".join(f"   blur {blur:g} px".rjust(18) for blur in BLUR_PX),
    ]
    for code_px in CODE_PX:
        of_size = [rate for rate in figures.rates if rate.code_px == code_px]
        cells = "".join(f"{rate.looks:.0%} / {rate.rows:.0%}".rjust(18) for rate in of_size)
        lines.append(f"    {code_px:>3} px{cells}")
    lines += [
        f"  a look at a card {figures.card_ms:.1f} ms, at footage {figures.footage_ms:.1f} ms (in"
        f" {figures.gate_passed:.1%} of it something might be a card), at the lens"
        f" {figures.lens_ms:.1f} ms",
        f"  in standby, at {LOOK_HZ:g} looks a second: {figures.standby_share:.1%} of a core",
    ]
    return lines


def missed(figures: CardFigures) -> list[str]:
    sharp = [rate for rate in figures.rates if rate.blur_px == 0.0]
    return ["cards within two seconds"] * any(rate.rows < 1.0 for rate in sharp)


def _footage() -> list[NDArray[np.uint8]]:
    """A picture in ten of what is shipped, as the model sees it."""
    found = []
    for path in sorted(SHIPPED.glob("*.mp4")):
        with av.open(str(path)) as file:
            for number, frame in enumerate(file.decode(video=0)):
                if number % 10 == 0:
                    grey = frame.reformat(640, 360, "yuv420p").to_ndarray()[:360]
                    found.append(np.ascontiguousarray(grey).astype(np.uint8))
    return found
