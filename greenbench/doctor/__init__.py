"""The doctor: what here would spoil a measurement, and what to do about it."""

from greenbench.doctor.checks import findings, verdict

__all__ = ["findings", "verdict"]
