"""Whoever has the card, or a core dump of the uplink, has no word and no picture of a session."""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.ipc.control import ask
from agent.ipc.messages import MarkRequest, StartRequest
from firmware_tools.local_stack import LocalStack, Sections
from tests.scenario import evidence
from tests.scenario.conftest import BUNDLE, QUICK, QUICK_FOOTAGE, QUICK_RATE_HZ, over
from tests.scenario.processes import wait_for_pid
from tests.scenario.waiting import wait_for_frames, wait_until_sent

pytestmark = pytest.mark.scenario

# Words that no program says by itself: found anywhere, they leaked.
DECLARED = {
    "trainer": "zebra-4711",
    "site": "quagga-0815",
    "consent": "okapi-2342",
    "gnu-key-99": "bongo-value",
}
SOURCE = "tapir-remote"
TELLTALES = (*DECLARED.values(), "gnu-key-99", SOURCE)
SLOW_LINK: Sections = {
    "uplink": {"part_bytes": 16 * 1024, "window_cap_bytes": 64 * 1024, "bandwidth_cap_kbps": 1500}
}
BLOCK = 16

# Everything that may be read without a key: ids, counts, times, sizes, hashes, a priority class.
CLEAR_KEYS = {
    "manifest.json": {
        *("v", "clip_id", "device_id", "session_id", "start_pts_ns", "end_pts_ns", "frames"),
        *("fragments", "recovered", "priority", "files", "name", "bytes", "sha256"),
    },
    "custody.jsonl": {
        *("v", "kind", "n", "prev", "clip_id", "boot_counter", "mono_ns", "wall_ns"),
        *("clock_trust", "index", "ct_sha256", "ct_bytes", "pt_sha256", "start_pts_ns"),
        *("end_pts_ns", "frames", "cause", "sheet_sha256", "manifest_sha256"),
        "thinned",
    },
    "receipt.jws": {
        *("v", "clip_id", "manifest_sha256", "custody_head", "stored_wall_ns", "collector"),
    },
}
# What H.264 and MP4 look like: start codes of SPS, PPS, IDR and SEI, and names of boxes. Five bytes
# each: in sealed bytes one of them comes by chance once in 100 GB.
FOOTAGE = re.compile(
    rb"\x00\x00\x00\x01[\x67\x27\x68\x28\x65\x25\x06]|ftypi|ftypm|moov\x00|mvhd\x00|avcC\x01|moof\x00"
)


class Theft:
    """A session that was recorded and sent, and what was copied meanwhile and after."""

    def __init__(self, folder: Path) -> None:
        stack = LocalStack(
            folder / "stack",
            footage=QUICK_FOOTAGE,
            bundle=BUNDLE,
            agent=over(QUICK, SLOW_LINK),
        )
        self.store = stack.store_dir
        self.cards = {"in mid-session": folder / "early", "after the receipts": stack.state_dir}
        self.memory: dict[str, bytes] = {}
        with stack:
            stack.wait_ready()
            now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            ask(stack.runtime_dir, StartRequest(now_ns, source=SOURCE, declared=DECLARED))
            wait_for_frames(stack, 2 * QUICK_RATE_HZ)
            now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            ask(stack.runtime_dir, MarkRequest(now_ns, source=SOURCE))
            stack.wait_until(
                lambda: bool(evidence.shelf(stack, "outbox")), timeout_s=30, what="a closed clip"
            )
            self._copy(stack.state_dir, self.cards["in mid-session"])
            self.memory["uplink in mid-transfer"] = memory_of(wait_for_pid(stack, "uplink"))
            self.recorder = memory_of(wait_for_pid(stack, "recorder"))
            stack.stop()
            wait_until_sent(stack)
            self.memory["uplink after the receipts"] = memory_of(wait_for_pid(stack, "uplink"))
            self.clips = evidence.stored_clips(stack)

    def _copy(self, card: Path, to: Path) -> None:
        """File by file: clips move on while they are copied."""
        for path in sorted(card.rglob("*")):
            if path.is_file():
                target = to / path.relative_to(card)
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    shutil.copyfile(path, target)
                except FileNotFoundError:
                    continue

    def plain(self) -> list[bytes]:
        """All that was sealed, as the collector opened it."""
        names = ("clip.mp4", "labels.json", "session.json")
        files = [file for name in names for file in (self.store / "store").rglob(name)]
        return [file.read_bytes() for file in files]

    def video(self) -> list[bytes]:
        return [clip.mp4.read_bytes() for clip in self.clips]


@pytest.fixture(scope="module")
def theft(tmp_path_factory: pytest.TempPathFactory) -> Theft:
    return Theft(tmp_path_factory.mktemp("theft"))


