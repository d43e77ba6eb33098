"""Sharing: what may leave this machine, packed, merged and measured again."""
