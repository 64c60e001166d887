"""Opens what the cameras sealed: the only place where age private keys are used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyrage

from agent.errors import KeyFileError
from collector.age_stream import FastOpener
from collector.errors import NotYetError, RefusedError

NO_KEY_DELAY_S = 300.0
_MAX_IDENTITY_FILE_BYTES = 64 * 1024
_PURPOSE = "collection server's age identity"


def load_identities(paths: Sequence[Path]) -> list[pyrage.x25519.Identity]:
    """The age private keys in `paths`: one `AGE-SECRET-KEY-1...` a line, `#` comments skipped.

    Raises KeyFileError: a file missing, a line that is no key (by its number, never its text), or
    no key in a file.
    """
    identities: list[pyrage.x25519.Identity] = []
    for path in paths:
        found = [_identity(path, number, line) for number, line in _key_lines(path)]
        if not found:
            raise KeyFileError(f"{_PURPOSE}: {path} holds none", remedy="make one with age-keygen")
        identities += found
    return identities


class Unsealer:
    """Opens sealed files with any of its keys."""

    def __init__(self, identities: Sequence[pyrage.x25519.Identity]) -> None:
        self._identities = list(identities)
        self._fast = FastOpener([str(identity) for identity in identities])

    def unseal(self, name: str, content: bytes) -> bytes | bytearray:
        """The plain bytes of the file `name`. Raises NotYetError (sealed to a key that is not
        here) or RefusedError (damaged before it was hashed)."""
        opened = self._fast.open(content)
        if opened is not None:
            return opened
        try:
            plain: bytes = pyrage.decrypt(content, self._identities)
        except pyrage.DecryptError as exc:
            if "matching keys" in str(exc):
                raise NotYetError(
                    f"{name} is sealed to a key that this collector does not hold",
                    delay_s=NO_KEY_DELAY_S,
                    remedy="add it to keys.age_identity_files",
                ) from exc
            raise RefusedError(f"{name} cannot be opened ({exc})") from exc
        return plain


def _key_lines(path: Path) -> list[tuple[int, str]]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_IDENTITY_FILE_BYTES)
    except OSError as exc:
        raise KeyFileError(
            f"{_PURPOSE}: {path} cannot be read ({exc.strerror})",
            remedy="correct keys.age_identity_files, or make one with age-keygen",
        ) from exc
    lines = enumerate(content.decode("utf-8", "replace").splitlines(), 1)
    return [(n, line.strip()) for n, line in lines if line.strip() and line.strip()[0] != "#"]


def _identity(path: Path, number: int, text: str) -> pyrage.x25519.Identity:
    try:
        return pyrage.x25519.Identity.from_str(text)
    except pyrage.IdentityError as exc:
        raise KeyFileError(
            f"{_PURPOSE}: {path} line {number} is no age private key",
            remedy="each line is one AGE-SECRET-KEY-1... key",
        ) from exc
