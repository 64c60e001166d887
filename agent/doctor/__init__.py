"""`sightline-agent doctor`: each part in one line: its state, the fact measured, the remedy."""

from agent.doctor.finding import Finding, Visit
from agent.doctor.report import PARTS, examine, examine_part, run_doctor, table

__all__ = ["PARTS", "Finding", "Visit", "examine", "examine_part", "run_doctor", "table"]
