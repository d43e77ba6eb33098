"""Fleets: the same suite on many machines; engines carry it there, and the conductor brings the results together."""
