"""Lets ``python -m greenbench`` stand in for the ``greenbench`` command."""

from greenbench.cli import main

main()
