"""Fixtures of the models' tests: those of the families of recognisers, and a small model of either order of norms."""

from ..compress.conftest import small
from ..variants.tiny import local_hub, no_hub, one_thread, save_model, save_processor

__all__ = ["local_hub", "no_hub", "one_thread", "save_model", "save_processor", "small"]
