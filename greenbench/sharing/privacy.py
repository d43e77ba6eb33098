"""Privacy of shared results: they describe the machine's hardware, and contain no names, addresses or paths."""

import re
import shlex
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from getpass import getuser
from typing import Any

from greenbench import identifiers
from greenbench.suite import plan

RUN_KEYS = (
    "schema", "run_id", "name", "description", "started_utc", "command", "only", "suite_hash", "suite", "protocol",
    "versions", "git", "machine", "meters", "cooldown", "harness_overhead", "peaks", "control",
)  # fmt: skip
"""The keys of ``run.json`` that are shared; any other is left out until it is known to be harmless."""

MACHINE_KEYS = (
    "os", "kernel", "python", "cpu_model", "n_cpu_packages", "n_cpus_physical", "n_cpus_logical", "n_cpus_usable",
    "memory_bytes", "cpu_governor", "turbo", "virtualised", "gpus",
)  # fmt: skip
GPU_KEYS = (
    "name", "memory_bytes", "driver", "persistence_mode", "mig", "power_limit_w", "power_limit_default_w",
)  # fmt: skip
"""The keys of a machine's and a GPU's description that are shared, by the same rule."""

UTTERANCE = (
    "utterance_id", "speaker", "slices", "terms", "words", "shown", "reference", "hypothesis", "wer_slice", "cer_slice",
)  # fmt: skip
"""Columns with the data set's or the model's words: hashes and error rates depend on them, so they stay as they are."""

_AS_THEY_ARE = ("versions", "git")
_FREE = (
    "description", "command", "only", "reason", "reasons", "failed", "flag_notes", "meters", "dataset", "datasets",
)  # fmt: skip
"""Columns of free text, or derived from a folder's name: they may contain the machine's or user's own names."""


@dataclass(frozen=True)
class Identifier:
    """A text that identifies a person, a machine or a place.

    Attributes:
        kind: of identifier.
        text: its wording.
        where: the run and the column that hold it.
    """

    kind: str
    text: str
    where: str


_COMMON = ("root", "user", "admin", "localhost", "ubuntu", "debian", "runner", "greenbench")


def run(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``run.json`` as it may be shared; where its suite is intact, with the hash of the suite as shared.

    Args:
        content: of ``run.json``.
    """
    shared = {name: _cleaned(name, content[name]) for name in RUN_KEYS if name in content}
    if isinstance(shared.get("command"), str):
        shared["command"] = _command(shared["command"])
    if isinstance(shared.get("machine"), Mapping):
        shared["machine"] = _machine(shared["machine"])
    if isinstance(content.get("suite"), Mapping) and content.get("suite_hash") == plan.digest(content["suite"]):
        shared["suite_hash"] = plan.digest(shared["suite"])
    return shared


def row(content: Mapping[str, Any], suite_hashes: Mapping[str, str]) -> dict[str, Any]:
    """Return a line of one of a run's files as it may be shared.

    Args:
        content: of the line.
        suite_hashes: the run's hash -> that of the suite as shared.
    """
    shared = {name: value if name in UTTERANCE else _cleaned(name, value) for name, value in content.items()}
    if shared.get("suite_hash") in suite_hashes:
        shared["suite_hash"] = suite_hashes[shared["suite_hash"]]
    if isinstance(shared.get("header"), dict):  # of power.jsonl
        shared["header"].pop("pid", None)
    return shared


def search_run(content: Mapping[str, Any], where: str, keep_private: bool = False) -> Iterator[Identifier]:
    """Yield what ``run`` removes from the shared parts of ``run.json``.

    Args:
        content: of ``run.json``.
        where: the run; the beginning of each ``Identifier.where``.
        keep_private: search every key, since all are packed.
    """
    if keep_private:
        return search(content, where, keep_private)
    shared = {name: content[name] for name in RUN_KEYS if name in content}
    if isinstance(shared.get("machine"), Mapping):
        shared["machine"] = _machine(shared["machine"])
    return search(shared, where)


def search(content: Mapping[str, Any], where: str, keep_private: bool = False) -> Iterator[Identifier]:
    """Yield what ``row`` removes from a line of one of a run's files.

    Args:
        content: of the line.
        where: the run; the beginning of each ``Identifier.where``.
        keep_private: search ids of utterances and speakers too, and every text for the names of this machine and user.
    """
    words = ("reference", "hypothesis") if keep_private else (*UTTERANCE, *_AS_THEY_ARE)
    for name, value in content.items():
        if name not in words:
            yield from _searched(value, f"{where}: {name}", keep_private or _is_free(name))


def _searched(value: Any, where: str, is_free: bool) -> Iterator[Identifier]:
    if isinstance(value, str):
        whole = [("path", value)] if identifiers.is_path(value) else identifiers.search(value)
        yield from (Identifier(kind, text, where) for kind, text in whole)
        own = (name for name, _ in _own_names() if is_free and _own(name).search(value))
        yield from (Identifier("name of this user or machine", name, where) for name in own)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _searched(key, where, is_free)
            yield from _searched(part, f"{where}.{key}", is_free or _is_free(key))
    elif isinstance(value, list):
        for part in value:
            yield from _searched(part, where, is_free)


@lru_cache(maxsize=10_000)
def text(value: str) -> str:
    """Return a text with paths cut to their last name, and a stand-in for every pattern of ``identifiers``."""
    cut = _cut(value)
    return cut if cut == value else text(cut)  # the rest of one path may look like another; each has fewer slashes


def _cut(value: str) -> str:
    return identifiers.last_name(value) if identifiers.is_path(value) else identifiers.cut(value)


def _cleaned(name: str, value: Any, is_free: bool = False) -> Any:
    """Clean every text in a value of JSON, the keys of mappings too."""
    if name in _AS_THEY_ARE:
        return value
    is_free = is_free or _is_free(name)
    if isinstance(value, str):
        return _unnamed(text(value)) if is_free else text(value)
    if isinstance(value, Mapping):
        return {text(key): _cleaned(key, part, is_free) for key, part in value.items()}
    if isinstance(value, list):
        return [_cleaned(name, part, is_free) for part in value]
    return value


def _is_free(name: str) -> bool:
    return name in _FREE or name.endswith("_note")


def _machine(machine: Mapping[str, Any]) -> dict[str, Any]:
    shared = {name: machine[name] for name in MACHINE_KEYS if name in machine}
    gpus = shared.get("gpus")
    if isinstance(gpus, list):
        shared["gpus"] = [{k: g[k] for k in GPU_KEYS if k in g} for g in gpus if isinstance(g, Mapping)]
    return shared


def _command(command: str) -> str:
    """Clean a command line word by word, since paths in it may hold spaces."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    return shlex.join(_word(word) for word in words)


def _word(word: str) -> str:
    option, equals, value = word.partition("=")
    return f"{option}={text(value)}" if equals and option.startswith("-") else text(word)


def _unnamed(value: str) -> str:
    """Replace this machine's and user's own names in a text."""
    for name, stand_in in _own_names():
        value = _own(name).sub(stand_in, value)
    return value


def _own(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")


@lru_cache
def _own_names() -> tuple[tuple[str, str], ...]:
    try:
        user = getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = ""
    host = socket.gethostname()
    names = {host: "<host>", host.partition(".")[0]: "<host>", user: "<user>"}
    return tuple((name, stand_in) for name, stand_in in names.items() if len(name) > 2 and name.lower() not in _COMMON)
