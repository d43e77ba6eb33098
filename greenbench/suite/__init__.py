"""Suites: from a file to a typed suite, and from that to the cells that run."""

from greenbench.suite.config import Suite, load

__all__ = ["Suite", "load"]
