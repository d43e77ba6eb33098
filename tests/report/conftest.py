"""Fixtures of the report's tests."""

from .made import estimate, folder, measured, row, rows, written

__all__ = ["estimate", "folder", "measured", "row", "rows", "written"]
