"""Draws a scenario card: an A4 page, as a PNG or a PDF of the same picture."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import segno
from PIL import Image, ImageDraw, ImageFont

from agent.wire.declaration import Declaration

DPI = 200
_MM = DPI / 25.4
PAGE = (round(210 * _MM), round(297 * _MM))
# As wide as the page lets it be: four modules of white must stay on each side (ISO 18004).
_CODE_MM = 165.0
_TOP_MM = 38.0
_INK, _PAPER = 0, 255


class CardSheet:
    """The page for the QR text `text`. `modules`: of the code, a side; fewer are easier to read."""

    def __init__(self, text: str, declared: Declaration, footer: str) -> None:
        # Level L: at the edge of what a camera resolves, larger modules beat more correction.
        code = segno.make_qr(text, error="l", mode="alphanumeric", boost_error=False)
        self._matrix = [bytes(row) for row in code.matrix]
        self._declared, self._footer = declared, footer
        self.modules = len(self._matrix)

    def image(self) -> Image.Image:
        """The page in shades of grey."""
        page = Image.new("L", PAGE, _PAPER)
        draw = ImageDraw.Draw(page)
        _centred(draw, "SIGHTLINE SCENARIO CARD", 16, 7)
        _centred(draw, "Hold it to the lens at arm's length until the camera answers.", 27, 4.5)
        code = self.code(round(_CODE_MM * _MM) // self.modules)
        page.paste(code, ((PAGE[0] - code.width) // 2, round(_TOP_MM * _MM)))
        top = _TOP_MM + _CODE_MM + 12
        for label in self._declared.labels(""):
            draw.text((25 * _MM, top * _MM), label.key, _INK, _font(6))
            draw.text((75 * _MM, top * _MM), label.value, _INK, _font(6))
            top += 7.6
        _centred(draw, self._footer, 288, 3)
        return page

    def code(self, module_px: int) -> Image.Image:
        """The code alone, without a quiet zone."""
        small = Image.new("L", (self.modules, self.modules))
        small.putdata([_PAPER * (1 - dark) for row in self._matrix for dark in row])
        side = self.modules * module_px
        return small.resize((side, side), Image.Resampling.NEAREST)

    def file(self, kind: Literal["png", "pdf"]) -> bytes:
        """The page as a file."""
        out = BytesIO()
        page = self.image()
        if kind == "png":
            page.save(out, "PNG", dpi=(DPI, DPI), optimize=True)
        else:
            page.save(out, "PDF", resolution=DPI, title="Sightline scenario card")
        return out.getvalue()


def _font(height_mm: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=height_mm * _MM)


def _centred(draw: ImageDraw.ImageDraw, text: str, top_mm: float, height_mm: float) -> None:
    draw.text((PAGE[0] / 2, top_mm * _MM), text, _INK, _font(height_mm), anchor="ma")
