"""What the shell offers where a name is expected; each is looked up without importing torch, and never fails."""

from collections.abc import Callable, Iterable
from contextlib import suppress

Names = Callable[[str], list[str]]
"""Takes what is typed so far and returns the names that begin so."""


def _names(find: Callable[[], Iterable[str]]) -> Names:
    """Return a completion of names, which offers nothing where they cannot be found."""

    def complete(incomplete: str) -> list[str]:
        with suppress(Exception):  # a broken plug-in must not print a traceback into the line that is being typed
            return [name for name in find() if name.startswith(incomplete)]
        return []

    return complete


def _variants() -> list[str]:
    from greenbench.suite.entries import registered

    return registered()


def _datasets() -> list[str]:
    from greenbench.suite.named import datasets

    return datasets()


def _methods() -> list[str]:
    from greenbench import registry

    return registry.names("methods")


def _engines() -> list[str]:
    from greenbench import registry

    return registry.names("engines")


def _kinds() -> Iterable[str]:
    from greenbench.cli.catalogue import KINDS

    return KINDS


def _formats() -> Iterable[str]:
    from greenbench.export import FORMATS

    return FORMATS


def _protocols() -> Iterable[str]:
    from greenbench.suite.protocol import PROTOCOLS

    return PROTOCOLS


def _metrics() -> Iterable[str]:
    from greenbench.metrics import METRICS

    return METRICS


def _scorings() -> Iterable[str]:
    from greenbench.text.scorers import names

    return names()


def _settings() -> list[str]:
    """Return what ``--set`` begins with: the keys of a suite, and the values that are known of some."""
    from typing import get_args

    from greenbench.suite.config import Suite
    from greenbench.suite.scenarios import Scenario

    known = [f"scenarios=[{scenario}]" for scenario in get_args(Scenario)]
    known += [f"protocol.use={name}" for name in _protocols()]
    return [*known, *(f"{key}=" for key in Suite.model_fields if key != "scenarios")]


def _runs() -> list[str]:
    """Return what ``compare`` takes: the runs below ``results``, and the latest."""
    from pathlib import Path

    from greenbench.results.store import runs

    return ["latest", "latest~1", *(str(folder) for folder in runs(Path("results")))]


def builds(incomplete: str) -> list[str]:
    """Complete the last of builds that are separated by commas, and of a chain's parts."""
    cut = max(incomplete.rfind(","), incomplete.rfind("+")) + 1
    return [incomplete[:cut] + name for name in _names(_methods)(incomplete[cut:])]


def _files_first(names: Names) -> Names:
    """Return a completion of names that steps aside for paths: what looks like one is the shell's to complete."""
    return lambda incomplete: [] if incomplete.startswith((".", "/", "~")) else names(incomplete)


model = _files_first(_names(_variants))
data = _files_first(_names(_datasets))
kind = _names(_kinds)
engine = _names(_engines)
export_format = _names(_formats)
protocol = _names(_protocols)
metric = _names(_metrics)
scoring = _names(_scorings)
setting = _names(_settings)
run_folder = _names(_runs)
device = _names(lambda: ("cpu", "cuda", "cuda:0", "mps", "auto"))
