"""Tasks: one file a task; which one a row is of."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from greenbench import registry
from greenbench.metrics import missing
from greenbench.plugins import TRANSCRIBE, Task


@cache
def create(name: str) -> Task:
    """Return a task by its name.

    Raises:
        InputError: there is no such task; the message has the nearest name.
    """
    task: Task = registry.create("tasks", name, {})
    return task


def name_of(row: Mapping[Any, Any]) -> str:
    """Return the name of a row's task; rows of earlier versions, which do not say it, were transcribed."""
    return TRANSCRIBE if missing(row.get("task")) else str(row["task"])


def is_installed(row: Mapping[Any, Any]) -> bool:
    """Say whether the task of a row is registered."""
    return name_of(row) in registry.names("tasks")


def of(row: Mapping[Any, Any]) -> Task:
    """Return the task of a row.

    Raises:
        InputError: it is not installed.
    """
    return create(name_of(row))
