"""The manifest: what is accepted, and what is refused with which reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.errors import ModelError
from agent.wire.model_manifest import (
    MAX_MANIFEST_BYTES,
    Artifact,
    ModelManifest,
    agent_is_new_enough,
    dump_manifest,
    json_schema,
    load_manifest,
)
from tests import tiny_model

Tree = dict[str, Any]


@pytest.fixture
def manifest(tmp_path: Path) -> ModelManifest:
    return tiny_model.write_bundle(tmp_path)


def altered(manifest: ModelManifest, change: Callable[[Tree], object]) -> bytes:
    tree: Tree = msgspec.json.decode(dump_manifest(manifest))
    change(tree)
    return msgspec.json.encode(tree)


def test_a_manifest_reads_back_as_written(manifest: ModelManifest) -> None:
    assert load_manifest(dump_manifest(manifest)) == manifest


def test_unknown_fields_are_ignored(manifest: ModelManifest) -> None:
    payload = altered(manifest, lambda t: (t.update(x=1), t["input"].update(y=[2])))
    assert load_manifest(payload) == manifest


def test_an_unknown_schema_is_refused_before_anything_else(manifest: ModelManifest) -> None:
    payload = altered(manifest, lambda t: (t.update(schema=2), t.pop("labels")))
    with pytest.raises(ModelError, match="schema 2, this agent knows 1"):
        load_manifest(payload)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"\xff", b'{"schema": "1"}', b"[" * 5000])
def test_bytes_that_are_no_manifest_are_refused(payload: bytes) -> None:
    with pytest.raises(ModelError, match="model manifest refused"):
        load_manifest(payload)


def test_a_manifest_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(ModelError, match="more than"):
        load_manifest(b" " * (MAX_MANIFEST_BYTES + 1))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.pop("head"), "head"),
        (lambda t: t.update(version=0), "version"),
        (lambda t: t.update(name="../evil"), "name"),
        (lambda t: t["head"].update(path="../head.npz"), "head.path"),
        (lambda t: t["head"].update(path="a/head.npz"), "head.path"),
        (lambda t: t["head"].update(path=".head"), "head.path"),
        (lambda t: t["head"].update(sha256="AB" * 32), "head.sha256"),
        (lambda t: t["head"].update(bytes=1 << 40), "head.bytes"),
        (lambda t: t["input"].update(height=8), "input.height"),
        (lambda t: t["input"].update(crop="zoom"), "input.crop"),
        (lambda t: t["input"].update(max_gap_ms=50), "shorter than one frame"),
        (lambda t: t["labels"].clear(), "labels"),
        (lambda t: t["labels"][0].update(threshold_on=1.5), "threshold_on"),
        (lambda t: t["labels"][0].update(threshold_off=0.7), "above"),
        (lambda t: t["labels"].append(t["labels"][0]), "twice"),
        (lambda t: t["labels"][0].update(kind="mood"), "kind"),
        (lambda t: t["backbone"]["artifacts"][0].update(backend="abacus"), "backend"),
        (lambda t: t["backbone"]["artifacts"][0]["tensor"].update(zero_point=3), "zero point"),
        (
            lambda t: t.update(
                metrics=[
                    {
                        "label": "who",
                        "held_out_set": "s",
                        "average_precision": None,
                        "prevalence": 0.0,
                    }
                ]
            ),
            "who",
        ),
    ],
)
def test_a_wrong_field_is_refused_and_named(
    manifest: ModelManifest, change: Callable[[Tree], object], reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        load_manifest(altered(manifest, change))


def test_int8_needs_zero_point_minus_128(manifest: ModelManifest) -> None:
    def change(tree: Tree) -> None:
        tree["backbone"]["artifacts"][0]["tensor"].update(dtype="int8", zero_point=-128)

    loaded = load_manifest(altered(manifest, change))
    assert loaded.backbone.artifacts[0].tensor.dtype == "int8"


def test_the_artifact_for_a_backend_is_found(manifest: ModelManifest) -> None:
    assert isinstance(manifest.artifact_for("onnxruntime"), Artifact)


def test_a_backend_without_an_artifact_is_refused_and_the_others_named(
    manifest: ModelManifest,
) -> None:
    with pytest.raises(ModelError, match=r"no hailo artifact.*onnxruntime"):
        manifest.artifact_for("hailo")


@pytest.mark.parametrize(("agent", "enough"), [("0.0.1", True), ("0.10.0", True), ("0.0.0", False)])
def test_agent_versions_are_compared_as_numbers(
    manifest: ModelManifest, agent: str, enough: bool
) -> None:
    assert agent_is_new_enough(manifest, agent) is enough


def test_a_label_becomes_a_tag_rule_in_nanoseconds() -> None:
    rule = tiny_model.label("x", min_on_ms=200, smoothing_ms=3).tag_rule()
    assert (rule.label, rule.min_on_ns, rule.smoothing_ns) == ("x", 200_000_000, 3_000_000)


def test_the_json_schema_names_every_field() -> None:
    described = json_schema()["$defs"]["ModelManifest"]["properties"]
    assert set(described) == set(ModelManifest.__struct_fields__)
