"""Orders about keys that were obeyed stay obeyed; what lies on the card cannot widen trust."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.order_rules import Moment
from agent.crypto.trust import pinned
from agent.errors import OrderError, SpoolError
from agent.services.trust_book import FileWatch, TrustBook
from tests.clock import START_WALL_NS
from tests.order_maker import DAY_NS, DEVICE, key_orders, keys_token, recipient

KEYS = [Ed25519PrivateKey.generate() for _ in range(4)]
PINNED = pinned([KEYS[0].public_key()], [recipient()])
NOW = Moment(START_WALL_NS + DAY_NS, True)
FIRST = keys_token(KEYS[0], 1, [KEYS[1]])
SECOND = keys_token(KEYS[1], 2, [KEYS[2]])
THIRD = keys_token(KEYS[2], 3, [KEYS[3]])


def book(folder: Path) -> TrustBook:
    return TrustBook(folder / "trust" / "keys.json", DEVICE, PINNED)


def test_order_is_in_force_after_a_restart(tmp_path: Path) -> None:
    assert book(tmp_path).take([FIRST], NOW) is not None
    again = book(tmp_path)
    assert (again.trust.seq, again.problem) == (1, "")
    assert again.take((FIRST,), NOW) is None


def test_camera_that_was_off_for_several_rotations_follows_them_all(tmp_path: Path) -> None:
    made = book(tmp_path)
    made.take([FIRST], NOW)
    made.take([FIRST, SECOND, THIRD], NOW)
    assert made.trust.seq == book(tmp_path).trust.seq == 3


def test_older_links_may_have_expired_the_newest_may_not(tmp_path: Path) -> None:
    expired = keys_token(KEYS[0], 1, [KEYS[1]], life_ns=1)
    made = book(tmp_path)
    with pytest.raises(OrderError, match="keys order 1 refused: it expired"):
        made.take([expired], NOW)
    made.take([expired, SECOND], NOW)
    assert book(tmp_path).trust.seq == 2


@pytest.mark.parametrize("replayed", [[FIRST], [FIRST, SECOND]])
def test_replayed_older_orders_are_refused(tmp_path: Path, replayed: list[str]) -> None:
    made = book(tmp_path)
    made.take([FIRST, SECOND, THIRD], NOW)
    with pytest.raises(OrderError, match="end before order 3"):
        made.take(replayed, NOW)
    assert made.trust.seq == 3


def test_refused_order_leaves_everything_as_it_was(tmp_path: Path) -> None:
    made = book(tmp_path)
    made.take([FIRST], NOW)
    forged = keys_token(Ed25519PrivateKey.generate(), 2, [KEYS[3]])
    for tokens in ([forged], [FIRST, forged], [SECOND, forged]):
        with pytest.raises(OrderError):
            made.take(tokens, NOW)
    assert made.trust.seq == book(tmp_path).trust.seq == 1


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"v":2,"orders":[]}', key_orders("x.y.z"), key_orders(SECOND)]
)
def test_damaged_or_planted_file_gives_no_trust_and_the_server_mends_it(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "trust" / "keys.json"
    file.parent.mkdir()
    file.write_bytes(content)
    made = book(tmp_path)
    assert made.trust == PINNED
    assert "hold until the server's orders come again" in made.problem
    made.take([FIRST, SECOND], NOW)
    assert (book(tmp_path).trust.seq, made.problem) == (2, "")


def test_card_that_refuses_leaves_the_order_for_later(tmp_path: Path) -> None:
    file = tmp_path / "trust" / "keys.json"

    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    made = TrustBook(file, DEVICE, PINNED, fsync=refuse)
    with pytest.raises(SpoolError, match="No space left"):
        made.take([FIRST], NOW)
    assert made.trust == PINNED


def test_watch_says_once_that_a_file_is_new(tmp_path: Path) -> None:
    file = tmp_path / "x"
    watch = FileWatch(file)
    assert not watch.has_changed()
    file.write_bytes(b"1")
    assert [watch.has_changed(), watch.has_changed()] == [True, False]
    watch.forget()
    assert watch.has_changed()
