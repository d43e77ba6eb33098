"""Files: how whatever comes from outside is read within limits, and how files are written whole."""
