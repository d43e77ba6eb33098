"""The harness: a process for each cell, the window in it, and the row that comes of it."""
