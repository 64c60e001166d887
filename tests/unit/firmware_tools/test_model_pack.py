"""A bundle is packed only when its parts agree; every refusal names what does not."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent.errors import ModelError
from agent.wire import model_manifest as wire
from agent.wire.bundle_archive import read_archive
from firmware_tools.model_pack import pack
from firmware_tools.sightline import main
from tests.model_bundles import SHIPPED, change_golden, golden_arrays, write_shipped


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shipped(tmp_path / "bundle")
    return tmp_path / "bundle"


def manifest_of(folder: Path) -> wire.ModelManifest:
    return wire.load_manifest((folder / "manifest.json").read_bytes())


def rewrite(folder: Path, **changes: object) -> None:
    manifest = msgspec.structs.replace(manifest_of(folder), **changes)
    (folder / "manifest.json").write_bytes(wire.dump_manifest(manifest))


def test_the_archive_holds_the_listed_files_and_nothing_else_manifest_first(folder: Path) -> None:
    (folder / "notes.txt").write_text("not of the bundle")
    files: dict[str, bytes] = {}
    archive = io.BytesIO(pack(folder).archive)
    read_archive(archive, lambda name, content: files.update({name: content.read()}))
    manifest = manifest_of(folder)
    listed = [manifest.head, manifest.card, *manifest.backbone.artifacts, *manifest.golden]
    assert list(files) == ["manifest.json", *(each.path for each in listed)]
    assert all(hashlib.sha256(files[each.path]).hexdigest() == each.sha256 for each in listed)


def test_the_same_bundle_gives_the_same_bytes(folder: Path) -> None:
    assert pack(folder).archive == pack(folder).archive


def test_the_command_says_what_was_tried_and_where_the_file_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.tar"
    assert main(["model", "pack", str(SHIPPED), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "onnxruntime: passed: golden scores within" in said
    assert f"sightline-reference version 1: {out}, {out.stat().st_size} bytes" in said


def fewer_labels(folder: Path) -> None:
    rewrite(folder, labels=manifest_of(folder).labels[:-1], metrics=())


def wrong_golden_scores(folder: Path) -> None:
    change_golden(folder, scores=1.0 - golden_arrays(folder)["scores"])


def golden_that_is_no_number(folder: Path) -> None:
    change_golden(folder, scores=np.full_like(golden_arrays(folder)["scores"], np.nan))


def golden_of_other_pictures(folder: Path) -> None:
    change_golden(folder, pictures=golden_arrays(folder)["pictures"][:, ::2])


def golden_missing(folder: Path) -> None:
    rewrite(folder, golden=())


def altered(folder: Path) -> None:
    file = folder / "head.npz"
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)


def another_input_size(folder: Path) -> None:
    picture = msgspec.structs.replace(manifest_of(folder).input, height=64)
    golden = golden_arrays(folder)["pictures"][:, :64]
    rewrite(folder, input=picture)
    change_golden(folder, pictures=golden)


def quantised_badly(folder: Path) -> None:
    bad = msgspec.structs.replace(manifest_of(folder).quantisation, decisions_changed=0.2)
    rewrite(folder, quantisation=bad)


def made_for_another_chip(folder: Path) -> None:
    backbone = manifest_of(folder).backbone
    artifact = msgspec.structs.replace(backbone.artifacts[0], backend="hailo")
    golden = msgspec.structs.replace(manifest_of(folder).golden[0], tolerance={"hailo": 0.02})
    rewrite(
        folder,
        backbone=msgspec.structs.replace(backbone, artifacts=(artifact,)),
        golden=(golden,),
    )


REFUSED: list[tuple[Callable[[Path], None], str]] = [
    (fewer_labels, "labels"),
    (wrong_golden_scores, "does not give its golden scores"),
    (golden_that_is_no_number, "does not give its golden scores"),
    (golden_of_other_pictures, "golden.npz holds pictures"),
    (golden_missing, "no golden vectors for onnxruntime"),
    (altered, r"head\.npz was altered"),
    (another_input_size, "takes .* its manifest says"),
    (quantised_badly, r"quantisation changed 20\.0%"),
    (made_for_another_chip, "no artifact that can be tried here"),
]


@pytest.mark.parametrize(
    ("broken", "reason"), REFUSED, ids=lambda each: getattr(each, "__name__", "")
)
def test_a_bundle_that_contradicts_itself_is_refused_with_the_reason(
    folder: Path, broken: Callable[[Path], None], reason: str
) -> None:
    broken(folder)
    with pytest.raises(ModelError, match=reason):
        pack(folder)
