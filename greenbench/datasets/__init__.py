"""Data sets: where utterances come from, one module each, and how audio and archives are read."""
