"""A bundle's one file: what goes in comes out, and a hostile tar writes nothing anywhere."""

from __future__ import annotations

import io
import tarfile

import pytest

from agent.errors import ModelError
from agent.wire.bundle_archive import MAX_FILES, read_archive, write_archive

FILES = [("manifest.json", b"{}"), ("head.npz", bytes(range(256)) * 5)]


def packed(files: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    write_archive(out, files)
    return out.getvalue()


def unpacked(archive: bytes) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    read_archive(io.BytesIO(archive), lambda name, content: found.append((name, content.read())))
    return found


def with_entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, link
        tar.addfile(entry)
    return out.getvalue()


def test_files_come_out_as_they_went_in() -> None:
    assert unpacked(packed(FILES)) == FILES


@pytest.mark.parametrize(
    "archive",
    [
        with_entry("../up"),
        with_entry("/root"),
        with_entry("a/b"),
        with_entry(".hidden"),
        with_entry("link", tarfile.SYMTYPE, "/etc/passwd"),
        with_entry("hard", tarfile.LNKTYPE, "manifest.json"),
        with_entry("pipe", tarfile.FIFOTYPE),
        with_entry("device", tarfile.CHRTYPE),
        with_entry("folder", tarfile.DIRTYPE),
        packed([("a", b"1"), ("a", b"2")]),
        packed([(f"f{n}", b"") for n in range(MAX_FILES + 1)]),
        b"not a tar at all" * 100,
        b"",
    ],
)
def test_anything_but_plain_flat_files_is_refused(archive: bytes) -> None:
    with pytest.raises(ModelError, match="bundle archive refused"):
        unpacked(archive)


def test_a_tar_cut_in_the_middle_of_a_file_does_not_pass_for_whole() -> None:
    archive = packed(FILES)
    cut = archive[: 512 + 512 + 512 + 100]
    with pytest.raises(ModelError, match="bundle archive refused"):
        unpacked(cut)
