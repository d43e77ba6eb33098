"""A suite from a model, a data set and builds, as commented YAML: `init` writes it, and `run --model` measures it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from greenbench.assets import quickstart_suite
from greenbench.errors import InputError
from greenbench.files import strictyaml
from greenbench.suite import config, file, flow
from greenbench.suite.config import Suite
from greenbench.suite.named import checked_builds, dataset_entry, model_entry, stem, variant_entries

MODEL, DATA = "wav2vec2/quickstart", "quickstart"
"""What a suite measures where nothing is named: what ships with the package."""


@dataclass(frozen=True)
class StarterRequest:
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
scenarios: [offline]       # single-stream: latency of one utterance at a time; server: the rate served; streaming
batch_sizes: [8]           # of the scenario offline
normalizer: whisper-english  # what is done to both texts before WER; whisper-basic is for other languages than English
estimate_energy: {estimate}   # true takes a model of the CPU's power where no counter answers; rows say `estimated`
"""


def text(draft: StarterRequest, folder: Path | None = None) -> str:
    """Return a suite as commented YAML.

    Args:
        draft: what it measures.
        folder: where the file is to lie, from which its paths then lead; None makes them absolute.

    Raises:
        InputError: the model, the data or a build is not there, in one line that says what would be.
    """
    model, dataset = model_entry(draft.model, folder), dataset_entry(draft.data, folder)
    if draft.limit is not None:
        dataset["limit"] = draft.limit
    variants = variant_entries(model, checked_builds(draft.builds))
    return TEMPLATE.format(
        name=stem(draft.model),
        description=flow.value(f"{draft.model} on {draft.data}"),
        protocol=flow.value(draft.protocol or "quick"),
        dataset=flow.line(dataset),
        variants="\n".join(f"  - {flow.line(variant)}" for variant in variants),
        device=flow.value(draft.device or "cpu"),
        estimate=str(draft.estimate_energy).lower(),
    )


def check(draft: StarterRequest) -> None:
    """Refuse what makes no suite that can be loaded, such as builds that a model does not take.

    Raises:
        InputError: the first problem.
    """
    config.load(parsed(text(draft)))


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
        return config.load(source if source is not None else quickstart_suite(), overrides, changes), None
    if source is not None:
        raise InputError("a suite already names what is measured: give a suite, or a model and data, but not both")
    if not {"model", "data"} <= set(given):
        raise InputError(
            f"{next(iter(given))}: a model and data are needed, builds may be left out: give both, or a suite"
        )
    made = overridden(text(StarterRequest(**given, **changes)), overrides)
    return config.load(parsed(made)), made
