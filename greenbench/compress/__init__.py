"""Compression methods and builds: each is a frozen dataclass of settings that turns one model into another."""
