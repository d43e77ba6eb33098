"""The doctor: checks of this machine for what would disturb a measurement, with remedies."""

from greenbench.doctor.checks import findings, verdict

__all__ = ["findings", "verdict"]