def memory_of(pid: int) -> bytes:
    """All readable memory of a process: what a core dump would hold."""
    pieces = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            if rights[0] != "r" or line.endswith(("[vvar]", "[vsyscall]")):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            try:
                memory.seek(start)
                pieces.append(memory.read(end - start))
            except (OSError, OverflowError):
                continue
    return b"\0".join(pieces)


def blocks(plain: list[bytes], step: int) -> set[bytes]:
    """Pieces of what was sealed, without those that could be anything."""
    cut = {
        content[at : at + BLOCK]
        for content in plain
        for at in range(0, len(content) - BLOCK + 1, step)
    }
    return {piece for piece in cut if len(set(piece)) > 10}


def pieces_in(content: bytes, wanted: set[bytes], step: int) -> set[bytes]:
    return {
        piece
        for at in range(0, len(content) - BLOCK + 1, step)
        if (piece := content[at : at + BLOCK]) in wanted
    }


def card_files(card: Path) -> Iterator[tuple[str, bytes]]:
    files = [path for path in sorted(card.rglob("*")) if path.is_file()]
    assert len([path for path in files if path.suffix == ".age"]) >= 2
    for path in files:
        yield str(path.relative_to(card)), path.read_bytes()


def labels() -> list[str]:
    manifest = json.loads((BUNDLE / "manifest.json").read_bytes())
    return [label["id"] for label in manifest["labels"]]


def test_no_word_of_the_session_is_in_any_byte_of_the_card(theft: Theft) -> None:
    words = [word.encode() for word in (*TELLTALES, *labels(), "trainer", "consent")]
    for when, card in theft.cards.items():
        for name, content in card_files(card):
            decoded = content + b"".join(_payloads(content))
            for word in words:
                assert word not in decoded, (when, name, word)
                assert word.decode() not in name, (when, name)
    # The same search does find them where they may be read.
    opened = b"".join(theft.plain())
    missing = [word for word in words if word not in opened and word.decode() not in labels()]
    assert not missing


def test_no_picture_of_the_session_is_in_any_byte_of_the_card(theft: Theft) -> None:
    wanted = blocks(theft.video(), BLOCK)
    assert len(wanted) > 1000
    for when, card in theft.cards.items():
        for name, content in card_files(card):
            assert not pieces_in(content, wanted, 1), (when, name)
            assert not FOOTAGE.search(content), (when, name)
    assert all(FOOTAGE.search(clip.mp4.read_bytes()) for clip in theft.clips)
    assert pieces_in(b"x" + theft.video()[0], wanted, 1)


def test_clear_files_say_ids_times_sizes_hashes_and_a_class_and_nothing_else(theft: Theft) -> None:
    seen = set()
    for card in theft.cards.values():
        for name, content in card_files(card):
            file = name.rsplit("/", 1)[-1]
            if file.endswith(".age"):
                assert content.startswith(b"age-encryption.org/v1\n")
                continue
            if file in CLEAR_KEYS:
                seen.add(file)
                for value in _values(file, content):
                    assert _keys(value) <= CLEAR_KEYS[file], name
            else:
                assert name.startswith("state/"), name
                assert re.fullmatch(rb"[\x20-\x7e\n]{0,4096}", content), name
    assert seen == set(CLEAR_KEYS)
    causes = {line.cause for clip in theft.clips for line in clip.lines if line.cause}
    assert causes <= {"the recorder was cut off"}
    assert {clip.manifest.priority for clip in theft.clips} <= {"marked", "rare", "tagged", "plain"}


def test_no_word_and_no_picture_is_in_the_memory_of_the_uplink(theft: Theft) -> None:
    wanted = blocks(theft.video(), 1)
    for when, memory in theft.memory.items():
        assert len(memory) > 10_000_000, when
        # A label of one plain word ("automatic") may stand in any library.
        for word in (*TELLTALES, *(label for label in labels() if "_" in label)):
            assert word.encode() not in memory, (when, word)
        assert not pieces_in(memory, wanted, BLOCK), when
        # What it sends is there: the search would find what is there.
        assert b"age-encryption.org/v1" in memory
    # The recorder has them: it was told, and it made the pictures.
    assert all(word.encode() in theft.recorder for word in DECLARED.values())
    assert len(pieces_in(theft.recorder, wanted, BLOCK)) > 100


def _values(file: str, content: bytes) -> Iterator[object]:
    if file == "manifest.json":
        yield json.loads(content)
    else:
        yield from (json.loads(payload) for payload in _payloads(content))


def _payloads(content: bytes) -> Iterator[bytes]:
    """What compact JWS in a file say: a thief can read that much."""
    for found in re.finditer(rb"^[\w-]+\.([\w-]+)\.[\w-]+$", content, flags=re.MULTILINE):
        yield base64.urlsafe_b64decode(found[1] + b"=" * (-len(found[1]) % 4))


def _keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    if isinstance(value, list):
        return set().union(*map(_keys, value))
    return set()
