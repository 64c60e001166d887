from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.crypto.custody import (
    ChainHead,
    ClipChain,
    CustodyChain,
    SigningTime,
    fragments_kept,
    intact_prefix,
    verify_chain,
)
from agent.crypto.jws import Signer
from agent.errors import CustodyError
from agent.wire.custody import GENESIS, LineKind, line_hash

WHEN = SigningTime(boot_counter=1, mono_ns=5, wall_ns=7, clock_trust="untrusted")
HASH = "ab" * 32
SIGNER = Signer(Ed25519PrivateKey.generate())
FRAGMENT: dict[str, str | int] = {
    "ct_sha256": HASH,
    "ct_bytes": 9,
    "pt_sha256": HASH,
    "start_pts_ns": 0,
    "end_pts_ns": 10,
    "frames": 3,
}


def key_for(kid: str) -> Ed25519PublicKey | None:
    return SIGNER.public_key if kid == SIGNER.kid else None


class Writer:
    """Writes lines of one clip as a camera does."""

    def __init__(self, chain: ClipChain | None = None) -> None:
        self.chain = chain or ClipChain(SIGNER, "clip", n=0, prev=GENESIS)
        self.lines: list[str] = []

    def add(self, kind: LineKind, **fields: str | int | None) -> Writer:
        line = self.chain.sign(kind, WHEN, **fields)
        self.chain.accepted(line)
        self.lines.append(line)
        return self

    def fragment(self, index: int) -> Writer:
        return self.add("fragment", index=index, **FRAGMENT)

    def close(self) -> Writer:
        return self.add("close", manifest_sha256=HASH)


def whole() -> list[str]:
    return Writer().add("open").fragment(0).fragment(1).close().lines


def test_a_whole_chain_verifies_and_gives_its_payloads() -> None:
    kinds = [line.kind for line in verify_chain(whole(), key_for)]
    assert kinds == ["open", "fragment", "fragment", "close"]


def test_the_first_line_is_held_against_what_was_expected() -> None:
    verify_chain(whole(), key_for, GENESIS)
    with pytest.raises(CustodyError, match="line 1"):
        verify_chain(whole(), key_for, HASH)


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_a_line_taken_out_is_found(missing: int) -> None:
    lines = whole()
    del lines[missing]
    with pytest.raises(CustodyError):
        verify_chain(lines, key_for)


def test_two_lines_changing_places_are_found() -> None:
    lines = whole()
    lines[1], lines[2] = lines[2], lines[1]
    with pytest.raises(CustodyError, match="line 2"):
        verify_chain(lines, key_for)


def test_one_changed_character_is_found() -> None:
    lines = whole()
    lines[2] = lines[2][:-3] + ("A" if lines[2][-3] != "A" else "B") + lines[2][-2:]
    with pytest.raises(CustodyError, match="line 3"):
        verify_chain(lines, key_for)


def test_a_key_that_is_not_known_is_refused() -> None:
    with pytest.raises(CustodyError, match="not known"):
        verify_chain(whole(), lambda kid: None)


def test_lines_of_another_clip_are_refused() -> None:
    writer = Writer().add("open")
    writer.chain.clip_id = "other"
    writer.fragment(0).close()
    with pytest.raises(CustodyError, match="another clip"):
        verify_chain(writer.lines, key_for)


@pytest.mark.parametrize(
    "writer",
    [
        Writer().add("open").fragment(1).close(),
        Writer().add("open").fragment(0).fragment(0).close(),
        Writer().fragment(0).close(),
        Writer().add("open").fragment(0),
        Writer().add("open").close().add("gap", start_pts_ns=0, end_pts_ns=1, cause="x"),
        Writer().add("open").add("open").close(),
        Writer().add("open").add("recovered").fragment(0).close(),
        Writer().add("open").add("fragment", index=0).close(),
        Writer().add("open").add("close"),
    ],
)
def test_lines_that_make_no_sense_are_refused(writer: Writer) -> None:
    with pytest.raises(CustodyError, match="custody: line"):
        verify_chain(writer.lines, key_for)


THINNED: dict[str, str | int] = {
    "thinned": "another",
    "manifest_sha256": HASH,
    "start_pts_ns": 0,
    "end_pts_ns": 10,
    "frames": 3,
    "cause": "card full",
}


def record_writer() -> Writer:
    return Writer(ClipChain(SIGNER, "session-record", n=0, prev=GENESIS))


def test_a_session_record_may_name_clips_that_were_given_up() -> None:
    lines = record_writer().add("open").add("thinned", **THINNED).close().lines
    assert [line.thinned for line in verify_chain(lines, key_for)] == [None, "another", None]


def test_a_clip_that_may_go_itself_names_none() -> None:
    lines = Writer().add("open").add("thinned", **THINNED).close().lines
    with pytest.raises(CustodyError, match="outside a session record"):
        verify_chain(lines, key_for)


@pytest.mark.parametrize("missing", sorted(THINNED))
def test_a_clip_given_up_is_named_with_all_that_is_known_of_it(missing: str) -> None:
    fields = {name: value for name, value in THINNED.items() if name != missing}
    lines = record_writer().add("open").add("thinned", **fields).close().lines
    with pytest.raises(CustodyError, match=missing):
        verify_chain(lines, key_for)


def test_nothing_is_no_chain() -> None:
    with pytest.raises(CustodyError, match="no line"):
        verify_chain([], key_for)


def test_a_gap_line_with_an_index_withdraws_the_fragment() -> None:
    writer = Writer().add("open").fragment(0).fragment(1).add("recovered")
    writer.add("gap", index=1, start_pts_ns=0, end_pts_ns=1, cause="cut").close()
    assert set(fragments_kept(verify_chain(writer.lines, key_for))) == {0}


def test_the_intact_prefix_ends_before_the_first_bad_line() -> None:
    lines = [line.encode() for line in whole()]
    lines[2] = b"\x00\xff"
    texts, payloads = intact_prefix(lines, key_for)
    assert [line.kind for line in payloads] == ["open", "fragment"]
    assert texts == whole()[:0] + [line.decode() for line in lines[:2]]
    assert intact_prefix([], key_for) == ([], [])


def test_clips_open_side_by_side_hang_on_one_another() -> None:
    device = CustodyChain(SIGNER, ChainHead())
    first = Writer(device.open_clip("a", 1, 10)).add("open")
    device.opened(first.chain, 1)
    first.fragment(0)
    last_before = first.lines[-1]
    second = Writer(device.open_clip("b", 1, 20)).add("open")
    device.opened(second.chain, 1)
    first.close()  # its labels came late
    second.fragment(0).close()
    verify_chain(first.lines, key_for, GENESIS)
    opened = verify_chain(second.lines, key_for, line_hash(last_before))[0]
    assert opened.n == 2
    assert device.head.line_sha256 == line_hash(second.lines[-1])
    assert device.head.clip_id == "b"
