"""The updater: a short-lived child of uplink that decides, downloads, verifies and installs.

It has no network: it asks uplink for metadata and chunks (see ipc.update_messages), and believes
nothing that is not signed. What it leaves is a bundle in its slot and a note that it is wanted;
the tagger gates and activates it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

from agent.config import Settings
from agent.core.model_targeting import Camera, Choice, choose
from agent.crypto.update_trust import Offer, Offers, UpdateTrust
from agent.errors import AgentError, ModelError, UpdateError, UpdateRefusedError, WireError
from agent.ipc.framed import Framed
from agent.ipc.update_messages import AskChunks, AskMetadata, Chunk, Metadata, NoTarget, Told
from agent.ports.clock import Clock
from agent.services.trust_book import moment
from agent.storage.model_shelf import ACTIVE, FALLBACK, ModelShelf, Wanted
from agent.storage.model_slots import listed_files, open_bundle
from agent.wire.bundle_archive import MANIFEST_NAME, read_archive
from agent.wire.depot import CHUNK_BYTES
from agent.wire.model_manifest import (
    MAX_ARTIFACT_BYTES,
    Backend,
    agent_is_new_enough,
)
from agent.wire.telemetry import ModelProgress, UpdateState

WINDOW_CHUNKS = 8
_ANSWER_S = 5.0
_TRIES = 6
_WHY_CHARS = 400


class Source(Protocol):
    """Where metadata and chunks come from, and who is told how far it is. Raises UpdateError when
    nothing comes."""

    def metadata(self, name: str) -> bytes | None: ...

    def chunks(self, sha256: str, numbers: tuple[int, ...]) -> dict[int, bytes]: ...

    def tell(self, told: Told) -> None: ...


class UplinkSource:
    """The socket pair to uplink."""

    def __init__(self, link: Framed, now_s: Callable[[], float] = time.monotonic) -> None:
        self._link, self._now_s = link, now_s

    def metadata(self, name: str) -> bytes | None:
        self._link.send(AskMetadata(name))
        for message in self._answers():
            if isinstance(message, Metadata) and message.name == name:
                return message.content
        raise UpdateError("uplink does not answer")

    def chunks(self, sha256: str, numbers: tuple[int, ...]) -> dict[int, bytes]:
        """Some of the chunks; at least one. The caller asks again for the rest."""
        found: dict[int, bytes] = {}
        for _try in range(_TRIES):
            missing = tuple(n for n in numbers if n not in found)
            self._link.send(AskChunks(sha256, CHUNK_BYTES, missing))
            for message in self._answers():
                if isinstance(message, NoTarget) and message.sha256 == sha256:
                    raise UpdateError(f"the depot does not have it: {message.why}")
                if isinstance(message, Chunk) and message.sha256 == sha256:
                    found[message.number] = message.content
                if all(n in found for n in numbers):
                    return found
            if found:
                return found
        raise UpdateError("the depot does not answer", remedy="is a collector running?")

    def tell(self, told: Told) -> None:
        self._link.send(told)

    def _answers(self) -> Iterator[object]:
        """What comes until nothing came for a while."""
        deadline_s = self._now_s() + _ANSWER_S
        while (left_s := deadline_s - self._now_s()) > 0 and not self._link.is_closed:
            try:
                message = self._link.wait(left_s)
            except WireError as exc:
                raise UpdateError(f"uplink's answer is not understood ({exc})") from exc
            if message is not None:
                yield message
                deadline_s = self._now_s() + _ANSWER_S
        if self._link.is_closed:
            raise UpdateError("uplink went away")


class ModelUpdate:
    """One run. `free_bytes`: room on the card."""

    def __init__(
        self,
        settings: Settings,
        *,
        source: Source,
        trust: UpdateTrust,
        shelf: ModelShelf,
        clock: Clock,
        agent_version: str,
        free_bytes: Callable[[], int],
    ) -> None:
        self._settings, self._source, self._trust = settings, source, trust
        self._shelf, self._clock = shelf, clock
        self._agent_version, self._free_bytes = agent_version, free_bytes
        self._offer: tuple[int, str, int] = 0, "", 0

    def run(self) -> Told:
        """Bring this camera's slots up to what is signed. Tells the source all along, and last of
        all what came of it, which is also returned."""
        try:
            told = self._followed(self._trust.refresh(moment(self._clock)))
        except UpdateRefusedError as exc:
            told = self._refused(exc)
        except (AgentError, OSError) as exc:
            told = self._last("failed", why=str(exc), again=True)
        self._source.tell(told)
        return told

    def _followed(self, offers: Offers) -> Told:
        choice = choose((o.terms.rollout() for o in offers.offers), self._camera(), offers.halted)
        self._note_offer(choice, offers)
        if choice.refused:
            raise UpdateRefusedError(choice.refused)
        if choice.wanted is None:
            return self._stay()
        failure = self._shelf.outcome().failed(choice.push, choice.wanted)
        known = self._shelf.wanted()
        if failure is not None:
            return self._last("refused", why=failure.why)
        if (
            known is not None
            and known.refused
            and (known.push, known.model)
            == (
                choice.push,
                choice.wanted,
            )
        ):
            return self._last("refused", why=known.refused)
        offer = offers.of(*choice.wanted)
        if not self._is_installed(choice.wanted, offer):
            if offer is None:
                raise UpdateError(f"{choice.wanted[0]} {choice.wanted[1]} is on no card")
            self._install(offer)
        name, version = choice.wanted
        terms = offer.terms if offer is not None and offer.terms.push == choice.push else None
        self._shelf.want(
            Wanted(
                push=choice.push,
                name=name,
                version=version,
                shadow_minutes=terms.shadow_minutes if terms else 0,
                agree_above=terms.agree_above if terms else None,
            )
        )
        self._shelf.clear(choice.wanted)
        return self._last("installed")

    def _camera(self) -> Camera:
        device = self._settings.device
        return Camera(
            device.device_id,
            device.groups,
            self._settings.hardware,
            self._shelf.linked(ACTIVE),
            self._shelf.linked(FALLBACK),
        )

    def _note_offer(self, choice: Choice, offers: Offers) -> None:
        if choice.wanted is not None:
            self._offer = choice.push, *choice.wanted
        for offer in offers.offers:
            if choice.wanted is None and offer.terms.push == choice.push:
                self._offer = choice.push, offer.terms.name, offer.terms.version

    def _stay(self) -> Told:
        """Nothing to go over to: what was wanted before, and never came to be, is not any more."""
        active = self._shelf.linked(ACTIVE)
        wanted = self._shelf.wanted()
        if active is not None and wanted is not None and wanted.model != active:
            self._shelf.want(Wanted(push=wanted.push, name=active[0], version=active[1]))
        self._shelf.clear(active)
        return Told(None, is_last=True)

    def _is_installed(self, model: tuple[str, int], offer: Offer | None) -> bool:
        """True when a sound bundle is in the slot, and it is the one that is signed."""
        slot = self._shelf.slot(model)
        if offer is None:
            return slot.is_dir()
        marker = slot / MANIFEST_NAME
        if not marker.is_file():
            return False
        try:
            open_bundle(slot)
        except ModelError:
            return False
        return _recorded(slot) in ("", offer.sha256)

    def _install(self, offer: Offer) -> None:
        need = 2 * offer.bytes + self._settings.retention.min_free_bytes
        free = self._free_bytes()
        if free < need:
            raise UpdateError(
                f"{free // 2**20} MiB are free on the card, {need // 2**20} MiB are needed",
                remedy="it is tried again when clips made room",
            )
        try:
            part = self._download(offer)
            self._unpack(part, offer)
            self._shelf.install((offer.terms.name, offer.terms.version))
        except OSError as exc:
            raise UpdateError(
                f"the card refused the bundle ({exc.strerror})", remedy="free space on the card"
            ) from exc
        except ModelError as exc:
            raise UpdateRefusedError(exc.what, remedy=exc.remedy) from exc
        part.unlink(missing_ok=True)

    def _download(self, offer: Offer) -> Path:
        """The whole, proven file; it goes on where a download before was cut off."""
        folder = self._shelf.incoming
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for other in folder.iterdir():
            if other.name != f"{offer.sha256}.part":
                other.unlink(missing_ok=True)
        part = folder / f"{offer.sha256}.part"
        with part.open("ab") as out:
            out.truncate(min(out.tell() // CHUNK_BYTES * CHUNK_BYTES, offer.bytes))
            out.seek(0, 2)
            done = out.tell()
            while done < offer.bytes:
                self._tell("downloading", percent=done * 100 // offer.bytes)
                for content in self._window(offer, done):
                    out.write(content)
                    done += len(content)
                out.flush()
        if _sha256(part) != offer.sha256:
            part.unlink()
            raise UpdateError(
                "its bytes have another SHA-256 than the signed one",
                remedy="depot or broker altered it; it is fetched anew",
            )
        return part

    def _window(self, offer: Offer, done: int) -> list[bytes]:
        """The next chunks in a row; at least one."""
        first = done // CHUNK_BYTES
        last = min(first + WINDOW_CHUNKS, -(-offer.bytes // CHUNK_BYTES))
        missing, found = list(range(first, last)), {}
        while first not in found:
            for number, content in self._source.chunks(offer.sha256, tuple(missing)).items():
                due = min(CHUNK_BYTES, offer.bytes - number * CHUNK_BYTES)
                if number not in missing or len(content) != due:
                    raise UpdateError(f"chunk {number} has {len(content)} bytes, {due} are due")
                found[number] = content
            missing = [n for n in missing if n not in found]
        row = []
        while first in found:
            row.append(found.pop(first))
            first += 1
        return row

    def _unpack(self, part: Path, offer: Offer) -> None:
        """Into staging, file by file. Raises ModelError: it is not what the terms say."""
        staging = self._shelf.staging()

        def take(name: str, content: IO[bytes]) -> None:
            body = content.read(MAX_ARTIFACT_BYTES + 1)
            if len(body) > MAX_ARTIFACT_BYTES:
                raise ModelError(f"{name} is larger than {MAX_ARTIFACT_BYTES} bytes")
            self._shelf.put(name, body)

        with part.open("rb") as stream:
            read_archive(stream, take)
        bundle = open_bundle(staging)
        manifest, terms = bundle.manifest, offer.terms
        if (manifest.name, manifest.version) != (terms.name, terms.version):
            raise ModelError(
                f"it says it is {manifest.name} {manifest.version}, signed was {terms.name}"
                f" {terms.version}"
            )
        listed = {MANIFEST_NAME, *(each.path for each in listed_files(manifest))}
        extra = {file.name for file in staging.iterdir()} - listed
        if extra:
            raise ModelError(f"it holds {min(extra)}, which its manifest does not list")
        if not agent_is_new_enough(manifest, self._agent_version):
            raise ModelError(f"it needs agent {manifest.min_agent}, this is {self._agent_version}")
        backend: Backend = (
            "onnxruntime"
            if self._settings.tagger.accelerator == "fake"
            else self._settings.tagger.accelerator
        )
        manifest.artifact_for(backend)
        self._shelf.put(_SOURCE_FILE, offer.sha256.encode())

    def _refused(self, exc: UpdateError) -> Told:
        push, name, version = self._offer
        why = str(exc)[:_WHY_CHARS]
        try:
            if push and name:
                self._shelf.want(Wanted(push=push, name=name, version=version, refused=why))
        except OSError as error:
            return self._last("failed", why=f"{why} ({error.strerror})", again=True)
        return self._last("refused", why=why)

    def _last(self, state: UpdateState, *, why: str = "", again: bool = False) -> Told:
        return Told(self._progress(state, why=why), is_last=True, again=again)

    def _tell(self, state: UpdateState, *, percent: int = 0) -> None:
        self._source.tell(Told(self._progress(state, percent=percent)))

    def _progress(self, state: UpdateState, *, percent: int = 0, why: str = "") -> ModelProgress:
        push, name, version = self._offer
        return ModelProgress(
            state=state,
            push=push,
            name=name,
            version=version,
            percent=percent,
            why=" ".join(why.split())[:_WHY_CHARS],
        )


_SOURCE_FILE = "bundle.sha256"


def _recorded(slot: Path) -> str:
    """The hash of the archive that the slot was made from; "" for one from the image."""
    try:
        return (slot / _SOURCE_FILE).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
