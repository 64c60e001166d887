"""A guest machine (arm64, Debian's stock kernel, no network) that runs tests of this repository.

To add tests that need a kernel of their own: a file `tests/vm/guest_<what>.py` that calls `run`
with the modules, packages and test files it wants, and looks at the results. `make test-vm` runs
them all.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.vm.archive import Archive
from tests.vm.board import device_tree
from tests.vm.debian import BUILD, Root
from tests.vm.wheels import packages as wheels
from tests.vm.wires import Wires

_REPOSITORY = Path(__file__).resolve().parents[2]
_MACHINE = ["qemu-system-aarch64", "-cpu", "cortex-a57", "-smp", "2", "-m", "1024", "-nic", "none"]
_CODE = ("agent",)
_TESTS = ("tests/contract", "tests/vm")


@dataclass(frozen=True, slots=True)
class Result:
    """One test inside: its name, and why it did not pass ("" when it did)."""

    name: str
    outcome: str
    why: str


def run(
    name: str,
    *,
    tests: tuple[str, ...],
    modules: tuple[str, ...] = (),
    packages: tuple[str, ...] = (),
    timeout_s: float = 900,
) -> list[Result]:
    """Boot, load `modules`, run the test files `tests` (paths in the repository) with the pinned
    `packages`, and power off. `build/vm/run-<name>` keeps console.log and the rest for a look
    afterwards.

    Raises AssertionError with the console's end when no results come."""
    root = Root()
    root.make()
    folder = BUILD / f"run-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    initrd = folder / "initrd.cpio"
    with initrd.open("wb") as whole:
        for part in (root.archive, _packed(wheels(packages))):
            whole.write(part.read_bytes())
    with initrd.open("ab") as file:
        _write_run(Archive(file), root, modules, tests)
    with _machine(folder, root.kernel, initrd) as process:
        wires = Wires(folder)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(_console(folder)) from None
        finally:
            process.kill()
            process.wait()
            wires.close()
    initrd.unlink()
    return _results(folder)


def _write_run(
    archive: Archive, root: Root, modules: tuple[str, ...], tests: tuple[str, ...]
) -> None:
    """What differs from run to run: the first program, modules, our code and the tests' names."""
    for name in ("dev", "proc", "sys", "tmp", "modules", "repository", "repository/tests"):
        archive.directory(name)
    archive.file("init", (_REPOSITORY / "tests/vm/inside/init.sh").read_bytes(), executable=True)
    archive.file("tests", " ".join(tests).encode())
    for number, (name, content) in enumerate(root.modules(modules)):
        archive.file(f"modules/{number:03d}-{name}.ko", content)
    archive.file("repository/pyproject.toml", (_REPOSITORY / "pyproject.toml").read_bytes())
    for name in (*_CODE, *_TESTS):
        archive.tree(_REPOSITORY / name, f"repository/{name}", leave_out=("__pycache__",))
    archive.close()


def _packed(folder: Path) -> Path:
    """`folder` as an archive, made once."""
    packed = BUILD / f"{folder.name}.cpio"
    if not packed.exists():
        partial = packed.with_suffix(".part")
        with partial.open("wb") as file:
            archive = Archive(file)
            archive.tree(folder, "packages", leave_out=("__pycache__",))
            archive.close()
        partial.rename(packed)
    return packed


@contextlib.contextmanager
def _machine(folder: Path, kernel: Path, initrd: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [*_MACHINE, "-M", "virt", "-dtb", str(device_tree(folder, _MACHINE))]
    command += ["-kernel", str(kernel), "-initrd", str(initrd), "-no-reboot", "-display", "none"]
    command += ["-append", "console=ttyAMA0 quiet panic=-1", "-serial", "file:console.log"]
    command += ["-device", "virtio-serial-pci"]
    command += ["-chardev", "file,id=results,path=results.xml"]
    command += ["-device", "virtserialport,chardev=results,name=results"]
    command += ["-chardev", "socket,id=wires,path=wires.sock,server=on,wait=off"]
    command += ["-device", "virtserialport,chardev=wires,name=wires"]
    command += ["-qtest", "unix:qtest.sock,server=on,wait=off", "-qtest-log", "none"]
    command += ["-qmp", "unix:qmp.sock,server=on,wait=off"]
    with (folder / "qemu.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _results(folder: Path) -> list[Result]:
    try:
        tree = ET.parse(folder / "results.xml")
    except (OSError, ET.ParseError):
        raise AssertionError(_console(folder)) from None
    found = []
    for case in tree.iter("testcase"):
        outcome, why = "passed", ""
        for kind in ("skipped", "failure", "error"):
            if (said := case.find(kind)) is not None:
                outcome, why = kind, said.get("message", "")
        name = f"{case.get('classname')}::{case.get('name')}"
        found.append(Result(name, outcome, why))
    return found


def _console(folder: Path) -> str:
    lines = (folder / "qemu.log").read_text(errors="replace").splitlines()
    console = folder / "console.log"
    if console.exists():
        lines += console.read_text(errors="replace").splitlines()[-60:]
    return "\n".join(["the guest gave no results:", *lines])
