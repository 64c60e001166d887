"""Says `never`, signed, keeps the evidence, and says the same again when asked again."""

from __future__ import annotations

from agent.wire.codec import encode
from agent.wire.transfer import Never, Open
from collector.answers import Notary, open_hash
from collector.catalogue import Catalogue, RefusalRow
from collector.errors import RefusedError, StoreError
from collector.report import Report
from collector.store import Store
from collector.verification import manifest_hash


class Refuser:
    """Refuses for good. Used from the main thread."""

    def __init__(self, store: Store, catalogue: Catalogue, notary: Notary, report: Report) -> None:
        self._store = store
        self._catalogue = catalogue
        self._notary = notary
        self._report = report

    def refused_before(self, opened: Open) -> Never | None:
        """The same word as last time, for the same manifest and custody lines."""
        token = self._catalogue.refused(open_hash(opened))
        return (
            None if token is None else Never(manifest_sha256=manifest_hash(opened), refusal=token)
        )

    def refuse(self, device_id: str, clip_id: str, opened: Open, error: RefusedError) -> Never:
        """Sign, note and report a refusal. A disk that cannot note it does not change it."""
        sha256, why = manifest_hash(opened), str(error)
        token, body = self._notary.refusal(clip_id, sha256, why)
        row = RefusalRow(
            open_sha256=open_hash(opened),
            clip_id=clip_id,
            device_id=device_id,
            manifest_sha256=sha256,
            why=body.why,
            refusal=token,
            refused_wall_ns=body.refused_wall_ns,
        )
        try:
            self._store.keep_evidence(device_id, f"{clip_id}.{sha256[:12]}.json", encode(opened))
            self._catalogue.add_refusal(row)
        except StoreError as failure:
            self._report.line(f"the refusal of {clip_id} could not be noted: {failure}")
        self._report.event("refused", clip_id=clip_id, device_id=device_id, why=body.why)
        self._report.line(f"refused {clip_id} from {device_id}: {body.why}")
        return Never(manifest_sha256=sha256, refusal=token)
