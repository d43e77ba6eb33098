"""Fixtures of the methods' tests: those of the families of recognisers."""

from ..variants.tiny import one_thread, save_model, save_processor

__all__ = ["one_thread", "save_model", "save_processor"]
