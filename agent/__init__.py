"""Sightline's camera agent: records, tags and uploads first-person exercise footage."""

__version__ = "0.1.0"
