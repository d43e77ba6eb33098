"""What the fuzz has in common: how many mutations a door gets, and a sound run."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

N = int(os.environ.get("GREENBENCH_FUZZ", "1000"))
"""Mutations a door: the same ones each time, so that no run of the tests fails by chance.

``nox -s fuzz`` asks for 100,000, and for others each time.
"""

N_COMMANDS = max(1, N // 10)
"""Mutations that go through whole commands, which read by the same doors and take a hundred times as long."""

for _name, _n in (("fuzz", N), ("fuzz-commands", N_COMMANDS)):
    settings.register_profile(
        _name,
        max_examples=_n,
        derandomize=N <= 1000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),  # a mutation is as small as it can be
    )


class Files(dict[str, bytes]):
    """Files by name, whose contents no failing example prints."""

    def __repr__(self) -> str:
        return f"Files({', '.join(self)})"


@pytest.fixture(scope="session")
def sound(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Every file of a small run of a teacher and its student, by name."""
    from greenbench.harness.runner import Options, run
    from greenbench.suite import config

    folder = tmp_path_factory.mktemp("sound") / "run"
    loaded = config.load({
        "name": "tiny",
        "protocol": {"use": "quick", "rounds": 2, "repeats": 1, "window_s": 0.1, "idle_s": 0.1, "resamples": 50},
        "datasets": [{"use": "manifest", "path": str(manifest), "name": "tones", "limit": 3}],
        "variants": ["null/rtfx-100", {"use": "null", "rtfx": 200, "name": "student", "teacher": "null/rtfx-100"}],
        "batch_sizes": [2], "also_score": ["librispeech"], "trace_hz": 2, "estimate_energy": True,
        "meters": {"codecarbon": {"tdp_w": 20}},
    })  # fmt: skip
    run(loaded, Options(out=folder))
    return Files({path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".json", ".jsonl")})
