"""A suite from a model, a data set and builds, as commented YAML: `init` writes it, and `run --model` measures it."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from greenbench import registry
from greenbench.assets import quickstart_suite
from greenbench.errors import InputError, did_you_mean, nearest
from greenbench.files import strictyaml
from greenbench.suite import file, flow
from greenbench.suite.config import Suite
from greenbench.suite.config import load as load_suite
from greenbench.suite.entries import registered

MODEL, DATA = "wav2vec2/quickstart", "quickstart"
"""What a suite measures where nothing is named: what ships with the package."""

LIBRISPEECH_ROOT = "data/LibriSpeech"
"""Where a subset of LibriSpeech that is named without a folder is kept, or downloaded to."""


@dataclass(frozen=True)
class Draft:
    """What a suite is to measure.

    Attributes:
        model: a registered variant, the folder of a checkpoint, or a hub id (``owner/name``).
        data: a registered data set, a manifest (JSON lines), or the folder of a subset of LibriSpeech.
        builds: methods, or chains of them (``bf16+compile``), each measured in addition to the model as it is.
        limit: take the first so many utterances.
        device: to measure on.
        protocol: ``quick``, ``standard`` or ``official``.
        estimate_energy: whether energy is estimated where no counter answers.
    """

    model: str = MODEL
    data: str = DATA
    builds: Sequence[str] = ()
    limit: int | None = None
    device: str | None = None
    protocol: str | None = None
    estimate_energy: bool = False


TEMPLATE = """\
# What is measured, on which speech, and how. All keys: `greenbench schema`.
name: {name}
description: {description}

# quick shows that everything works; standard and official measure longer and in several processes, to be published.
protocol: {protocol}

# The speech. `limit: 100` takes the first 100 utterances; `greenbench list datasets` has the other kinds.
datasets:
  - {dataset}

# The models: first as it is, which its builds are compared with; `greenbench list methods` has the builds.
variants:
{variants}

devices: [{device}]             # cpu, cuda, cuda:1, mps, or auto: a GPU where there is one
scenarios: [offline]       # single-stream measures the latency of one utterance at a time; server, the rate served
batch_sizes: [8]           # of the scenario offline
normalizer: whisper-english  # what is done to both texts before WER; whisper-basic is for other languages than English
estimate_energy: {estimate}   # true takes a model of the CPU's power where no counter answers; rows say `estimated`
"""


def text(draft: Draft, folder: Path | None = None) -> str:
    """Return a suite as commented YAML.

    Args:
        draft: what it measures.
        folder: where the file is to lie, from which its paths then lead; None makes them absolute.

    Raises:
        InputError: the model, the data or a build is not there, in one line that says what would be.
    """
    model, dataset = _model(draft.model, folder), _dataset(draft.data, folder)
    if draft.limit is not None:
        dataset["limit"] = draft.limit
    variants = _variants(model, _builds(draft.builds))
    return TEMPLATE.format(
        name=_name(draft.model),
        description=flow.value(f"{draft.model} on {draft.data}"),
        protocol=flow.value(draft.protocol or "quick"),
        dataset=flow.line(dataset),
        variants="\n".join(f"  - {flow.line(variant)}" for variant in variants),
        device=flow.value(draft.device or "cpu"),
        estimate=str(draft.estimate_energy).lower(),
    )


def check(draft: Draft) -> None:
    """Refuse what makes no suite that can be loaded, such as builds that a model does not take.

    Raises:
        InputError: the first problem.
    """
    load_suite(parsed(text(draft)))


def overridden(suite: str, overrides: Sequence[str]) -> str:
    """Return the text of a suite with single values changed as ``--set`` changes them; its comments go.

    Raises:
        InputError: an override hits nothing.
    """
    if not overrides:
        return suite
    data = file.long_form(parsed(suite))
    for assignment in overrides:
        file.override(data, assignment)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def parsed(suite: str) -> dict[str, Any]:
    """Return the plain data of a suite's text."""
    data: dict[str, Any] = strictyaml.parse(suite)
    return data


def load(
    source: Any, wanted: Mapping[str, Any], changes: Mapping[str, Any], overrides: Sequence[str] = ()
) -> tuple[Suite, str | None]:
    """Load a suite, or make and load one of a model and data.

    Args:
        source: a suite as ``config.load`` takes it; None is the bundled quick start, or the suite that is made.
        wanted: ``model``, ``data`` and ``builds``, None where not given.
        changes: ``limit``, ``device``, ``protocol`` and ``estimate_energy`` for the whole suite.
        overrides: single values, as ``--set`` takes them.

    Returns:
        The suite, and its text where it was made.

    Raises:
        InputError: something is wrong in it, or both a suite and a model are given, or a model without data.
    """
    given = {name: value for name, value in wanted.items() if value is not None}
    if not given:
        return load_suite(source if source is not None else quickstart_suite(), overrides, changes), None
    if source is not None:
        raise InputError("a suite says itself what is measured: give a suite, or a model and data, and not both")
    if not {"model", "data"} <= set(given):
        raise InputError(
            f"{next(iter(given))}: a model and data are needed, builds may be left out: give both, or a suite"
        )
    made = overridden(text(Draft(**given, **changes)), overrides)
    return load_suite(parsed(made)), made


