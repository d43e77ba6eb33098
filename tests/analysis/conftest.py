"""Fixtures of the analysis' tests: the rows of the report's."""

import importlib.util
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("reported", Path(__file__).parents[1] / "report" / "conftest.py")
_REPORTED = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_REPORTED)

row, rows, measured, estimate = _REPORTED.row, _REPORTED.rows, _REPORTED.measured, _REPORTED.estimate
