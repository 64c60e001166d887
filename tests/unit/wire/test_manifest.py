"""The manifest: only whole, consistent ones are believed, and nothing about people fits in it."""

import msgspec
import pytest

from agent.errors import WireError
from agent.wire.codec import encode
from agent.wire.manifest import (
    MAX_FILE_BYTES,
    SHEET_FILE,
    FileEntry,
    Manifest,
    decode_manifest,
    fragment_file,
    fragment_labels_file,
)

SESSION = "cam-0123456789abcdef-000001-0001"


def entry(name: str, size: int = 10) -> FileEntry:
    return FileEntry(name=name, bytes=size, sha256="a" * 64)


def manifest(**changes: object) -> Manifest:
    files = (entry(SHEET_FILE), entry(fragment_file(0)), entry(fragment_file(1)))
    fields: dict[str, object] = {
        "clip_id": f"{SESSION}-0000",
        "device_id": "cam",
        "session_id": SESSION,
        "start_pts_ns": 0,
        "end_pts_ns": 2,
        "frames": 60,
        "fragments": 2,
        "files": files,
    }
    return Manifest(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_whole_manifest_comes_back() -> None:
    assert decode_manifest(encode(manifest())) == manifest()
    assert manifest().total_bytes == 30


def test_a_recovered_clip_lists_each_fragments_labels() -> None:
    files = (entry(fragment_labels_file(0)), entry(fragment_file(0)))
    decode_manifest(encode(manifest(files=files, fragments=1, recovered=True)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device_id": "other"}, "ids disagree"),
        ({"session_id": SESSION.replace("0001", "0002")}, "ids disagree"),
        ({"clip_id": "../x"}, "not a clip id"),
        ({"fragments": 3}, "missing or out of order"),
        ({"files": (entry(SHEET_FILE), entry("0001.age"), entry("0000.age"))}, "out of order"),
        ({"files": (entry("0000.age"), entry("0000.age"), entry("0001.age"))}, "named twice"),
        ({"files": (entry("../../x"),)}, "not a valid message"),
        ({"files": (entry("passwd"),)}, "not a valid message"),
        ({"files": ()}, "not a valid message"),
        ({"files": (entry("0000.age", 0), entry("0001.age"))}, "not a valid message"),
        ({"end_pts_ns": -1}, "ends before"),
        ({"frames": -1}, "not a valid message"),
        (
            {
                "fragments": 40,
                "files": tuple(entry(fragment_file(i), MAX_FILE_BYTES) for i in range(40)),
            },
            "more than",
        ),
    ],
)
def test_a_manifest_that_does_not_hold_together_is_refused(
    changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(WireError, match=reason):
        decode_manifest(encode(manifest(**changes)))


def test_the_fields_are_those_that_may_be_in_the_clear() -> None:
    allowed = {
        "v", "clip_id", "device_id", "session_id", "start_pts_ns", "end_pts_ns", "frames",
        "fragments", "recovered", "priority", "files",
    }  # fmt: skip
    assert set(msgspec.json.decode(encode(manifest()))) == allowed


def test_only_a_recovered_clip_may_have_a_hole() -> None:
    files = (entry("0000.age"), entry("0002.age"))
    decode_manifest(encode(manifest(files=files, recovered=True)))
    with pytest.raises(WireError, match="out of order"):
        decode_manifest(encode(manifest(files=files)))
