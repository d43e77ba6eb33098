"""Fixtures of the analysis' tests: the rows of the report's."""

from ..report.made import estimate, measured, row, rows

__all__ = ["estimate", "measured", "row", "rows"]
