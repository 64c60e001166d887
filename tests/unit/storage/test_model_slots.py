"""Bundles on disk: nothing is handed out that was not verified."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent.errors import ModelError
from agent.storage.model_slots import active_folder, open_bundle
from tests import tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model.write_bundle(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_a_whole_bundle_opens_and_knows_the_hash_of_its_manifest(folder: Path) -> None:
    bundle = open_bundle(folder)
    payload = (folder / "manifest.json").read_bytes()
    assert bundle.manifest.name == "tiny"
    assert bundle.manifest_sha256 == hashlib.sha256(payload).hexdigest()


def test_arrays_come_out_as_they_went_in(folder: Path) -> None:
    bundle = open_bundle(folder)
    found = bundle.arrays(bundle.manifest.head)
    expected = tiny_model.head_arrays()
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model bundle in"):
        open_bundle(tmp_path)


def test_a_broken_manifest_is_refused_with_its_path(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"{")
    with pytest.raises(ModelError, match=r"tiny/manifest\.json"):
        open_bundle(folder)


@pytest.mark.parametrize("name", ["backbone.onnx", "head.npz", "card.md"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"{name} cannot be read \(No such file"):
        open_bundle(folder)


def test_a_truncated_file_is_named_with_both_sizes(folder: Path) -> None:
    file = folder / "backbone.onnx"
    file.write_bytes(file.read_bytes()[:10])
    with pytest.raises(ModelError, match=r"backbone\.onnx is truncated \(10 of 35 bytes\)"):
        open_bundle(folder)


def test_a_longer_file_is_refused(folder: Path) -> None:
    file = folder / "backbone.onnx"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ModelError, match="longer than the 35 bytes"):
        open_bundle(folder)


def test_one_turned_bit_is_seen(folder: Path) -> None:
    file = folder / "backbone.onnx"
    content = bytearray(file.read_bytes())
    content[5] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match="was altered"):
        open_bundle(folder)


def test_a_file_altered_after_opening_is_seen_when_it_is_used(folder: Path) -> None:
    bundle = open_bundle(folder)
    artifact = bundle.manifest.artifact_for("onnxruntime")
    (folder / artifact.path).write_bytes(b"x" * artifact.bytes)
    with pytest.raises(ModelError, match="was altered"):
        bundle.artifact_file(artifact)


def test_an_array_file_that_is_none_is_refused(folder: Path) -> None:
    bundle = open_bundle(folder)
    with pytest.raises(ModelError, match="no array file"):
        bundle.arrays(bundle.manifest.card)


def test_a_pickle_in_an_array_file_is_refused(folder: Path) -> None:
    packed = io.BytesIO()
    np.savez(packed, hidden_weight=np.array([{"not": "numbers"}], dtype=object))
    content = packed.getvalue()
    bundle = open_bundle(folder)
    (folder / "head.npz").write_bytes(content)
    head = msgspec.structs.replace(
        bundle.manifest.head, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)
    )
    with pytest.raises(ModelError, match="no array file"):
        bundle.arrays(head)


def test_an_array_file_that_unpacks_to_far_too_much_is_refused(folder: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(257 << 20))
    content = packed.getvalue()
    bundle = open_bundle(folder)
    (folder / "head.npz").write_bytes(content)
    head = msgspec.structs.replace(
        bundle.manifest.head, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)
    )
    with pytest.raises(ModelError, match="bytes unpacked"):
        bundle.arrays(head)


def test_the_active_model_is_what_the_link_points_to(tmp_path: Path) -> None:
    slot = tmp_path / "models" / "tiny" / "3"
    tiny_model.write_bundle(slot)
    (tmp_path / "models" / "active").symlink_to(Path("tiny") / "3")
    assert active_folder(tmp_path) == slot


def test_no_active_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model is active.*install a model"):
        active_folder(tmp_path)


def test_a_dangling_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "active").symlink_to("gone/1")
    with pytest.raises(ModelError, match="not there"):
        active_folder(tmp_path)
