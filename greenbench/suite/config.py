"""The suite file: strict YAML in, a Suite out in which every name and setting is checked and filled in."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, field_validator, model_validator

from greenbench import registry, wording
from greenbench.errors import InputError, did_you_mean
from greenbench.files.limits import limits
from greenbench.files.unicode import printable
from greenbench.hardware import devices
from greenbench.suite import file, shortforms
from greenbench.suite.carbon import Carbon
from greenbench.suite.descent import wrong_teacher
from greenbench.suite.entries import DatasetEntry, VariantEntry, resolve_aligner, resolve_dataset, resolve_variant
from greenbench.suite.faults import ENTRIES, Draft, Fault, Place, duplicates, line
from greenbench.suite.price import Price
from greenbench.suite.protocol import PROTOCOLS, Protocol, build_protocol, short_form
from greenbench.suite.scenarios import Scenario, Server, Streaming
from greenbench.text import scorers


class Suite(BaseModel):
    """What to run. After ``load`` every entry is resolved: names given, defaults filled in, paths absolute.

    Attributes:
        name: name of the suite, and part of the name of the run's folder.
        description: one line on what the suite is for.
        protocol: a named protocol, or ``{use: name, step: value, ...}`` to override single steps.
        datasets: data sets to transcribe, by name or with settings.
        variants: what to measure, by name (``family/preset+build``) or with settings.
        devices: ``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto`` (a GPU where torch has one, else the CPU).
        scenarios: ``offline``, ``single-stream``, ``server`` and/or ``streaming``.
        server: arrivals and latency bound of the scenario ``server``.
        streaming: chunks and pace of the scenario ``streaming``.
        batch_sizes: utterances per batch in the scenario ``offline``; the others take one at a time.
        threads: threads of torch, OpenMP, MKL, ONNX Runtime and CTranslate2 alike; by default the usable CPUs.
        normalizer: what is done to both texts before they are compared, for English by default; ``whisper-basic`` is
            for any language, some have their own (``greenbench list normalizers``). ``+compound`` lets words joined or
            split differently count as right, ``+punctuation`` counts punctuation and case, too.
        primary: the error rate that decides, ``wer`` or ``cer``: gate, comparisons, ranks and charts go by it; ``cer``
            for languages written without spaces, such as Chinese, Japanese and Thai.
        also_score: further normalisers and scorers, applied to the raw texts after the run, into ``scores.jsonl``.
        estimate_energy: use codecarbon's model where no counter answers; rows say ``estimated``.
        allow_emulated: measure bf16 and fp16 on a CPU without their arithmetic, too; they are skipped otherwise, as
            such a CPU emulates them slowly.
        meters: settings of meters by name, e.g. ``{codecarbon: {tdp_w: 65}}``.
        carbon: grid factor of the electricity, with its source; without it ``co2e_g`` is null.
        price: price of an hour of the machine, with currency and source; without it ``cost_per_audio_hour`` is null.
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
    streaming: Streaming = Streaming()
    batch_sizes: list[int] = Field([8], min_length=1)
    threads: int | None = Field(None, ge=1, le=65_536)
    normalizer: str = "whisper-english"
    primary: Literal["wer", "cer"] = "wer"
    also_score: list[str] = []
    estimate_energy: bool = False
    allow_emulated: bool = False
    meters: dict[str, dict[str, Any]] = {}
    carbon: Carbon | None = None
    price: Price | None = None
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


_NESTED: dict[str, type[BaseModel]] = {"carbon": Carbon, "price": Price, "server": Server, "streaming": Streaming}
"""The mappings of a suite that have keys of their own, for suggestions."""


