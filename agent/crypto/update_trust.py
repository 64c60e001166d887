"""Which model roll-outs the fleet's admins really signed: The Update Framework, and its clock.

python-tuf's updater works in a folder of its own, in memory; what it verified is then written here
durably, oldest trust first, and only after that is anything believed. So a power cut never leaves a
camera trusting what it could not show again, and trust never goes back.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from tuf.api import exceptions
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from agent.core.order_rules import Moment
from agent.errors import UpdateError, WireError
from agent.storage import atomic
from agent.storage.atomic import Fsync
from agent.wire.depot import MAX_METADATA_BYTES, metadata_name
from agent.wire.rollout import ISSUED_FIELD, RolloutTerms, from_custom, halt_path, target_path

Fetch = Callable[[str], bytes | None]
"""Metadata by its name on the wire; None when nothing of that name was published."""

_HISTORY = "root_history"
_IN_ORDER = ("timestamp.json", "snapshot.json", "targets.json", "halts.json")
_FLOOR_FILE = "floor.json"
_MAX_ROLLOUTS = 200
# A key that dates what it signs into the future must not stop the camera's updates for ever.
_AHEAD_NS = 86_400 * 10**9

log = logging.getLogger("sightline.update")
logging.getLogger("tuf").setLevel(logging.WARNING)


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A signed bundle: what it is, how long, of which hash."""

    terms: RolloutTerms
    bytes: int
    sha256: str


class Offers(msgspec.Struct, frozen=True, kw_only=True):
    """All roll-outs that are signed now, and the pushes that are halted."""

    offers: tuple[Offer, ...]
    halted: frozenset[int]

    def of(self, name: str, version: int) -> Offer | None:
        for offer in self.offers:
            if (offer.terms.name, offer.terms.version) == (name, version):
                return offer
        return None


class _Floor(msgspec.Struct):
    wall_ns: int


class _WireFetcher(FetcherInterface):
    def __init__(self, fetch: Fetch) -> None:
        self._fetch_named = fetch

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            name = metadata_name(url.rpartition("/")[2])
        except WireError as exc:
            raise exceptions.DownloadHTTPError(exc.what, 404) from exc
        content = self._fetch_named(name)
        if content is None:
            raise exceptions.DownloadHTTPError(f"{name} is not published", 404)
        return iter([content])


class UpdateTrust:
    """The camera's trust in `folder` (`<state_dir>/tuf`), anchored in `root`, from the image."""

    def __init__(self, folder: Path, root: bytes, fetch: Fetch, *, fsync: Fsync = os.fsync) -> None:
        self._folder, self._root, self._fetch, self._fsync = folder, root, fetch, fsync

    def floor_ns(self) -> int:
        """The latest time that was ever known to have come, Unix nanoseconds; 0 at first."""
        try:
            return msgspec.json.decode(
                (self._folder / _FLOOR_FILE).read_bytes(), type=_Floor
            ).wall_ns
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return 0

    def refresh(self, now: Moment) -> Offers:
        """What is signed now, judged at the later of the clock and the floor.

        On return it is durable. Raises UpdateError with the reason: expired, not signed by enough
        keys, older than what is known, mixed, missing, or the card refuses.
        """
        try:
            atomic.make_directory(self._folder / _HISTORY, fsync=self._fsync)
            with tempfile.TemporaryDirectory(prefix="sightline-tuf-") as name:
                return self._refreshed(Path(name), now)
        except OSError as exc:
            raise UpdateError(
                f"{self._folder} cannot be written ({exc.strerror})",
                remedy="free space on the card",
            ) from exc

    def _refreshed(self, work: Path, now: Moment) -> Offers:
        self._seed(work)
        judged_ns = max(now.wall_ns, self.floor_ns())
        try:
            try:
                updater = self._updater(work, judged_ns)
                updater.refresh()
                offers = _offers_in(updater, work)
            finally:
                self._keep(work)
        except exceptions.ExpiredMetadataError as exc:
            date = datetime.fromtimestamp(judged_ns // 10**9, UTC).date()
            raise UpdateError(
                f"{exc}, judged on {date}",
                remedy="renew it (`sightline model refresh`), or set this camera's clock",
            ) from exc
        except exceptions.DownloadError as exc:
            raise UpdateError(f"update metadata cannot be had ({exc})") from exc
        except exceptions.RepositoryError as exc:
            raise UpdateError(
                f"update metadata refused ({exc})",
                remedy="somebody altered it, or its keys are not those of this camera's root",
            ) from exc
        self._raise_floor(work, now)
        return offers

    def _updater(self, work: Path, judged_ns: int) -> Updater:
        config = UpdaterConfig(
            root_max_length=MAX_METADATA_BYTES,
            snapshot_max_length=MAX_METADATA_BYTES,
            targets_max_length=MAX_METADATA_BYTES,
        )
        updater = Updater(
            metadata_dir=str(work),
            metadata_base_url="wire:/",
            fetcher=_WireFetcher(self._fetch),
            config=config,
            bootstrap=self._root,
        )
        # No public way to say what time it is (tuf 7.0.1; the pin matters, and a test holds it).
        judged = datetime.fromtimestamp(judged_ns // 10**9, UTC)
        updater._trusted_set.reference_time = judged
        return updater

    def _seed(self, work: Path) -> None:
        shutil.copytree(self._folder / _HISTORY, work / _HISTORY)
        for name in _IN_ORDER:
            if (self._folder / name).exists():
                shutil.copy(self._folder / name, work / name)

    def _keep(self, work: Path) -> None:
        """Make durable what was verified, also when something later was not."""
        history = work / _HISTORY
        roots = sorted(history.glob("*.root.json"), key=lambda file: int(file.name.split(".")[0]))
        files = [*roots, *(work / name for name in _IN_ORDER if (work / name).exists())]
        for file in files:
            kept = self._folder / file.relative_to(work)
            content = file.read_bytes()
            if not kept.exists() or kept.read_bytes() != content:
                atomic.write_file(kept, content, fsync=self._fsync)

    def _raise_floor(self, work: Path, now: Moment) -> None:
        signed = json.loads((work / "timestamp.json").read_bytes())["signed"]
        issued = signed.get(ISSUED_FIELD, 0)
        issued_ns = issued if isinstance(issued, int) else 0
        if now.is_trusted:
            issued_ns = max(min(issued_ns, now.wall_ns + _AHEAD_NS), now.wall_ns)
        if issued_ns > self.floor_ns():
            content = msgspec.json.encode(_Floor(wall_ns=issued_ns))
            atomic.write_file(self._folder / _FLOOR_FILE, content, fsync=self._fsync)


def _offers_in(updater: Updater, work: Path) -> Offers:
    """Every target whose terms this agent understands; one that it does not is another agent's."""
    paths = list(json.loads((work / "targets.json").read_bytes())["signed"]["targets"])
    offers = []
    for path in paths[:_MAX_ROLLOUTS]:
        target = updater.get_targetinfo(path)
        try:
            terms = from_custom(None if target is None else target.custom, path)
        except WireError as exc:
            log.warning("%s", exc)
            continue
        if target is not None and path == target_path(terms.name, terms.version):
            sha256 = target.hashes.get("sha256", "")
            offers.append(Offer(terms=terms, bytes=target.length, sha256=sha256))
    halted = {
        offer.terms.push
        for offer in offers
        if updater.get_targetinfo(halt_path(offer.terms.push)) is not None
    }
    return Offers(offers=tuple(offers), halted=frozenset(halted))
