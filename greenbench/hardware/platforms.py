"""Which machine a run is of: the hardware that tells one platform from another, and a card of what was seen on it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from greenbench.hardware import control, roofline

Description = Mapping[str, Any]

_VERSIONS = ("greenbench", "torch", "transformers", "onnxruntime", "openvino", "ctranslate2")
"""Libraries whose versions stand on the card; every version is in the runs."""


@dataclass(frozen=True)
class Platform:
    """One kind of machine.

    Attributes:
        id: digest of ``hardware``: machines that agree in it are one platform.
        name: for people.
        hardware: what distinguishes it.
        software: what was seen on it, each with all its values: operating system's kernel, what its devices reached at
            most, drivers, versions.
        meters: those that answered on it.
        run_ids: of the runs on it.
    """

    id: str
    name: str
    hardware: Mapping[str, Any]
    software: Mapping[str, tuple[str, ...]]
    meters: tuple[str, ...]
    run_ids: tuple[str, ...]


def platform_id(run: Description) -> str:
    """Return the digest of a run's hardware."""
    return hashlib.sha256(json.dumps(hardware(run), sort_keys=True).encode()).hexdigest()[:12]


def hardware(run: Description) -> dict[str, Any]:
    """Return what distinguishes a run's machine from another; memory in whole GiB, as containers differ by a little."""
    machine = _mapping(run.get("machine"))
    gpus = [_mapping(gpu) for gpu in machine.get("gpus") or () if isinstance(gpu, Mapping)]
    return {
        "cpu": machine.get("cpu_model"),
        "n_cpus_physical": machine.get("n_cpus_physical"),
        "n_cpus_usable": machine.get("n_cpus_usable"),
        "memory_gib": _gib(machine.get("memory_bytes")),
        "gpus": [{"name": gpu.get("name"), "memory_gib": _gib(gpu.get("memory_bytes")),
                  "power_limit_w": gpu.get("power_limit_w")} for gpu in gpus],
        "os": machine.get("os"),
        "virtualised": machine.get("virtualised"),
    }  # fmt: skip


def platforms(runs: Iterable[Description]) -> dict[str, Platform]:
    """Return a card of each platform that the runs are of, by its id."""
    by_id: dict[str, list[Description]] = {}
    for run in runs:
        by_id.setdefault(platform_id(run), []).append(run)
    return {name: _card(name, of_platform) for name, of_platform in by_id.items()}


def _card(name: str, runs: list[Description]) -> Platform:
    machines = [_mapping(run.get("machine")) for run in runs]
    versions = [_mapping(run.get("versions")) for run in runs]
    peaks = [f"{device}: {roofline.describe(of)}" for run in runs for device, of in roofline.of_run(run).items()]
    measured = [item for run in runs for item in _mapping(run.get("control")).items()]
    controls = [f"{device}: {control.describe(of)}" for device, of in measured]
    drivers = [gpu.get("driver") for machine in machines for gpu in machine.get("gpus") or ()]
    seen = {key: [machine.get(key) for machine in machines] for key in ("kernel", "python", "cpu_governor", "turbo")}
    seen |= {"peaks": peaks, "control": controls, "gpu_driver": drivers} | {
        key: [known.get(key) for known in versions] for key in _VERSIONS
    }
    answered = {meter for run in runs for meter, why in _mapping(run.get("meters")).items() if why is None}
    about = hardware(runs[0])
    return Platform(
        id=name,
        name=_name(about),
        hardware=about,
        software={key: values for key, found in seen.items() if (values := _distinct(found))},
        meters=tuple(sorted(answered)),
        run_ids=tuple(sorted({str(run.get("run_id")) for run in runs})),
    )


def _name(about: Mapping[str, Any]) -> str:
    """Name a platform by its GPUs, if any, its CPU and its memory."""
    gpus = [str(gpu["name"] or "GPU") for gpu in about["gpus"]]
    each = [f"{gpus.count(gpu)} × {gpu}" if gpus.count(gpu) > 1 else gpu for gpu in dict.fromkeys(gpus)]
    n_cpus = about["n_cpus_usable"]
    cpu = str(about["cpu"] or "unknown CPU") + (f" ({n_cpus} CPUs)" if n_cpus else "")
    memory = [f"{about['memory_gib']} GiB"] if about["memory_gib"] else []
    return ", ".join([*each, cpu, *memory])


def _distinct(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(value) for value in values if value is not None))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _gib(n_bytes: Any) -> int | None:
    return round(n_bytes / 2**30) if isinstance(n_bytes, (int, float)) else None
