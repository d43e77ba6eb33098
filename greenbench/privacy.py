"""What a result may tell of where it was measured: the machine's kind, and of names, addresses and paths nothing."""

import re
import shlex
import socket
from collections.abc import Mapping
from functools import lru_cache
from getpass import getuser
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from greenbench import plan

RUN_KEYS = (
    "schema", "run_id", "name", "description", "started_utc", "command", "only", "suite_hash", "suite", "protocol",
    "versions", "git", "machine", "meters", "cooldown", "harness_overhead", "peaks", "control",
)  # fmt: skip
"""What of ``run.json`` is shared; anything else stays at home until it is known to be harmless."""

MACHINE_KEYS = (
    "os", "kernel", "python", "cpu_model", "n_cpu_packages", "n_cpus_physical", "n_cpus_logical", "n_cpus_usable",
    "memory_bytes", "cpu_governor", "turbo", "virtualised", "gpus",
)  # fmt: skip
GPU_KEYS = (
    "name", "memory_bytes", "driver", "persistence_mode", "mig", "power_limit_w", "power_limit_default_w",
)  # fmt: skip
"""What a machine's description shares, by the same rule."""

SPOKEN = ("utterance_id", "speaker", "reference", "hypothesis")
"""Columns that are the data set's or the model's words: they count into hashes and error rates, and stay."""

_AS_THEY_ARE = ("versions", "git")
_FREE = (
    "description", "command", "only", "reason", "reasons", "failed", "flag_notes", "meters", "dataset", "datasets",
)  # fmt: skip
"""What somebody wrote, or was made from a path's folder: the machine's own names may stand in it."""

_PATH = re.compile(
    r"(?<![\w.:/\\~>-])"  # neither in a word or a URL, nor in the middle of a relative path
    r"(?!(?<=<)/\w+>)"  # nor the end of a tag
    r"(?:~[\w.-]*|[A-Za-z]:|\.\.)?[/\\]"
    r"(?:[^\s/\\'\"`,;:()<>|\[\]{}=]+[/\\])*"
    r"(?P<last>[^\s/\\'\"`,;:()<>|\[\]{}=]*)"
)
_QUOTED = re.compile(r"(?P<quote>['\"`])(?P<path>(?:~|[A-Za-z]:|\.\.)?[/\\][^'\"`\n]+)(?P=quote)")
_SYSTEM = ("/sys/", "/proc/", "/dev/")
_OUTSIDE = re.compile(r"(?:/(?!/)|~[\w.-]*[/\\]|[A-Za-z]:[\\/]|\.\.[\\/]|\\\\)\S")
_FILE = re.compile(r"(?P<scheme>(?:file|local):)(?P<path>(?:[A-Za-z]:|~|\.\.)?[/\\][^\s+]*)")
_MAIL = re.compile(r"[\w.+-]+@(?:[\w-]+\.)+[A-Za-z]{2,}\b")
_ADDRESS = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.])")
_HOST = re.compile(r"\b(?:[\w-]+\.)+(?:local|lan|internal|intranet|home|corp)\b(?!\.)")
_COMMON = ("root", "user", "admin", "localhost", "ubuntu", "debian", "runner", "greenbench")


def run(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``run.json`` as it may be shared; where its suite is sound, with the hash of the suite as shared.

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
    shared = {name: value if name in SPOKEN else _cleaned(name, value) for name, value in content.items()}
    if shared.get("suite_hash") in suite_hashes:
        shared["suite_hash"] = suite_hashes[shared["suite_hash"]]
    if isinstance(shared.get("header"), dict):  # of power.jsonl
        shared["header"].pop("pid", None)
    return shared


def is_private_id(utterance_id: Any) -> bool:
    """Say whether an utterance's id is a path on somebody's machine; it cannot be changed, as it is hashed."""
    return isinstance(utterance_id, str) and _is_path(utterance_id)


def text(value: str) -> str:
    """Return a text with paths cut to their last name, and without addresses and hosts of local networks."""
    cut = _cut(value)
    return cut if cut == value else text(cut)  # what is left of one path may look like another; each has fewer slashes


def _cut(value: str) -> str:
    if _is_path(value):
        return _last_name(value)
    value = _QUOTED.sub(lambda found: f"{found['quote']}{_shared(found['path'])}{found['quote']}", value)
    value = _FILE.sub(lambda found: found["scheme"] + _last_name(found["path"]), value)
    value = _PATH.sub(_shortened, value)
    value = _MAIL.sub("<mail>", value)
    return _HOST.sub("<host>", _ADDRESS.sub("<address>", value))


def _cleaned(name: str, value: Any, is_free: bool = False) -> Any:
    """Clean every text in a value of JSON, the keys of mappings too."""
    if name in _AS_THEY_ARE:
        return value
    is_free = is_free or name in _FREE or name.endswith("_note")
    if isinstance(value, str):
        return _unnamed(text(value)) if is_free else text(value)
    if isinstance(value, Mapping):
        return {text(key): _cleaned(key, part, is_free) for key, part in value.items()}
    if isinstance(value, list):
        return [_cleaned(name, part, is_free) for part in value]
    return value


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


def _is_path(value: str) -> bool:
    """Say whether a whole value is a path outside the working directory; a message may begin with one."""
    if value.startswith(_SYSTEM) or "\n" in value or ": " in value:
        return False
    is_spaced = " " in value and not re.search(r"[/\\][^/\\]* [^/\\]*[/\\.]", value)
    return bool(_OUTSIDE.match(value)) and not is_spaced


def _shared(path: str) -> str:
    return path if path.startswith(_SYSTEM) else _last_name(path)


def _last_name(path: str) -> str:
    parts = PureWindowsPath(path) if "\\" in path or path[1:2] == ":" else PurePosixPath(path)
    return parts.name if parts.name not in ("", "..") else "<path>"


def _shortened(found: re.Match[str]) -> str:
    is_sign = found[0] in ("/", "\\")  # as in "J / s"
    return found[0] if is_sign or found[0].startswith(_SYSTEM) else found["last"] or _last_name(found[0])


def _unnamed(value: str) -> str:
    """Take this machine's own names out of a text."""
    for name, stand_in in _own_names():
        value = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", stand_in, value)
    return value


@lru_cache
def _own_names() -> tuple[tuple[str, str], ...]:
    try:
        user = getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = ""
    host = socket.gethostname()
    names = {host: "<host>", host.partition(".")[0]: "<host>", user: "<user>"}
    return tuple((name, told) for name, told in names.items() if len(name) > 2 and name.lower() not in _COMMON)
