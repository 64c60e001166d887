"""Button, indicator and the UPS's line on a real kernel: gpiod, gpio-keys, gpio-leds, uinput.

The lines are those of the guest's PL061; its host moves them (tests/vm/wires.py)."""

from __future__ import annotations

from tests.vm.guest import run

REAL = {
    "test_button": ("gpiod", "evdev"),
    "test_indicator": ("gpiod", "kernel_leds"),
}


def test_contracts_hold_on_real_lines_and_nothing_was_skipped() -> None:
    results = run(
        "hands",
        tests=(
            "tests/contract/test_button.py",
            "tests/contract/test_indicator.py",
            "tests/contract/test_power.py",
            "tests/vm/inside/gpio_edges.py",
        ),
        modules=("evdev", "gpio_keys", "leds_gpio", "uinput"),
        packages=("gpiod", "msgspec"),
    )
    assert [result for result in results if result.outcome != "passed"] == []
    ran = [result.name for result in results]
    for suite, drivers in REAL.items():
        for driver in drivers:
            assert [name for name in ran if suite in name and f"[{driver}" in name], driver
    assert [name for name in ran if "test_a_real_line_says_that_power_fails" in name]
    assert [name for name in ran if "gpio_edges" in name]
