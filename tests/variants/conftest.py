"""Fixtures of the variants' tests."""

from .tiny import local_hub, no_hub, noise, one_thread, save_model, save_processor, tone_corpus, tone_model

__all__ = [
    "local_hub",
    "no_hub",
    "noise",
    "one_thread",
    "save_model",
    "save_processor",
    "tone_corpus",
    "tone_model",
]
