"""The root of a guest: Debian's own packages for its machine, unpacked and never configured, and
the stock kernel with its modules. Made once, kept in build/vm/."""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import IO

from tests.vm.archive import Archive

BUILD = Path(__file__).resolve().parents[2] / "build" / "vm"
SUITE = "trixie"
MACHINE = "arm64"
PYTHON = "3.13"
_PACKAGES = (
    "linux-image-arm64",
    "busybox",
    "python3-minimal",
    f"libpython{PYTHON}-stdlib",
    "zlib1g",
)
# What no test needs, and would have to be unpacked at every boot.
_LEFT_OUT = re.compile(
    r"\./(usr/share|var|boot|dev|usr/include|usr/sbin|usr/lib/(modules|linux-image|systemd|udev|"
    r"klibc|initramfs|apt|gnupg|aarch64-linux-gnu/(perl|systemd|gconv|security|cryptsetup))"
    r"|usr/bin/(perl|systemd|gpg|apt|dpkg|journalctl|localectl))"
)
_TIMEOUT_S = 600


class Root:
    """`archive`: the unpacked packages; `kernel`: its image."""

    def __init__(self) -> None:
        self.folder = BUILD / f"{SUITE}-{MACHINE}"
        self.archive = self.folder / "root.cpio"
        self.kernel = self.folder / "vmlinuz"
        self._modules = self.folder / "modules"

    def make(self) -> None:
        """Needs a network the first time."""
        if (self.folder / "ready").exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        tar = self.folder / "root.tar"
        subprocess.run(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=extract",
                f"--architectures={MACHINE}",
                f"--include={','.join(_PACKAGES)}",
                SUITE,
                str(tar),
            ],
            check=True,
            timeout=_TIMEOUT_S,
        )
        self._sort_out(tar)
        tar.unlink()
        (self.folder / "ready").touch()

    def modules(self, wanted: tuple[str, ...]) -> list[tuple[str, bytes]]:
        """(name, content) of the modules and of all that they need, in the order to load them."""
        files = {path.name.partition(".")[0]: path for path in self._modules.iterdir()}
        order: list[tuple[str, bytes]] = []
        seen: set[str] = set()

        def add(name: str) -> None:
            name = name if name in files else name.replace("_", "-")
            if name in seen:
                return
            seen.add(name)
            content = lzma.decompress(files[name].read_bytes())
            needs = re.search(rb"\0depends=([^\0]*)\0", content)
            for need in needs.group(1).decode().split(",") if needs else []:
                if need:
                    add(need)
            order.append((name, content))

        for name in wanted:
            add(name)
        return order

    def _sort_out(self, tar: Path) -> None:
        self._modules.mkdir()
        with tarfile.open(tar) as packed, self.archive.open("wb") as whole:
            archive, made = Archive(whole), set[str]()
            for link in ("bin", "sbin", "lib"):
                archive.link(link, f"usr/{'bin' if link == 'sbin' else link}")
            for entry in packed:
                self._sort_one(
                    entry, packed.extractfile(entry) if entry.isfile() else None, archive, made
                )
            archive.close()

    def _sort_one(
        self, entry: tarfile.TarInfo, file: IO[bytes] | None, archive: Archive, made: set[str]
    ) -> None:
        content = b"" if file is None else file.read()
        name = entry.name.removeprefix("./")
        if name.endswith(".ko.xz"):
            (self._modules / Path(name).name).write_bytes(content)
        elif name.startswith("boot/vmlinuz"):
            self.kernel.write_bytes(content)
        elif not _LEFT_OUT.match(entry.name):
            if entry.issym() or entry.isfile():
                archive.parents(name, made)
            if entry.issym():
                archive.link(name, entry.linkname)
            elif entry.isfile():
                archive.file(name, content, executable=bool(entry.mode & 0o100))
