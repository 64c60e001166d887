"""What was promised to whom by when: read off the trace, so that a cut can be held against it."""

from __future__ import annotations

import copy
import hashlib
import re
from dataclasses import dataclass, field

from tests.crash.disk import File, Folder
from tests.crash.processes import Operation

KEPT, STORED = "kept", "stored"
"""Marks: `kept:<clip_id>:<index>`, the recorder said that a fragment is safe on the card;
`stored:<clip_id>`, the collector is about to send the receipt."""

_FRAGMENT = re.compile(r"spool/recording/(?P<clip>[^/]+)/(?P<index>\d{4})\.age")
_FOLDER = re.compile(r"spool/(?P<shelf>[a-z]+)/(?P<clip>[^/]+)")

Fragment = tuple[str, int]
"""(clip id, index)."""


@dataclass
class Account:
    """`version` rises whenever anything else changes.

    acknowledged: SHA-256 of the sealed fragments that are safe, by the mark, or already by the sync
    of the directory after the rename, whichever came first; begun: clips whose directory was made;
    exported: the files of each clip as it came into the outbox; receipted: receipt sent; deleted:
    moved to the trash from the shelf `sent`.
    """

    version: int = 0
    acknowledged: dict[Fragment, str] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    exported: dict[str, dict[str, bytes]] = field(default_factory=dict)
    receipted: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    _named: dict[Fragment, tuple[str, int]] = field(default_factory=dict)

    def frozen(self) -> Account:
        """As it stands now."""
        still = copy.copy(self)
        for name, value in vars(self).items():
            setattr(still, name, copy.copy(value))
        return still

    def note(self, done: Operation) -> None:
        match done.what:
            case "mark":
                self._marked(done.path)
            case "make" if isinstance(done.node, Folder) and (at := _FOLDER.fullmatch(done.path)):
                self.begun.add(at["clip"])
                self.version += 1
            case "move" if isinstance(done.node, File):
                if at := _FRAGMENT.fullmatch(done.target):
                    digest = hashlib.sha256(done.node.live).hexdigest()
                    self._named[at["clip"], int(at["index"])] = digest, done.ended
            case "move" if isinstance(done.node, Folder):
                self._moved(done.node, done)
            case "sync" if at := _FOLDER.fullmatch(done.path):
                for fragment, (_digest, named_at) in list(self._named.items()):
                    if fragment[0] == at["clip"] and named_at < done.began:
                        self._acknowledge(fragment)
            case _:
                pass

    def _marked(self, text: str) -> None:
        kind, clip_id, *rest = text.split(":")
        if kind == KEPT:
            self._acknowledge((clip_id, int(rest[0])))
        elif kind == STORED:
            self.receipted.add(clip_id)
            self.version += 1

    def _acknowledge(self, fragment: Fragment) -> None:
        if fragment in self._named:
            self.acknowledged[fragment] = self._named.pop(fragment)[0]
            self.version += 1

    def _moved(self, folder: Folder, done: Operation) -> None:
        source, target = _FOLDER.fullmatch(done.path), _FOLDER.fullmatch(done.target)
        if source is None or target is None:
            return
        if target["shelf"] == "outbox":
            self.exported[target["clip"]] = {
                name: node.live for name, node in folder.live.items() if isinstance(node, File)
            }
        if (source["shelf"], target["shelf"]) == ("sent", "trash"):
            self.deleted.add(target["clip"])
        self.version += 1
