"""The fast way to open age files, against pyrage (and Debian's age, in the scenario tests)."""

from __future__ import annotations

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.age_stream import FastOpener

IDENTITY = pyrage.x25519.Identity.generate()
OTHER = pyrage.x25519.Identity.generate()
CHUNK = 64 * 1024
FAST = FastOpener([str(IDENTITY)])
SEALED = pyrage.encrypt(b"p" * (2 * CHUNK + 9), [IDENTITY.to_public()])


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
def test_opens_what_pyrage_sealed(size: int) -> None:
    plain = bytes(index % 251 for index in range(size))
    assert FAST.open(pyrage.encrypt(plain, [IDENTITY.to_public()])) == plain
    several = [OTHER.to_public(), IDENTITY.to_public()]
    assert FAST.open(pyrage.encrypt(plain, several)) == plain


def test_leaves_what_is_for_another_key() -> None:
    assert FAST.open(pyrage.encrypt(b"x", [OTHER.to_public()])) is None


def test_leaves_a_passphrase_file() -> None:
    assert FAST.open(pyrage.passphrase.encrypt(b"x", "word")) is None


@settings(deadline=None)
@given(at=st.integers(0, len(SEALED) - 1), bit=st.integers(0, 7))
def test_flipped_bit_is_left(at: int, bit: int) -> None:
    damaged = bytearray(SEALED)
    damaged[at] ^= 1 << bit
    assert FAST.open(bytes(damaged)) is None


@settings(deadline=None)
@given(end=st.integers(0, len(SEALED) - 1))
def test_truncated_file_is_left(end: int) -> None:
    assert FAST.open(SEALED[:end]) is None


def test_chunks_cannot_be_swapped_left_out_or_added() -> None:
    header = SEALED[: SEALED.index(b"\n", SEALED.index(b"--- ")) + 1 + 16]
    step = CHUNK + 16
    chunks = [SEALED[at : at + step] for at in range(len(header), len(SEALED), step)]
    assert FAST.open(header + b"".join(chunks)) is not None
    for wrong in (
        [chunks[1], chunks[0], chunks[2]],
        [chunks[0], chunks[2]],
        chunks[:2],
        [*chunks, chunks[2]],
        [],
    ):
        assert FAST.open(header + b"".join(wrong)) is None


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_rubbish_is_left(content: bytes) -> None:
    assert FAST.open(content) is None
    assert FAST.open(b"age-encryption.org/v1\n" + content) is None
    assert FAST.open(b"age-encryption.org/v1\n-> X25519 " + content + b"\n--- ") is None
