"""What is fuzzed: a function of bytes that may raise AgentError and nothing else.

Messages of agent.wire and of the sockets are found by themselves, so that a new one is fuzzed from
its first day; the functions that take text or more than one argument stand in a table.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pkgutil
import random
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import msgspec
import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import agent.wire
from agent.crypto import jws
from agent.crypto.cards import read_card, sign_card
from agent.crypto.custody import intact_prefix, verify_chain
from agent.errors import AgentError
from agent.ipc import messages
from agent.wire import codec, ids, manifest, model_manifest, topics, transfer
from agent.wire.codec import Message, encode
from agent.wire.declaration import Declaration
from agent.wire.label_sheet import MAX_SHEET_BYTES
from agent.wire.transfer import Need, Open
from collector.age_stream import FastOpener
from collector.verification import check_open
from tests.sample_clip import START_PTS_NS, SampleDevice

Target = Callable[[bytes], object]
PART_BYTES = 16 * 1024


class Fuzzed(msgspec.Struct, frozen=True):
    """`seeds`: bytes that it takes, to begin with."""

    target: Target
    seeds: tuple[bytes, ...]


def run_target(target: Target, payload: bytes) -> None:
    """Raises what a decoder must never raise."""
    try:
        target(payload)
    except AgentError as error:
        line = str(error)
        if "\n" in line or not line:
            raise AssertionError(f"not one line: {line!r}") from error


def all_targets() -> dict[str, Fuzzed]:
    return dict(sorted({**_wire_messages(), **_socket_messages(), **_functions()}.items()))


def wire_modules() -> list[ModuleType]:
    found = pkgutil.iter_modules(agent.wire.__path__, "agent.wire.")
    return [importlib.import_module(module.name) for module in found]


def message_kinds() -> dict[str, type[Message]]:
    """Every Message that agent.wire defines."""
    return {
        f"{module.__name__}.{name}": kind
        for module in wire_modules()
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Message) and kind.__module__ == module.__name__ and kind is not Message
    }


def _wire_messages() -> dict[str, Fuzzed]:
    samples = _samples()
    return {
        name: Fuzzed(
            partial(_decoded, kind),
            tuple(encode(sample) for sample in samples if type(sample) is kind)
            or (msgspec.json.encode({"v": 1} | dict.fromkeys(kind.__struct_fields__, 1)),),
        )
        for name, kind in message_kinds().items()
    }


def _decoded(kind: type[Message], payload: bytes) -> None:
    """What is decoded can be encoded, and decodes to the same again."""
    message = codec.decode(kind, payload, max_bytes=MAX_SHEET_BYTES)
    if codec.decode(kind, encode(message), max_bytes=MAX_SHEET_BYTES) != message:
        raise AssertionError("it does not decode to the same again")


def socket_kinds() -> dict[str, Any]:
    structs = inspect.getmembers(messages, inspect.isclass)
    kinds: dict[str, Any] = {
        name: kind
        for name, kind in structs
        if issubclass(kind, msgspec.Struct) and kind.__module__ == messages.__name__
    }
    unions = ("TaggerMessage", "ControlRequest", "EventMessage")
    return {**kinds, **{name: getattr(messages, name) for name in unions}}


def _socket_messages() -> dict[str, Fuzzed]:
    seeds = tuple(messages.pack(sample) for sample in _socket_samples())
    return {
        f"agent.ipc.messages.{name}": Fuzzed(partial(messages.unpack, kind), seeds)
        for name, kind in socket_kinds().items()
    }


def _functions() -> dict[str, Fuzzed]:
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"fuzz").digest())
    identity = pyrage.x25519.Identity.generate()
    device = SampleDevice("cam01", identity.to_public(), key=key)
    clips = [device.clip(count=2, fragment_bytes=50), device.recovered_clip(count=1)]
    opened = [encode(clip.opened(PART_BYTES)) for clip in clips]
    chains = ["\n".join(clip.custody).encode() for clip in clips]
    public, opener = key.public_key(), FastOpener([str(identity)])

    def key_for(kid: str) -> Any:
        return public if kid == device.signer.kid else None

    def custody(payload: bytes) -> None:
        verify_chain(_text(payload).split("\n"), key_for)
        intact_prefix(payload.split(b"\n"), key_for)

    def need(payload: bytes) -> None:
        state = transfer.decode_state(payload)
        if not isinstance(state, Need) or state.contiguous > 8:
            return
        if max(transfer.unpack_have(state, 8), default=0) >= 8:
            raise AssertionError("a part that the clip does not have")

    def whole_open(payload: bytes) -> None:
        check_open("cam01", clips[0].clip_id, codec.decode(Open, payload), lambda _: _keys(device))

    parsers = (topics.parse_up_clip, topics.parse_up_other, topics.parse_down_clip)
    spelt = (topics.up_part("cam01", "x", 3), topics.up_status("c"), topics.down_clip("c", "x"))
    clip_ids = (clips[0].clip_id.encode(), device.record().clip_id.encode())
    sealed = device.sealer.seal(b"plain" * 20).content
    need_seed = encode(transfer.Need(**_NEED, contiguous=2, have="FQ=="))
    return {
        "agent.wire.ids.parse_clip_id": Fuzzed(lambda p: ids.parse_clip_id(_text(p)), clip_ids),
        **{
            f"agent.wire.topics.{parse.__name__}": Fuzzed(
                lambda p, parse=parse: parse(_text(p)),  # type: ignore[misc]
                (topic.encode(),),
            )
            for parse, topic in zip(parsers, spelt, strict=True)
        },
        "agent.wire.transfer.decode_state": Fuzzed(need, (need_seed,)),
        "agent.wire.manifest.decode_manifest": Fuzzed(
            manifest.decode_manifest, tuple(clip.manifest_body for clip in clips)
        ),
        "agent.wire.model_manifest.load_manifest": Fuzzed(
            model_manifest.load_manifest, (_model_manifest(),)
        ),
        "agent.crypto.jws.verify": Fuzzed(
            lambda p: jws.verify(_text(p), key_for), (clips[0].custody[0].encode(),)
        ),
        "agent.crypto.cards.read_card": Fuzzed(
            lambda p: read_card(_text(p), {device.signer.kid: public}),
            (sign_card(Declaration(scenario="hostage"), key).encode(),),
        ),
        "agent.crypto.custody.verify_chain": Fuzzed(custody, tuple(chains)),
        "collector.verification.check_open": Fuzzed(whole_open, tuple(opened)),
        "collector.age_stream.open": Fuzzed(opener.open, (sealed,)),
    }


_NEED: dict[str, Any] = {
    "manifest_sha256": "0" * 64,
    "window_bytes": 4 * PART_BYTES,
    "part_bytes": PART_BYTES,
}


def _samples() -> Iterator[Message]:
    identity = pyrage.x25519.Identity.generate()
    device = SampleDevice("cam01", identity.to_public())
    clip, name = device.clip(count=1, fragment_bytes=50), device.name(0)
    yield clip.manifest
    yield clip.opened(PART_BYTES)
    yield device.sheet(name, 1, START_PTS_NS)
    yield device.fragment_labels(name, 0, START_PTS_NS)
    yield codec.decode(_kind("custody.CustodyLine"), _payload(clip.custody[1]))
    yield transfer.Need(**_NEED, contiguous=2, have="FQ==")


def _socket_samples() -> Iterator[msgspec.Struct]:
    yield messages.FrameHeader(1, 2, 0, 0, 640, 360)
    yield messages.FrameScores(5, (0.5, 0.25))
    yield messages.SpanClosed(1, "muzzle", 2, 3, 0.9, 0.8)
    yield messages.Watermark(7)
    yield messages.TaggerFault("gone")
    yield messages.StartRequest(1, declared={"key": "value"})
    yield messages.MarkRequest(2)


def _kind(name: str) -> type[Message]:
    return message_kinds()[f"agent.wire.{name}"]


def _payload(line: str) -> bytes:
    """Of a compact JWS, its signature unchecked."""
    import base64

    part = line.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _keys(device: SampleDevice) -> dict[str, Any]:
    return {device.signer.kid: device.key.public_key()}


def _model_manifest() -> bytes:
    from tests.footage_maker import SHIPPED

    bundle = SHIPPED.parent.parent / "models" / "sightline-reference" / "1"
    return (bundle / "manifest.json").read_bytes()


def _text(payload: bytes) -> str:
    """As a broker or a file may hand it on: any characters, surrogates too."""
    return payload.decode("utf-8", "surrogateescape")


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """`seed` with a few wounds: JSON values exchanged for nasty ones, bytes cut, doubled, lost."""
    content = seed
    if chance.random() < 0.6:
        try:
            content = msgspec.json.encode(_wounded(msgspec.json.decode(seed), chance))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            content = seed
    for _ in range(chance.choice((0, 0, 1, 1, 2, 8))):
        at = chance.randrange(len(content) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            content = content[:at]
        elif kind == 1:
            content = content[:at] + content[at : at + 20] * chance.choice((2, 50)) + content[at:]
        elif kind == 2:
            content = content[:at] + chance.randbytes(chance.choice((1, 4))) + content[at + 1 :]
        elif kind == 3:
            content = content[:at] + chance.choice(_RAW) + content[at:]
        else:
            content = content[:at] + content[at + chance.choice((1, 8)) :]
    return content


_RAW = (
    b"[" * 5000,
    b'{"a":' * 3000,
    b"9" * 400,
    b"1e999",
    b"\\ud800",
    b"\xff\xfe",
    b"\x00",
    b"\xc0\x80",
    b"\xdd\xff\xff\xff\xff",  # msgpack: an array of 2^32 - 1
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b".." * 20,
    b"-" * 100,
)
_NASTY: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    2**64 - 1,
    -(2**63),
    10**30,
    1e308,
    -0.0,
    "",
    "x" * 10_000,
    "\x00",
    "../../etc/passwd",
    "İ",
    "0" * 64,
    [],
    {},
    [[[[[[]]]]]],
)


def _wounded(value: Any, chance: random.Random) -> Any:
    """`value` with one node somewhere in it exchanged."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        if chance.random() < 0.15:
            return {each: inner for each, inner in value.items() if each != key}
        return {**value, key: _wounded(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        at = chance.randrange(len(value))
        if chance.random() < 0.15:
            return value * chance.choice((0, 2, 60))
        return [*value[:at], _wounded(value[at], chance), *value[at + 1 :]]
    return chance.choice(_NASTY)
