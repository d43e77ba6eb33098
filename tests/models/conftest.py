"""Fixtures of the models' tests: those of the families of recognisers."""

from ..variants.tiny import local_hub, no_hub, one_thread, save_model, save_processor

__all__ = ["local_hub", "no_hub", "one_thread", "save_model", "save_processor"]
