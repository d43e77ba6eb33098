"""The suite file: strict YAML in, a Suite out in which every name and setting is checked and filled in."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, field_validator, model_validator

from greenbench import registry, wording
from greenbench.errors import InputError, did_you_mean
from greenbench.files.limits import limits
from greenbench.files.unicode import printable
from greenbench.hardware import devices
from greenbench.suite import file, shortforms
from greenbench.suite.descent import wrong_teacher
from greenbench.suite.entries import DatasetEntry, VariantEntry, resolve_dataset, resolve_variant
from greenbench.suite.protocol import PROTOCOLS, Protocol, build_protocol, short_form
from greenbench.suite.scenarios import Scenario, Server
from greenbench.text import scorers


class Carbon(BaseModel):
    """The grid factor behind ``co2e_g``; without one there is no CO2 figure.

    Attributes:
        g_per_kwh: grams of CO2e per kilowatt-hour.
        source: who states the factor.
        year: for which year.
        pue: power usage effectiveness of the data centre, a factor of at least 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    g_per_kwh: float = Field(ge=0, le=1e6)
    source: str = Field(min_length=1)
    year: int
    pue: float = Field(1.0, ge=1, le=1e3)


class Suite(BaseModel):
    """What to run. After ``load`` every entry is resolved: names given, defaults filled in, paths absolute.

    Attributes:
        name: name of the suite, and part of the name of the run's folder.
        description: one line on what the suite is for.
        protocol: a named protocol, or ``{use: name, step: value, ...}`` to override single steps.
        datasets: data sets to transcribe, by name or with settings.
        variants: what to measure, by name (``family/preset+build``) or with settings.
        devices: ``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto`` (a GPU where torch has one, else the CPU).
        scenarios: ``offline``, ``single-stream`` and/or ``server``.
        server: arrivals and latency bound of the scenario ``server``.
        batch_sizes: utterances per batch in the scenario ``offline``; the others take one at a time.
        threads: threads of torch, OpenMP, MKL, ONNX Runtime and CTranslate2 alike; by default the usable CPUs.
        normalizer: what is done to both texts before they are compared, for English by default; ``whisper-basic`` is
            for any language, and ``+compound`` lets words joined or split differently count as right.
        also_score: further normalisers and scorers, applied to the raw texts after the run, into ``scores.jsonl``.
        estimate_energy: use codecarbon's model where no counter answers; rows say ``estimated``.
        meters: settings of meters by name, e.g. ``{codecarbon: {tdp_w: 65}}``.
        carbon: grid factor of the electricity, with its source; without it ``co2e_g`` is null.
        trace_hz: samples of power, temperature, frequency and load per second, taken by a separate process; 0 for none.
        control: also measure a small fixed workload at the start and end of each round, which separates a change of
            the machine from a change of the model.
        timeout_s: a process that takes longer is ended and recorded as failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    protocol: Protocol = PROTOCOLS["quick"]
    datasets: list[DatasetEntry] = Field(min_length=1)
    variants: list[VariantEntry] = Field(min_length=1)
    devices: list[str] = Field(["cpu"], min_length=1)
    scenarios: list[Scenario] = Field(["offline"], min_length=1)
    server: Server = Server()
    batch_sizes: list[int] = Field([8], min_length=1)
    threads: int | None = Field(None, ge=1, le=65_536)
    normalizer: str = "whisper-english"
    also_score: list[str] = []
    estimate_energy: bool = False
    meters: dict[str, dict[str, Any]] = {}
    carbon: Carbon | None = None
    trace_hz: float = Field(10, ge=0, le=50)
    control: bool = True
    timeout_s: float = Field(7200, gt=0, le=1e8)

    @field_validator("protocol", mode="plain")
    @classmethod
    def _known_protocol(cls, given: Any) -> Protocol:
        return build_protocol(given)

    @field_serializer("protocol")
    def _as_in_the_file(self, protocol: Protocol) -> dict[str, Any]:
        return short_form(protocol)

    @model_validator(mode="after")
    def _of_bounded_length(self) -> "Suite":
        sizes = len(self.batch_sizes) if "offline" in self.scenarios else 1
        n_cells = sizes * len(self.datasets) * len(self.variants) * len(self.devices) * len(self.scenarios)
        n_windows = self.protocol.rounds * self.protocol.repeats * n_cells
        if n_windows > limits().max_cells:
            size = f"{n_windows} windows (cells x rounds x repeats), at most {limits().max_cells} make a suite"
            raise ValueError(f"{size}: GREENBENCH_MAX_CELLS allows more")
        return self

    @field_validator("devices")
    @classmethod
    def _known_devices(cls, given: list[str]) -> list[str]:
        import re

        for device in given:
            if not re.match(devices.PATTERN, device):
                raise ValueError(f"unknown device '{device}'. Valid: {devices.VALID}")
        return given

    @field_validator("batch_sizes")
    @classmethod
    def _positive(cls, given: list[int]) -> list[int]:
        if any(size < 1 for size in given):
            raise ValueError("a batch size is at least 1")
        return given

    @field_validator("devices", "scenarios", "batch_sizes", "also_score")
    @classmethod
    def _each_once(cls, given: list[Any]) -> list[Any]:
        twice = sorted({str(one) for one in given if given.count(one) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is given twice: leave one of them out")
        return given

    @field_validator("normalizer", "also_score")
    @classmethod
    def _known_scorings(cls, given: str | list[str]) -> str | list[str]:
        problem = scorers.unknown([given] if isinstance(given, str) else given)
        if problem:
            raise ValueError(problem)
        return given


_NESTED: dict[str, type[BaseModel]] = {"carbon": Carbon, "server": Server}
"""The mappings of a suite that have keys of their own, for suggestions."""


# --- reading ---------------------------------------------------------------------------------------------


def load(
    source: str | Path | Mapping[str, Any] | Suite,
    overrides: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> Suite:
    """Read a suite, check every name and setting in it, and resolve it.

    Args:
        source: a YAML file, the same as a mapping, or a Suite that is loaded already.
        overrides: ``path.to.value=VALUE`` strings, VALUE in YAML; they replace or add single values and have the
            last word.
        changes: ``limit``, ``device``, ``protocol`` or ``estimate_energy`` for the whole suite.

    Returns:
        The resolved suite; loading it again changes nothing.

    Raises:
        InputError: a line per problem: file, path inside the file, what is wrong, the nearest valid name.
    """
    if isinstance(source, Suite):
        if not overrides and not changes:
            return _resolve(source, "suite", Path.cwd())
        source = source.model_dump(mode="json")
    where = "suite" if isinstance(source, Mapping) else str(source)
    if isinstance(source, Mapping):
        file.check(source, where)
    data = file.long_form(source if isinstance(source, Mapping) else file.read(Path(source)))
    base = Path.cwd() if isinstance(source, Mapping) else Path(source).resolve().parent
    data = _change(data, changes or {})
    for assignment in overrides:
        file.override(data, assignment)
    data = file.long_form(data)
    file.check(data, where)
    try:
        data["variants"] = shortforms.expand(data.get("variants"))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    try:
        suite = Suite.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        raise InputError("\n".join([*_problems(error, where), *_of_entries(data, where, base)])) from error
    return _resolve(suite, where, base)


def _change(data: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Apply the options that change a whole suite."""
    changed = dict(data)
    if changes.get("limit") is not None:
        changed["datasets"] = [
            {**entry, "limit": changes["limit"]} if isinstance(entry, dict) else entry
            for entry in data.get("datasets") or []
        ]
    if changes.get("device") is not None:
        changed["devices"] = [changes["device"]]
    if changes.get("protocol") is not None:
        changed["protocol"] = {"use": changes["protocol"]}
    if changes.get("estimate_energy"):
        changed["estimate_energy"] = True
    return changed


