"""WAD archives (the engine's container of lumps), read and written, and PNG lumps for them.

Formats: the Doom WAD directory (12-byte header, 16 bytes an entry) and PNG (RFC 2083) with the
engine's `grAb` chunk, which holds a sprite's origin.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HEADER = struct.Struct("<4sii")
ENTRY = struct.Struct("<ii8s")


@dataclass(frozen=True)
class Lump:
    name: str
    content: bytes


def read_wad(file: Path) -> list[Lump]:
    """Every lump in order. Raises ValueError when `file` is not a WAD."""
    raw = file.read_bytes()
    magic, count, directory = HEADER.unpack_from(raw)
    if magic not in (b"IWAD", b"PWAD"):
        raise ValueError(f"{file}: not a WAD")
    lumps = []
    for i in range(count):
        offset, size, name = ENTRY.unpack_from(raw, directory + i * ENTRY.size)
        text = name.rstrip(b"\0").decode("latin-1").upper()
        lumps.append(Lump(text, raw[offset : offset + size]))
    return lumps


def write_wad(file: Path, lumps: list[Lump]) -> None:
    """Write a PWAD; names are upper-cased and at most 8 characters."""
    body, entries = bytearray(), bytearray()
    for lump in lumps:
        name = lump.name.upper().encode("ascii")
        if len(name) > 8:
            raise ValueError(f"lump name {lump.name} is longer than 8 characters")
        entries += ENTRY.pack(HEADER.size + len(body), len(lump.content), name)
        body += lump.content
    header = HEADER.pack(b"PWAD", len(lumps), HEADER.size + len(body))
    file.write_bytes(header + bytes(body) + bytes(entries))


def png(pixels: NDArray[np.uint8], origin: tuple[int, int] | None = None) -> bytes:
    """PNG bytes of uint8 [h, w, 3 or 4]; `origin` (x, y) is the point that stands on the actor."""
    height, width, channels = pixels.shape
    colour = {3: 2, 4: 6}[channels]
    rows = np.zeros((height, 1 + width * channels), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))]
    if origin is not None:
        chunks.append(_chunk(b"grAb", struct.pack(">ii", *origin)))
    chunks.append(_chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)))
    chunks.append(_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def picture_pixels(lump: bytes, palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [h, w, 4] of a picture lump in the engine's column format."""
    width, height = struct.unpack_from("<HH", lump)
    pixels = np.zeros((height, width, 4), np.uint8)
    for x, start in enumerate(struct.unpack_from(f"<{width}I", lump, 8)):
        at = start
        while (top := lump[at]) != 255:
            length = lump[at + 1]
            column = np.frombuffer(lump, np.uint8, length, at + 3)
            pixels[top : top + length, x, :3] = palette[column]
            pixels[top : top + length, x, 3] = 255
            at += length + 4
    return pixels


def picture_origin(lump: bytes) -> tuple[int, int]:
    return struct.unpack_from("<hh", lump, 4)