# --- the model -------------------------------------------------------------------------------------------


def _model(model: str, folder: Path | None) -> dict[str, Any]:
    """Return the entry of a model: a registered name, a folder, or a hub id."""
    family, slash, preset = model.partition("/")
    if slash and family in registry.names("variants") and not Path(model).exists():
        presets = registry.load("variants", family).presets
        if preset not in presets:
            valid = [f"{family}/{known}" for known in presets]
            raise InputError(f"model {model}: it is no registered variant. {did_you_mean(model, valid)}")
        return {"use": model}
    if Path(model).is_dir():
        return {"use": _family(Path(model)), "model": _path(Path(model), folder), "name": _name(model)}
    if Path(model).exists():
        raise InputError(f"model {model}: it is a file. Give the folder of the checkpoint.")
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", model):
        return {"use": "wav2vec2", "model": model, "name": _name(model)}
    raise InputError(
        f"model {model}: no such folder, and neither a registered variant nor a hub id (owner/name). "
        f"{_near(model, registered())}`greenbench list variants` has the registered ones."
    )


def _near(name: str, valid: Sequence[str]) -> str:
    """Suggest the valid name that is closest, if one is."""
    close = nearest(name, valid)
    return f"Did you mean '{close}'? " if close else ""


def _family(folder: Path) -> str:
    """Return which family loads a checkpoint's folder, by its files."""
    if (folder / "model.bin").is_file():
        return "faster-whisper"
    from greenbench.models import folders

    folders.check(str(folder), folder)
    return "wav2vec2"


def _builds(builds: Sequence[str]) -> list[str]:
    """Return the builds, each once, and refuse what is no method."""
    for chain in builds:
        for build in chain.split("+"):
            if build not in registry.names("methods"):
                near = did_you_mean(build, registry.names("methods"))
                raise InputError(f"builds: {chain}: unknown method '{build}'. {near}")
            try:
                registry.create("methods", build, {})
            except InputError as error:
                needs = f"builds: {chain}: {build} needs settings ({error}): write a suite with `greenbench init`"
                raise InputError(f"{needs}, and give it there as {{use: {build}, ...}}") from error
    return list(dict.fromkeys(builds))


def _variants(model: dict[str, Any], builds: Sequence[str]) -> list[Any]:
    """Return the model and its builds, each in its shortest form."""
    name = model.get("name", model["use"])
    first = model["use"] if set(model) == {"use"} else model
    return [first, *(f"{name}+{build}" for build in builds)]


# --- the data --------------------------------------------------------------------------------------------


def _dataset(data: str, folder: Path | None) -> dict[str, Any]:
    """Return the entry of a data set: a manifest, a folder of LibriSpeech, or a registered name."""
    from greenbench.datasets.librispeech import ARCHIVES

    place = Path(data)
    if place.is_file():
        return {"use": "manifest", "path": _path(place, folder)}
    if place.is_dir():
        return _of_folder(place, folder)
    use, _, subset = data.partition("/")
    if use == "librispeech" and subset in ARCHIVES:
        return {"use": use, "root": _path(Path(LIBRISPEECH_ROOT), folder), "subset": subset}
    if data in registry.names("datasets"):
        return {"use": _complete(data)}
    raise InputError(
        f"data {data}: no such file or folder, and no registered data set. {_near(data, datasets())}"
        "`greenbench list datasets` has the registered ones."
    )


def _complete(name: str) -> str:
    """Return the name of a data set that needs no settings, and refuse others."""
    try:
        registry.create("datasets", name, {})
    except InputError as error:
        raise InputError(
            f"data {name}: it needs settings ({error}). Name a manifest or the folder of a subset of LibriSpeech "
            f"instead, or one of {', '.join(datasets())}."
        ) from error
    return name


def datasets() -> list[str]:
    """Return the names of the data sets that need no settings."""
    from greenbench.datasets.librispeech import ARCHIVES

    return ["quickstart", *(f"librispeech/{subset}" for subset in ARCHIVES)]


def _of_folder(place: Path, folder: Path | None) -> dict[str, Any]:
    """Return the entry of a folder that is a subset of LibriSpeech; of others, say what to name instead."""
    from greenbench.datasets.librispeech import ARCHIVES

    subset = place.resolve().name
    if subset in ARCHIVES:
        return {"use": "librispeech", "root": _path(place.resolve().parent, folder), "subset": subset}
    inside = [path.name for path in sorted(place.iterdir()) if path.suffix == ".jsonl" or path.name in ARCHIVES]
    hint = f"Name one of {', '.join(str(place / name) for name in inside[:5])}." if inside else (
        "Name a manifest: a file of JSON lines with audio_filepath and text."
    )  # fmt: skip
    raise InputError(f"data {place}: it is a folder, and no subset of LibriSpeech. {hint}")


# --- writing ---------------------------------------------------------------------------------------------


def _path(path: Path, folder: Path | None) -> str:
    """Return a path as it leads from a folder, or an absolute one."""
    absolute = path.resolve()
    return str(absolute) if folder is None else Path(os.path.relpath(absolute, folder.resolve())).as_posix()


def _name(model: str) -> str:
    """Return a name for the suite and its model: the last part of a path or a hub id."""
    stem = Path(model).resolve().name if Path(model).is_dir() else model.rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "model"
