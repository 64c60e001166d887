"""Private keys of the collection server, and what they open."""

from __future__ import annotations

from pathlib import Path

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import KeyFileError
from collector.errors import NotYetError, RefusedError
from collector.unsealing import Unsealer, load_identities

IDENTITY = pyrage.x25519.Identity.generate()
OTHER = pyrage.x25519.Identity.generate()
CHUNK = 64 * 1024


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 200_000])
def test_what_age_sealed_is_opened_whatever_its_size(size: int) -> None:
    plain = bytes(index % 251 for index in range(size))
    sealed = pyrage.encrypt(plain, [OTHER.to_public(), IDENTITY.to_public()])
    assert Unsealer([IDENTITY]).unseal("0000.age", sealed) == plain
    assert Unsealer([OTHER, IDENTITY]).unseal("0000.age", sealed) == plain


def test_file_for_another_key_waits(tmp_path: Path) -> None:
    sealed = pyrage.encrypt(b"x", [OTHER.to_public()])
    with pytest.raises(NotYetError, match=r"0000\.age .*does not hold"):
        Unsealer([IDENTITY]).unseal("0000.age", sealed)


SEALED = pyrage.encrypt(b"p" * (CHUNK + 100), [IDENTITY.to_public()])


@settings(deadline=None)
@given(at=st.integers(0, len(SEALED) - 1), bit=st.integers(0, 7))
def test_flipped_bit_never_opens(at: int, bit: int) -> None:
    damaged = bytearray(SEALED)
    damaged[at] ^= 1 << bit
    with pytest.raises((RefusedError, NotYetError)):
        Unsealer([IDENTITY]).unseal("0000.age", bytes(damaged))


@settings(deadline=None)
@given(end=st.integers(0, len(SEALED) - 1))
def test_truncated_file_never_opens(end: int) -> None:
    with pytest.raises((RefusedError, NotYetError)):
        Unsealer([IDENTITY]).unseal("0000.age", SEALED[:end])


def test_bytes_after_the_end_never_open() -> None:
    with pytest.raises(RefusedError):
        Unsealer([IDENTITY]).unseal("0000.age", SEALED + b"x")


@settings(deadline=None)
@given(st.binary(max_size=500))
def test_rubbish_is_refused(content: bytes) -> None:
    with pytest.raises(RefusedError):
        Unsealer([IDENTITY]).unseal("0000.age", content)


def test_identity_file_as_age_keygen_writes_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "key.txt"
    file.write_text(f"# created: today\n# public key: {IDENTITY.to_public()}\n{IDENTITY}\n\n")
    assert [str(each) for each in load_identities([file])] == [str(IDENTITY)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        ("", "holds none"),
        ("# nothing\n", "holds none"),
        ("\n\nAGE-SECRET-KEY-1WRONG\n", "line 3 is no age private key"),
    ],
)
def test_bad_identity_file_is_one_line_without_the_key(
    tmp_path: Path, content: str | None, says: str
) -> None:
    file = tmp_path / "key.txt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(KeyFileError, match=says) as caught:
        load_identities([file])
    assert str(file) in str(caught.value)
    assert "WRONG" not in str(caught.value)
