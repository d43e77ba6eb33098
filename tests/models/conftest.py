"""Fixtures of the models' tests: those of the families of recognisers."""

import importlib.util
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("families", Path(__file__).parents[1] / "variants" / "conftest.py")
_FAMILIES = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_FAMILIES)

_one_thread = _FAMILIES._one_thread
save_processor, save_model = _FAMILIES.save_processor, _FAMILIES.save_model
local_hub, no_hub = _FAMILIES.local_hub, _FAMILIES.no_hub
