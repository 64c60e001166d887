"""Installed model bundles: find the active one, and hand out bytes only after their hash agreed."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import ModelError
from agent.wire.bundle_archive import MANIFEST_NAME
from agent.wire.model_manifest import (
    MAX_MANIFEST_BYTES,
    Artifact,
    ListedFile,
    ModelManifest,
    load_manifest,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_UNPACKED_BYTES = 256 * 1024 * 1024
_AGAIN = "install the bundle again as it was released"


@dataclass(frozen=True)
class Bundle:
    """A model bundle whose every listed file was there, whole and of the right hash when opened."""

    folder: Path
    manifest: ModelManifest
    manifest_sha256: str

    def artifact_file(self, artifact: Artifact) -> Path:
        """The path of `artifact`, verified again now. Raises ModelError."""
        _read_verified(self.folder, artifact)
        return self.folder / artifact.path

    def arrays(self, listed: ListedFile) -> dict[str, NDArray[Any]]:
        """The arrays of an .npz file of the bundle, verified now; no pickles. Raises ModelError."""
        import numpy as np  # here, because uplink looks at slots and must not carry it

        content = _read_verified(self.folder, listed)
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as packed:
                unpacked = sum(entry.file_size for entry in packed.infolist())
            if unpacked > _MAX_UNPACKED_BYTES:
                raise ModelError(f"{listed.path}: {unpacked} bytes unpacked", remedy=_AGAIN)
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, KeyError) as exc:
            raise ModelError(f"{listed.path} is no array file ({exc})", remedy=_AGAIN) from exc


def active_folder(state_dir: Path) -> Path:
    """Where the active bundle lies: what `models/active` points to.

    Raises ModelError when no model is active or the link leads nowhere.
    """
    link = state_dir / "models" / "active"
    if not link.is_symlink() and not link.exists():
        raise ModelError(
            f"no model is active ({link} does not exist)",
            remedy="install a model, or set tagger.bundle to a bundle's folder",
        )
    try:
        return link.resolve(strict=True)
    except (OSError, RuntimeError) as exc:
        raise ModelError(
            f"{link} points to a model that is not there", remedy="install the model again"
        ) from exc


def open_bundle(folder: Path) -> Bundle:
    """Read the manifest in `folder` and verify size and SHA-256 of every file that it lists.

    Raises ModelError naming the file: no bundle there, a file missing, truncated or altered.
    """
    file = folder / MANIFEST_NAME
    try:
        with file.open("rb") as stream:
            payload = stream.read(MAX_MANIFEST_BYTES + 1)
    except OSError as exc:
        raise ModelError(
            f"no model bundle in {folder} ({MANIFEST_NAME}: {exc.strerror})",
            remedy="install a model, or mend tagger.bundle",
        ) from exc
    try:
        manifest = load_manifest(payload)
    except ModelError as exc:
        raise ModelError(f"{file}: {exc.what}", remedy=exc.remedy) from exc
    for listed in listed_files(manifest):
        _read_verified(folder, listed)
    return Bundle(folder, manifest, hashlib.sha256(payload).hexdigest())


def listed_files(manifest: ModelManifest) -> list[Artifact | ListedFile]:
    """Every file of the bundle but the manifest."""
    files: list[Artifact | ListedFile] = [manifest.head, manifest.card]
    files += manifest.backbone.artifacts
    files += manifest.golden
    return files


def _read_verified(folder: Path, listed: Artifact | ListedFile) -> bytes:
    """The bytes of a listed file, once their number and hash agree. Never reads beyond the size."""
    file = folder / listed.path
    try:
        with file.open("rb") as stream:
            content = stream.read(listed.bytes + 1)
    except OSError as exc:
        raise ModelError(
            f"model file {file} cannot be read ({exc.strerror})", remedy=_AGAIN
        ) from exc
    if len(content) < listed.bytes:
        raise ModelError(
            f"model file {file} is truncated ({len(content)} of {listed.bytes} bytes)",
            remedy=_AGAIN,
        )
    if len(content) > listed.bytes:
        raise ModelError(
            f"model file {file} is longer than the {listed.bytes} bytes listed", remedy=_AGAIN
        )
    digest = hashlib.sha256(content).hexdigest()
    if digest != listed.sha256:
        raise ModelError(
            f"model file {file} was altered (SHA-256 {digest[:12]}…, {listed.sha256[:12]}… listed)",
            remedy=_AGAIN,
        )
    return content
