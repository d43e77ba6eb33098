"""Entries of a suite from names: of a model, a data set and builds."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from greenbench import registry
from greenbench.errors import InputError, did_you_mean, nearest
from greenbench.suite.entries import presets, registered

LIBRISPEECH_ROOT = "data/LibriSpeech"
"""Where a subset of LibriSpeech that is named without a folder is kept, or downloaded to."""


# --- the model -------------------------------------------------------------------------------------------


def model_entry(model: str, folder: Path | None) -> dict[str, Any]:
    """Return the entry of a model: a registered name, a folder, or a hub id."""
    family, slash, _ = model.partition("/")
    if slash and family in registry.names("variants") and not Path(model).exists():
        if model not in presets(family):
            raise InputError(f"model {model}: it is not a registered variant. {did_you_mean(model, presets(family))}")
        return {"use": model}
    if Path(model).is_dir():
        return {"use": _family(Path(model)), "model": _path(Path(model), folder), "name": stem(model)}
    if Path(model).exists():
        raise InputError(f"model {model}: it is a file. Give the folder of the checkpoint.")
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", model):
        return {"use": "wav2vec2", "model": model, "name": stem(model)}
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
    if (folder / "encoder_model.ort").is_file():
        return "moonshine"
    from greenbench.models import folders

    return folders.family(str(folder), folder)


def checked_builds(builds: Sequence[str]) -> list[str]:
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


def variant_entries(model: dict[str, Any], builds: Sequence[str]) -> list[Any]:
    """Return the model and its builds, each in its shortest form."""
    name = model.get("name", model["use"])
    first = model["use"] if set(model) == {"use"} else model
    return [first, *(f"{name}+{build}" for build in builds)]


# --- the data --------------------------------------------------------------------------------------------


def dataset_entry(data: str, folder: Path | None) -> dict[str, Any]:
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


def stem(model: str) -> str:
    """Return a name for the suite and its model: the last part of a path or a hub id."""
    stem = Path(model).resolve().name if Path(model).is_dir() else model.rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "model"
