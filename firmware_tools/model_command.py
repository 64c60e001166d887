"""`sightline model`: pack models, push them to cameras, see who runs what, take them back."""

from __future__ import annotations

import argparse
from pathlib import Path

from agent.errors import ModelError
from agent.storage import atomic

SUMMARY = "model bundles: pack, sign, push, watch, take back"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    pack = commands.add_parser("pack", help="check a bundle's folder and make one file of it")
    pack.add_argument("folder", type=Path, metavar="FOLDER")
    pack.add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="default: NAME-VERSION.tar, here"
    )
    pack.set_defaults(run=_pack)


def _pack(options: argparse.Namespace) -> int:
    from firmware_tools.model_pack import pack

    packed = pack(options.folder)
    manifest = packed.manifest
    out = options.out or Path(f"{manifest.name}-{manifest.version}.tar")
    try:
        atomic.write_file(out, packed.archive, mode=0o644)
    except OSError as exc:
        raise ModelError(f"{out} cannot be written ({exc.strerror})") from exc
    for backend, report in packed.tried.items():
        print(f"{backend}: {report.line}")
    for backend in packed.not_tried:
        print(f"{backend}: not tried here, each camera's gate will")
    print(f"{manifest.name} version {manifest.version}: {out}, {len(packed.archive)} bytes")
    return 0