def _of_entries(data: Mapping[str, Any], where: str, base: Path) -> list[str]:
    """Return what is wrong in the entries of a suite that has other faults, so that all are reported together."""
    found = []
    for group, form in (("datasets", DatasetEntry), ("variants", VariantEntry)):
        entries = data.get(group)
        for index, given in enumerate(entries if isinstance(entries, list) else ()):
            try:
                _RESOLVERS[group](form.model_validate_json(json.dumps(given, default=str), strict=True), base)
            except ValidationError:  # the suite's own check reports it
                continue
            except InputError as error:
                found.append(f"{where}: {group}.{index}: {error}")
    return found


def _problems(error: ValidationError, where: str) -> list[str]:
    lines = []
    for problem in error.errors(include_url=False):
        path = ".".join(str(part) for part in problem["loc"])
        message = wording.describe(problem)
        if problem["type"] == "extra_forbidden":
            valid = _NESTED.get(path.partition(".")[0], Suite).model_fields
            message = f"unknown key. {did_you_mean(str(problem['loc'][-1]), valid)}"
        lines.append(f"{where}: {path}{': ' if path else ''}{message}")
    return lines


# --- resolving -------------------------------------------------------------------------------------------


_RESOLVERS: dict[str, Callable[[Any, Path], list[dict[str, Any]]]] = {
    "datasets": resolve_dataset, "variants": resolve_variant,
}  # fmt: skip


def _resolve(suite: Suite, where: str, base: Path) -> Suite:
    """Fill in every default that a plug-in knows, and check every name; collect all problems."""
    problems: list[str] = []
    resolved: dict[str, list[dict[str, Any]]] = {"datasets": [], "variants": []}
    for group, resolve in _RESOLVERS.items():
        for index, entry in enumerate(getattr(suite, group)):
            try:
                resolved[group] += [{**e, "name": printable(e["name"])} for e in resolve(entry, base)]
            except InputError as error:
                problems.append(f"{where}: {group}.{index}: {error}")
        problems += _duplicates(where, group, [e["name"] for e in resolved[group]])
    problems += _teachers(where, [VariantEntry.model_validate(entry) for entry in resolved["variants"]])
    for name, settings in suite.meters.items():
        try:
            registry.create("meters", name, settings, base)
        except InputError as error:
            problems.append(f"{where}: meters.{name}: {error}")
    if problems:
        raise InputError("\n".join(problems))
    return Suite.model_validate(dict(suite) | resolved | {"threads": suite.threads or _usable_cpus()})


def _duplicates(where: str, group: str, names: Iterable[str]) -> list[str]:
    names = list(names)
    twice = sorted({name for name in names if names.count(name) > 1})
    return [f"{where}: {group}: two entries are named '{name}'. Give one another `name`." for name in twice]


def _teachers(where: str, variants: Sequence[VariantEntry]) -> list[str]:
    found = ((entry, wrong_teacher(entry, variants)) for entry in variants)
    return [f"{where}: variants: {entry.name}: {problem}" for entry, problem in found if problem]


def _usable_cpus() -> int:
    from greenbench.hardware.environment import usable_cpus

    return usable_cpus()
