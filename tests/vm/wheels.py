"""Python packages for a guest: the wheels of its machine, by the project's own pins."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.vm.debian import BUILD, PYTHON

_REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
_PYTEST = ("iniconfig", "packaging", "pluggy", "pygments", "pytest")
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
_TIMEOUT_S = 300


def packages(names: tuple[str, ...]) -> Path:
    """A folder with these packages and pytest, as a camera with the guest's Python has them."""
    pins = _pins()
    lines = [f"{name}=={pins[name]}" for name in sorted({*names, *_PYTEST})]
    key = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
    folder = BUILD / f"packages-{key}"
    if (folder / "ready").exists():
        return folder
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--upgrade"]
    command += ["--python-version", PYTHON, "--target", str(folder)]
    for platform in _PLATFORMS:
        command += ["--platform", platform]
    subprocess.run([*command, *lines], check=True, timeout=_TIMEOUT_S)
    (folder / "ready").touch()
    return folder


def _pins() -> dict[str, str]:
    pins: dict[str, str] = {}
    for file in (f"py{PYTHON.replace('.', '')}.txt", "dev.txt"):
        for line in (_REQUIREMENTS / file).read_text(encoding="utf-8").splitlines():
            name, equals, version = line.partition("==")
            if equals:
                pins[name.strip().lower()] = version.strip()
    return pins
