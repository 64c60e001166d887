"""Settings from one TOML file: frozen, range-checked at load, unknown keys refused.

`load_settings` is the only way in.
"""

from agent.config.base import ID_PATTERN, Section
from agent.config.hands import Button, Indicator
from agent.config.loading import load_settings, load_toml
from agent.config.sections import (
    CPU_PROVIDER,
    QUIET_HOURS_PATTERN,
    Camera,
    Cards,
    Device,
    Encoder,
    Governor,
    Id,
    InterfaceNames,
    Models,
    Network,
    Paths,
    Port,
    Power,
    Recorder,
    Retention,
    Settings,
    Supervisor,
    Tagger,
    Trust,
    Uplink,
)

__all__ = [
    "CPU_PROVIDER",
    "ID_PATTERN",
    "QUIET_HOURS_PATTERN",
    "Button",
    "Camera",
    "Cards",
    "Device",
    "Encoder",
    "Governor",
    "Id",
    "Indicator",
    "InterfaceNames",
    "Models",
    "Network",
    "Paths",
    "Port",
    "Power",
    "Recorder",
    "Retention",
    "Section",
    "Settings",
    "Supervisor",
    "Tagger",
    "Trust",
    "Uplink",
    "load_settings",
    "load_toml",
]