class SuiteError(InputError):
    """A suite has faults.

    Attributes:
        where: the file, or ``suite``.
        sound: the suite without what is at fault, which can still be looked at; None where nothing can.
    """

    def __init__(self, where: str, lines: Sequence[str], sound: Suite | None) -> None:
        """Make the message, which has each line once."""
        self.where, self.sound = where, sound
        super().__init__("\n".join(dict.fromkeys(lines)))


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
        SuiteError: it has faults: a line for each, with the file, the path inside of it, what is wrong and the nearest
            valid name.
        InputError: the file cannot be read, or an override hits nothing.
    """
    if isinstance(source, Suite):
        if not overrides and not changes:
            return _sound({}, *_resolved(source, _draft(dict(source)), Path.cwd()))
        source = source.model_dump(mode="json")
    where = "suite" if isinstance(source, Mapping) else str(source)
    if isinstance(source, Mapping):
        file.check(source, where)
    data = file.long_form(source if isinstance(source, Mapping) else file.read(Path(source)))
    base = Path.cwd() if isinstance(source, Mapping) else Path(source).resolve().parent
    data = file.change(data, changes or {})
    for assignment in overrides:
        file.override(data, assignment)
    data = file.long_form(data)
    file.check(data, where)
    return _sound(source, *_checked(_draft(data), base))


def _sound(source: str | Path | Mapping[str, Any], suite: Suite | None, faults: Sequence[Fault]) -> Suite:
    """Return a suite without faults.

    Raises:
        SuiteError: it has some.
    """
    if suite is not None and not faults:
        return suite
    where, lines = ("suite", {}) if isinstance(source, Mapping) else (str(source), file.lines(Path(source)))
    raise SuiteError(where, [f"{where}{line(lines, fault.place)}: {fault}" for fault in faults], suite)


def _draft(data: dict[str, Any]) -> Draft:
    """Return a suite's data with each short form of a variant as the variants that it stands for."""
    alternatives = shortforms.expand(data.get("variants"))
    whole = {**data, "variants": [one for several in alternatives for one in several]} if alternatives else data
    indices = {group: range(len(entries)) for group in ENTRIES if isinstance(entries := data.get(group), list)}
    of_variants = [index for index, several in enumerate(alternatives) for _ in several]
    return Draft(whole, {**indices, **({"variants": of_variants} if alternatives else {})})


def _checked(draft: Draft, base: Path) -> tuple[Suite | None, list[Fault]]:
    """Return the suite that a draft comes to, and its faults; where there are any, the suite without what is at fault.

    What is at fault is left out and the rest is checked again, so that a fault hides no other.
    """
    suite, found = _once(draft, base)
    left = draft.without(found) if found else None
    if left is None or left.data == draft.data:
        return suite, found
    sound, more = _checked(left, base)
    return sound, [*found, *more]


def _once(draft: Draft, base: Path) -> tuple[Suite | None, list[Fault]]:
    try:
        suite = Suite.model_validate_json(json.dumps(draft.data, default=str), strict=True)
    except ValidationError as error:
        return None, [_fault(problem, draft) for problem in error.errors(include_url=False)]
    return _resolved(suite, draft, base)


def _fault(problem: Mapping[str, Any], draft: Draft) -> Fault:
    place: Place = problem["loc"]
    message = wording.describe(problem)
    if problem["type"] == "extra_forbidden":
        valid = _NESTED.get(str(place[0]), Suite).model_fields
        message = f"unknown key. {did_you_mean(str(place[-1]), valid)}"
    return Fault(draft.place(place), message)


# --- resolving -------------------------------------------------------------------------------------------


_RESOLVERS: dict[str, Callable[[Any, Path], list[dict[str, Any]]]] = {
    "datasets": resolve_dataset, "variants": resolve_variant,
}  # fmt: skip


def _resolved(suite: Suite, draft: Draft, base: Path) -> tuple[Suite | None, list[Fault]]:
    """Fill in every default that a plug-in knows, and check every name; collect all faults."""
    faults: list[Fault] = []
    resolved: dict[str, list[dict[str, Any]]] = {"datasets": [], "variants": []}
    for group, resolve in _RESOLVERS.items():
        places: list[Place] = []
        for index, entry in enumerate(getattr(suite, group)):
            try:
                found = [{**e, "name": printable(e["name"])} for e in resolve(entry, base)]
            except InputError as error:
                faults.append(Fault(draft.place((group, index)), str(error)))
                continue
            resolved[group] += found
            places += [draft.place((group, index)) for _ in found]
        faults += duplicates([e["name"] for e in resolved[group]], places)
        if group == "variants" and draft.is_whole:  # a teacher that is not there may be one that was left out
            faults += _teachers([VariantEntry.model_validate(entry) for entry in resolved[group]], places)
    for name, settings in suite.meters.items():
        try:
            registry.create("meters", name, settings, base)
        except InputError as error:
            faults.append(Fault(("meters", name), str(error)))
    streaming = suite.streaming
    if streaming.aligner is not None:
        try:
            streaming = streaming.model_copy(update={"aligner": resolve_aligner(streaming.aligner, base)})
        except InputError as error:
            faults.append(Fault(("streaming", "aligner"), str(error)))
    if faults:
        return None, faults
    filled = {"threads": suite.threads or _usable_cpus(), "streaming": streaming}
    return Suite.model_validate(dict(suite) | resolved | filled), []


def _teachers(variants: Sequence[VariantEntry], places: Sequence[Place]) -> list[Fault]:
    found = ((place, wrong_teacher(entry, variants)) for entry, place in zip(variants, places, strict=True))
    return [Fault(place, problem) for place, problem in found if problem]


def _usable_cpus() -> int:
    from greenbench.hardware.environment import usable_cpus

    return usable_cpus()
