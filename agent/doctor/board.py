"""Clock, power, and how hot the board is."""

from __future__ import annotations

from datetime import UTC, datetime

from agent import parts
from agent.doctor.finding import Finding, Visit, bad, good, warn
from agent.drivers.clock_system import SystemClock


def check_clock(visit: Visit) -> Finding:
    clock = SystemClock()
    shown = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC).isoformat(timespec="seconds")
    if clock.trust() == "trusted":
        return good("clock", f"{shown}, synchronised")
    return warn(
        "clock",
        f"{shown}, not synchronised: sheets will say untrusted",
        "let it reach a time server (timedatectl)",
    )


def check_power(visit: Visit) -> Finding:
    # A GPIO line belongs to the recorder while it runs.
    source = parts.build_power(visit.settings, with_line=visit.status is None)
    if source is None:
        return good("power", "no battery is watched (power.driver)")
    now, rule = source.read(), visit.settings.power
    fact = "supply not known" if now.on_mains is None else "on battery"
    fact = "on mains" if now.on_mains else fact
    if now.percent is not None:
        fact += f", {now.percent:.0f} %"
    if now.failing:
        return bad("power", f"{fact}, failing", "restore it")
    if now.percent is not None and not now.on_mains and now.percent < rule.warn_below_percent:
        return warn("power", fact, "charge the battery")
    if now.on_mains is None and now.percent is None:
        remedy = 'a low battery will not be noticed; without one set power.driver = "none"'
        return warn("power", now.problem or fact, remedy)
    return good("power", fact)


def check_board(visit: Visit) -> Finding:
    """Heat and voltage, by which the governor slows scoring down."""
    sensor, rule = parts.build_thermal(visit.settings, visit.sys_dir), visit.settings.governor
    if sensor is None:
        return good("board", "its temperature is not watched (governor.driver)")
    now = sensor.read()
    fact = now.problem if now.celsius is None else f"{now.celsius:.0f} °C"
    if now.slowed:
        remedy = "a stronger supply, or a shorter cable" if "under-voltage" in now.slowed else ""
        fact = f"{fact}, slowed down: {', '.join(now.slowed)}"
        return warn("board", fact, remedy or "let it cool, or give it a heat sink")
    if now.celsius is None:
        remedy = 'heat will not be noticed; set governor.driver = "none" if there is no sensor'
        return warn("board", fact, remedy)
    if now.celsius >= rule.warm_c:
        return warn("board", f"{fact}: scoring slows down", "let it cool, or give it a heat sink")
    return good("board", fact)
