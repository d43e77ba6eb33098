"""The machine: its devices, what it is, and what it can do and draw at most."""
