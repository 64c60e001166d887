"""What opening one clip proved, and what it did not, in one line for a person. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from agent.crypto.custody import fragments_kept
from agent.errors import WireError
from agent.wire.custody import GENESIS
from agent.wire.ids import parse_clip_id
from agent.wire.manifest import fragment_file
from firmware_tools.sealed_clip import Chain, Footage

SheetOrigin = Literal["signed", "unsigned", "built", "built_unsigned", "none"]
_NAMED = 3


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The facts about one opened clip. `before`: the clip that it directly follows, "" when that
    is not known; `words`: where the label sheet (or session record) comes from; `keys_given`:
    custody keys were there to verify with; `faults`: what else is wrong, in plain words."""

    clip_id: str
    chain: Chain
    footage: Footage
    words: SheetOrigin
    before: str = ""
    keys_given: bool = True
    faults: tuple[str, ...] = ()

    @property
    def is_record(self) -> bool:
        return self.clip_id.endswith("-record")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`is_sound`: nothing contradicts anything. A clip that a power cut left open, or that nobody
    gave a custody key for, is sound; the line says what that leaves unproven."""

    line: str
    is_sound: bool


def verdict(opened: Opened) -> Verdict:
    """The line about `opened`."""
    proven, unproven = _proven(opened), _unproven(opened)
    faults = [*opened.faults, *_faults(opened)]
    words = [f"proven: {', '.join(proven) or 'nothing'}"]
    if unproven:
        words.append(f"not proven: {'; '.join(unproven)}")
    if faults:
        words.append(f"wrong: {'; '.join(faults)}")
    return Verdict(line=" ".join("; ".join(words).split()), is_sound=not faults)


def custody_before(chain: Chain, holders: Mapping[str, str]) -> str:
    """What the clip of `chain` directly follows; `holders`: line hash -> clip id, of all clips at
    hand."""
    if not chain.lines:
        return ""
    prev = chain.lines[0].prev
    return "the device's first line" if prev == GENESIS else holders.get(prev, "")


def _proven(opened: Opened) -> list[str]:
    chain, count = opened.chain, len(opened.footage.unchanged)
    if not chain.is_signed:
        return [f"{_fragments(count)} agree with custody lines that nobody vouches for"] * (
            count > 0
        )
    signer = f"device {_device(opened.clip_id)} (key {', '.join(chain.kids)}) signed"
    what = "record" if opened.is_record else _fragments(count)
    found = []
    if count:
        found.append(f"{what} unchanged since {signer} them")
    elif opened.is_record and opened.words == "signed":
        found.append(f"session record unchanged since {signer} it")
    if not chain.problem:
        found.append("chain whole")
    found += _closing(opened)
    if opened.before:
        found.append(f"follows {opened.before}")
    return found


def _closing(opened: Opened) -> list[str]:
    if opened.chain.close is None or opened.is_record:
        return []
    if opened.words == "signed":
        return ["closed by a sheet"]
    if opened.words == "built":
        return ["closed by a recovery (sheet built here from signed labels)"]
    return ["closed"]


def _unproven(opened: Opened) -> list[str]:
    chain, found = opened.chain, []
    if not chain.is_signed and chain.lines and not opened.keys_given:
        found.append("who recorded it (no custody key was given)")
    if chain.lines and chain.close is None:
        found.append("what came after its last fragment (the clip was never closed)")
    if opened.words == "built_unsigned":
        found.append("the labels (sheet built here, the clip was not closed)")
    if chain.lines and not opened.before:
        found.append("that no earlier clip is missing")
    if any(line.clock_trust == "untrusted" for line in chain.lines):
        found.append("wall time (clock untrusted)")
    return found


def _faults(opened: Opened) -> list[str]:
    chain, footage = opened.chain, opened.footage
    found = []
    if chain.unknown_kid and opened.keys_given:
        found.append(f"signed by key {chain.unknown_kid}, which is not among the device's keys")
    elif chain.problem and (chain.lines or opened.keys_given):
        found.append(chain.problem)
    elif chain.problem:
        found.append("no custody line can be read")
    if footage.missing and chain.close is None and _is_tail(opened):
        # The line is durable before its file: a cut between them loses the last one.
        found.append(f"{_names(footage.missing)} did not reach the card before the cut")
    elif footage.missing:
        found.append(f"{_names(footage.missing)} missing")
    found += _listed(footage.left_out, "left out")
    found += _listed(footage.unproven, "put in all the same")
    opened_any = [*footage.unchanged, *footage.unproven]
    if opened_any and fragment_file(0) not in opened_any:
        found.append(f"{fragment_file(0)} holds the MP4 header and is not in it: it will not play")
    if opened.words == "unsigned" and chain.close is not None:
        found.append("the label sheet is not the one that was signed")
    if opened.words == "none":
        found.append("no label sheet" if not opened.is_record else "the record does not open")
    return found


def _listed(names: Mapping[str, str], outcome: str) -> list[str]:
    found = [f"{name} {why}: {outcome}" for name, why in list(names.items())[:_NAMED]]
    return found if len(names) <= _NAMED else [*found, f"{len(names) - _NAMED} more {outcome}"]


def _is_tail(opened: Opened) -> bool:
    kept = sorted(fragment_file(index) for index in fragments_kept(opened.chain.lines))
    return opened.footage.missing == kept[-1:]


def _fragments(count: int) -> str:
    return "1 fragment" if count == 1 else f"{count} fragments"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def _device(clip_id: str) -> str:
    try:
        return parse_clip_id(clip_id).device_id
    except WireError:
        return "unknown"
