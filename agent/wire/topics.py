"""All MQTT topics, and nowhere else. Root `sightline/v1`; ids match `[A-Za-z0-9_-]+`."""

from __future__ import annotations

import re

import msgspec

from agent.errors import WireError

ROOT = "sightline/v1"
_ID = r"[A-Za-z0-9_-]{1,96}"

UP_MANIFESTS = f"{ROOT}/up/+/clip/+/manifest"
UP_PARTS = f"{ROOT}/up/+/clip/+/part/+"
UP_STATUS = f"{ROOT}/up/+/status"
UP_EVENTS = f"{ROOT}/up/+/event"
UP_CUSTODY_KEYS = f"{ROOT}/up/+/custody-keys"
UP_GETS = f"{ROOT}/up/+/get"
DEPOT_ALL = f"{ROOT}/depot/#"
UPDATE_METADATA = f"{ROOT}/tuf/metadata/+"

_UP_CLIP = re.compile(rf"{ROOT}/up/({_ID})/clip/({_ID})/(?:manifest|part/([0-9]{{1,6}}))")
_UP_OTHER = re.compile(rf"{ROOT}/up/({_ID})/(status|event)")
_UP_CUSTODY_KEYS = re.compile(rf"{ROOT}/up/({_ID})/custody-keys")
_UP_GET = re.compile(rf"{ROOT}/up/({_ID})/get")
_DEPOT = re.compile(rf"{ROOT}/depot/({_ID})/(?:open|chunk)/([0-9a-f]{{64}})(?:/([0-9]{{1,7}}))?")
_TARGET = re.compile(rf"{ROOT}/down/({_ID})/target/([0-9a-f]{{64}})/([0-9]{{1,7}}|no)")
_DOWN_DEPOT = re.compile(rf"{ROOT}/down/({_ID})/depot/([0-9a-f]{{64}})")
_METADATA = re.compile(rf"{ROOT}/tuf/metadata/({_ID})")
_DOWN_CLIP = re.compile(rf"{ROOT}/down/({_ID})/clip/({_ID})")


class UpClip(msgspec.Struct, frozen=True):
    """Where a manifest (`part` is None) or a part came from."""

    device_id: str
    clip_id: str
    part: int | None


def up_manifest(device_id: str, clip_id: str) -> str:
    return f"{ROOT}/up/{device_id}/clip/{clip_id}/manifest"


def up_part(device_id: str, clip_id: str, part: int) -> str:
    return f"{ROOT}/up/{device_id}/clip/{clip_id}/part/{part}"


def up_status(device_id: str) -> str:
    return f"{ROOT}/up/{device_id}/status"


def up_event(device_id: str) -> str:
    return f"{ROOT}/up/{device_id}/event"


def up_custody_keys(device_id: str) -> str:
    """Retained: how each of the device's later custody keys was signed by the one before."""
    return f"{ROOT}/up/{device_id}/custody-keys"


def down_request(device_id: str) -> str:
    """Retained: the newest request, "send these clips first" (see wire.orders)."""
    return f"{ROOT}/down/{device_id}/request"


def down_keys(device_id: str) -> str:
    """Retained: the orders that changed the server's keys, oldest first (see wire.orders)."""
    return f"{ROOT}/down/{device_id}/keys"


def down_plan(device_id: str) -> str:
    """Retained: the session plan in force (see wire.orders)."""
    return f"{ROOT}/down/{device_id}/plan"


def down_clip(device_id: str, clip_id: str) -> str:
    return f"{ROOT}/down/{device_id}/clip/{clip_id}"


def down_clips(device_id: str) -> str:
    """The filter a device subscribes to for all answers about its clips."""
    return f"{ROOT}/down/{device_id}/clip/+"


def parse_up_clip(topic: str) -> UpClip:
    """Raises WireError when `topic` is no manifest or part topic."""
    found = _UP_CLIP.fullmatch(topic)
    if found is None:
        raise WireError(f"topic {topic[:200]!r} is no manifest or part topic")
    return UpClip(found[1], found[2], None if found[3] is None else int(found[3]))


def parse_up_other(topic: str) -> tuple[str, str]:
    """(device_id, "status" | "event"). Raises WireError for any other topic."""
    found = _UP_OTHER.fullmatch(topic)
    if found is None:
        raise WireError(f"topic {topic[:200]!r} is no status or event topic")
    return found[1], found[2]


def parse_up_custody_keys(topic: str) -> str | None:
    """The device_id, None for any other topic."""
    found = _UP_CUSTODY_KEYS.fullmatch(topic)
    return None if found is None else found[1]


def parse_down_clip(topic: str) -> tuple[str, str]:
    """(device_id, clip_id). Raises WireError for any other topic."""
    found = _DOWN_CLIP.fullmatch(topic)
    if found is None:
        raise WireError(f"topic {topic[:200]!r} is no answer about a clip")
    return found[1], found[2]


def up_get(device_id: str) -> str:
    """The device asks for chunks of a model bundle (see wire.depot)."""
    return f"{ROOT}/up/{device_id}/get"


def parse_up_get(topic: str) -> str | None:
    """The device_id, None for any other topic."""
    found = _UP_GET.fullmatch(topic)
    return None if found is None else found[1]


def down_target(device_id: str, sha256: str, chunk: int | None) -> str:
    """Chunk number `chunk` of a target; None: the answer that there is none."""
    return f"{ROOT}/down/{device_id}/target/{sha256}/{'no' if chunk is None else chunk}"


def down_targets(device_id: str) -> str:
    """The filter a device subscribes to for all chunks."""
    return f"{ROOT}/down/{device_id}/target/+/+"


def parse_down_target(topic: str) -> tuple[str, int | None] | None:
    """(sha256, chunk number or None for a refusal), None for any other topic."""
    found = _TARGET.fullmatch(topic)
    if found is None:
        return None
    return found[2], None if found[3] == "no" else int(found[3])


def update_metadata(name: str) -> str:
    """Retained: one file of TUF metadata (see wire.depot for the names)."""
    return f"{ROOT}/tuf/metadata/{name}"


def parse_update_metadata(topic: str) -> str | None:
    """The name of the metadata file, None for any other topic."""
    found = _METADATA.fullmatch(topic)
    return None if found is None else found[1]


def depot_open(admin: str, sha256: str) -> str:
    return f"{ROOT}/depot/{admin}/open/{sha256}"


def depot_chunk(admin: str, sha256: str, chunk: int) -> str:
    return f"{ROOT}/depot/{admin}/chunk/{sha256}/{chunk}"


def depot_of(admin: str) -> str:
    """What one admin may write."""
    return f"{ROOT}/depot/{admin}/#"


def parse_depot(topic: str) -> tuple[str, str, int | None] | None:
    """(admin, sha256, chunk or None for an open), None for any other topic."""
    found = _DEPOT.fullmatch(topic)
    if found is None:
        return None
    return found[1], found[2], None if found[3] is None else int(found[3])


def down_depot(admin: str, sha256: str) -> str:
    return f"{ROOT}/down/{admin}/depot/{sha256}"


def down_depots(admin: str) -> str:
    return f"{ROOT}/down/{admin}/depot/+"


def parse_down_depot(topic: str) -> str | None:
    """The sha256, None for any other topic."""
    found = _DOWN_DEPOT.fullmatch(topic)
    return None if found is None else found[2]
