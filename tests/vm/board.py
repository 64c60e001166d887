"""What is soldered to the guest's GPIO chip: QEMU's own device tree, with lines named, a gpio-keys
button and three gpio-leds put in as a board's overlay does."""

from __future__ import annotations

import subprocess
from pathlib import Path

from agent.core.indication_table import Output

# Offsets on the chip; those of keys and lamps belong to their kernel drivers.
BUTTON, RED, GREEN, MOTOR, KEY, LED_RED, LED_GREEN, LED_MOTOR = range(8)
NAMES = ("BUTTON", "RED", "GREEN", "MOTOR", "KEY", "LED_RED", "LED_GREEN", "LED_MOTOR")
KEY_DEVICE = "sightline-button"
LEDS: dict[Output, int] = {"red": LED_RED, "green": LED_GREEN, "motor": LED_MOTOR}
CHIP = "9030000.pl061"  # its label
_CHIP_NODE = "/pl061@9030000"
_KEY_CODE = "148"  # KEY_PROG1
_ACTIVE_HIGH, _ACTIVE_LOW = "0", "1"
_TIMEOUT_S = 30


def device_tree(folder: Path, machine: list[str]) -> Path:
    """The tree of the QEMU command `machine`, written into `folder`."""
    tree = folder / "board.dtb"
    dump = [*machine[:1], "-M", f"virt,dumpdtb={tree}", *machine[1:], "-display", "none"]
    _run(*dump)
    chip = _run("fdtget", str(tree), _CHIP_NODE, "phandle")

    def put(node: str, name: str, *words: str, kind: str = "s") -> None:
        _run("fdtput", "-t", kind, str(tree), node, name, *words)

    put(_CHIP_NODE, "gpio-line-names", *NAMES)
    _run("fdtput", "-r", str(tree), "/gpio-keys")
    _run("fdtput", "-c", str(tree), "/keys", "/keys/button", "/lamps")
    put("/keys", "compatible", "gpio-keys")
    put("/keys", "label", KEY_DEVICE)
    put("/keys/button", "label", KEY_DEVICE)
    put("/keys/button", "linux,code", _KEY_CODE, kind="u")
    put("/keys/button", "debounce-interval", "5", kind="u")
    put("/keys/button", "gpios", chip, str(KEY), _ACTIVE_LOW, kind="u")
    put("/lamps", "compatible", "gpio-leds")
    for name, offset in LEDS.items():
        node = f"/lamps/{name}"
        _run("fdtput", "-c", str(tree), node)
        put(node, "label", f"sightline:{name}")
        put(node, "gpios", chip, str(offset), _ACTIVE_HIGH, kind="u")
    return tree


def _run(*command: str) -> str:
    ran = subprocess.run(command, check=True, timeout=_TIMEOUT_S, capture_output=True, text=True)
    return ran.stdout.strip()
