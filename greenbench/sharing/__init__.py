"""Sharing of results: privacy, packed entries, merging, and measuring an entry again."""
