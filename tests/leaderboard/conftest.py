"""Made-up entries for boards: the figures of three processes, in runs in which everything agrees."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench.leaderboard import publish
from greenbench.results import store

Cells = dict[str, dict[str, Any]]
EVIL = "<img src=x onerror=alert(1)>|=1+1"


def rounds(wall_s: float, energy_cpu_j: float | None = None, spread: float = 0.01) -> list[dict[str, float]]:
    """Three processes around a middle; over 80 s of audio, so RTFx is 80 / ``wall_s``."""
    told = [{"wall_s": wall_s * (1 + k * spread)} for k in (-1, 0, 1)]
    joules = [energy_cpu_j * (1 + k * spread) for k in (-1, 0, 1)] if energy_cpu_j is not None else []
    return [figures | {"energy_cpu_j": j} for figures, j in zip(told, joules, strict=True)] if joules else told


ESTIMATE = {"method": "estimated", "source": "codecarbon-tdp", "note": "TDP 5 W (given in the suite)"}


@pytest.fixture(scope="session")
def cells() -> dict[str, dict[str, Any]]:
    """A teacher, its builds, a peer, and what must never be ranked."""
    found = {
        "teacher": {"rounds": rounds(4, 60), "n_wrong": 2, "model_bytes": 400},
        "int8": {"rounds": rounds(2, 31), "n_wrong": 2, "parent": "teacher", "model_bytes": 100},
        "bf16": {"rounds": rounds(2.02, 31.3, 0.03), "n_wrong": 2, "parent": "teacher", "model_bytes": 200},
        "lossy": {"rounds": rounds(0.5, 2), "n_wrong": 30, "parent": "teacher", "model_bytes": 50},
        "guess": {"rounds": rounds(1, 1), "n_wrong": 2, "model_bytes": 300, **ESTIMATE},
        "random": {"rounds": rounds(0.4, 1), "synthetic": True, "model_bytes": 10},
        "once": {"rounds": rounds(0.4, 1)[:1], "n_wrong": 2, "model_bytes": 20},
        "slept": {"rounds": rounds(0.2, 0.5), "n_wrong": 40, "n_params": 0, "model_bytes": 0},
        "shaky": {"rounds": rounds(1, 10, 0.5), "n_wrong": 2, "model_bytes": 30},
        "broken": {"rounds": [{"reason": "killed: out of memory"}] * 3},
    }
    return {name: {"variant": name, **cell} for name, cell in found.items()}


@pytest.fixture(scope="session")
def kept_results(sound_run_in: Callable[..., Path], cells: Cells, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everybody on one machine, two of them on another, and a cell whose names and reason are made to break pages."""
    folder = tmp_path_factory.mktemp("board") / "results"
    evil = cells["broken"] | {"variant": EVIL, "rounds": [{"reason": f"died {EVIL}"}] * 3}
    run = sound_run_in(folder / "r1", *cells.values(), evil, cells["teacher"] | {"variant": f"{EVIL} fit"})
    machine = store.read_run(run)["machine"] | {"cpu_model": f"Chip {EVIL}"}
    sound_run_in(folder / "r2", cells["teacher"], cells["int8"], machine=machine)
    return folder


@pytest.fixture(scope="session")
def site(kept_results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of these results; not to be changed."""
    return publish([kept_results], tmp_path_factory.mktemp("published") / "site").index.parent


@pytest.fixture(scope="session")
def evil() -> str:
    """What a variant, a machine and a reason of these results are called, to break pages."""
    return EVIL
