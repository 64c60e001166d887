"""What every CardReader promises, over the fake and OpenCV."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import segno
from numpy.typing import NDArray

from agent.drivers.card_reader_fake import FakeCardReader
from agent.drivers.card_reader_opencv import OpenCvCardReader
from agent.ports.card_reader import MAX_CODE_CHARS, MAX_CODES, CardReader
from tests.card_maker import lores

TEXT = "SL1" + "7BM2W5-PDQTVQBTAGNR" * 7 + "SITE-12/ABCD"
DRIVERS: dict[str, Callable[[], CardReader]] = {
    "fake": lambda: FakeCardReader(TEXT),
    "opencv": OpenCvCardReader,
}


@pytest.fixture(params=DRIVERS)
def reader(request: pytest.FixtureRequest) -> CardReader:
    return DRIVERS[request.param]()


@pytest.mark.parametrize("code_px", [90, 140, 220])
@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_card_at_arms_length_is_read(reader: CardReader, code_px: int, tilt: float) -> None:
    # A hand is never still: of three pictures one is enough.
    pictures = [lores(TEXT, code_px=code_px, tilt=tilt, seed=seed) for seed in range(3)]
    assert (TEXT,) in [reader.read(picture) for picture in pictures]


@pytest.mark.parametrize("brightness", [0, 16])
def test_picture_without_a_card_shows_none(reader: CardReader, brightness: int) -> None:
    assert reader.read(np.full((360, 640), brightness, np.uint8)) == ()


@pytest.mark.parametrize("shape", [(360, 640, 3), (0, 640), (360,)])
def test_what_is_no_picture_is_a_mistake_of_the_caller(
    reader: CardReader, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="no picture"):
        reader.read(np.zeros(shape, np.uint8))


def test_any_bytes_as_a_picture_are_looked_at_without_an_error(reader: CardReader) -> None:
    rng = np.random.default_rng(1)
    for shape in ((360, 640), (17, 19), (1, 1), (64, 640)):
        reader.read(rng.integers(0, 256, shape, dtype=np.uint8))
        reader.read((rng.integers(0, 2, shape) * 255).astype(np.uint8))


def drawn(code: segno.QRCode, module_px: int) -> NDArray[np.uint8]:
    matrix = np.array([list(row) for row in code.matrix], np.uint8)
    large = np.kron(1 - matrix, np.ones((module_px, module_px), np.uint8)) * 200 + 20
    return np.pad(large, 40, constant_values=220).astype(np.uint8)


def test_foreign_codes_do_no_harm() -> None:
    reader = OpenCvCardReader()
    assert reader.read(drawn(segno.make_qr("https://example.org", error="l"), 6)) == (
        "https://example.org",
    )
    long = segno.make_qr("A" * (MAX_CODE_CHARS + 1), error="l")
    assert reader.read(drawn(long, 4)) == ()
    for content in (bytes(range(128, 256)), b"\xff\xfe\x00binary\x00", "żółć 日本".encode()):
        reader.read(drawn(segno.make_qr(content, error="l"), 5))  # whatever it reads, no error


def test_driver_that_finds_rubbish_or_breaks_is_tamed_by_the_port() -> None:
    reader = FakeCardReader("", "A" * (MAX_CODE_CHARS + 1), "B", "B", *map(str, range(9)))
    bright = np.full((8, 8), 200, np.uint8)
    assert reader.read(bright) == ("B", "0", "1", "2")
    assert len(reader.read(bright)) == MAX_CODES
    reader.error = RuntimeError("segmentation")
    assert reader.read(bright) == ()
