"""Bundles of the shipped model under other names and versions, sound or broken on purpose."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.wire import model_manifest as wire

SHIPPED = Path(__file__).resolve().parents[1] / "models" / "sightline-reference" / "1"


def write_shipped(folder: Path, version: int = 2, **changes: Any) -> wire.ModelManifest:
    """The shipped bundle as `version`; `changes` replace fields of the manifest."""
    shutil.copytree(SHIPPED, folder)
    before = wire.load_manifest((folder / "manifest.json").read_bytes())
    manifest = msgspec.structs.replace(
        before, **({"version": version, "semver": f"0.{version}.0"} | changes)
    )
    (folder / "manifest.json").write_bytes(wire.dump_manifest(manifest))
    return manifest


def replace_file(folder: Path, listed: wire.ListedFile, content: bytes) -> dict[str, Any]:
    """Put other bytes in place of a listed file; what its entry must say now."""
    (folder / listed.path).write_bytes(content)
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def change_golden(folder: Path, **arrays: NDArray[Any]) -> None:
    """Other golden vectors, with a manifest that is true of them."""
    manifest = wire.load_manifest((folder / "manifest.json").read_bytes())
    golden = manifest.golden[0]
    with np.load(folder / golden.path) as before:
        kept = {name: before[name] for name in before.files}
    packed = io.BytesIO()
    np.savez(packed, **(kept | arrays))
    told = replace_file(folder, golden, packed.getvalue())
    changed = msgspec.structs.replace(golden, **told)
    manifest = msgspec.structs.replace(manifest, golden=(changed,))
    (folder / "manifest.json").write_bytes(wire.dump_manifest(manifest))


def golden_arrays(folder: Path) -> dict[str, NDArray[Any]]:
    manifest = wire.load_manifest((folder / "manifest.json").read_bytes())
    with np.load(folder / manifest.golden[0].path) as arrays:
        return {name: arrays[name] for name in arrays.files}
