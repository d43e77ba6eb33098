"""Names become plug-ins: lazily, strictly, and with one clear line when they do not."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from greenbench import registry
from greenbench.errors import InputError


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch):
    """Let a test say which entry points are installed."""

    def install(*points: EntryPoint) -> None:
        monkeypatch.setattr(registry, "installed", lambda group: [p for p in points if p.group.endswith(group)])
        registry.entries.cache_clear()

    yield install
    registry.entries.cache_clear()


@dataclass(frozen=True)
class Settings:
    number: int = 1
    ratio: float = 0.5


def test_unknown_name_has_the_nearest_one() -> None:
    """A typo in a name is answered with the name that was meant."""
    with pytest.raises(InputError, match=r"unknown variant 'wav2vec'. Did you mean 'wav2vec2'\?"):
        registry.load("variants", "wav2vec")


def test_a_name_far_from_all_lists_them() -> None:
    """Where nothing is close, the valid names are listed."""
    with pytest.raises(InputError, match="Valid: commonvoice, csv, .*librispeech, .*manifest"):
        registry.load("datasets", "zzzzzz")


def test_a_name_taken_twice_is_an_error(entries) -> None:
    """Two packages that claim one name are both named; neither wins silently."""
    entries(
        EntryPoint("x", "one:Settings", "greenbench.variants"),
        EntryPoint("x", "two:Settings", "greenbench.variants"),
    )
    with pytest.raises(registry.PluginError, match="'x' in greenbench.variants: one:Settings and two:Settings"):
        registry.names("variants")


def test_the_same_entry_seen_twice_is_not_an_error(entries) -> None:
    """One package met twice on the path is one plug-in."""
    point = EntryPoint("x", "one:Settings", "greenbench.variants")
    entries(point, point)
    assert registry.names("variants") == ["x"]


def test_a_plugin_that_does_not_import_is_named(entries) -> None:
    """A broken package is reported by name with the cause, never swallowed."""
    entries(EntryPoint("x", "no_such_module:Thing", "greenbench.methods"))
    with pytest.raises(registry.PluginError, match=r"'x' \(no_such_module:Thing\) does not import: ModuleNotFound"):
        registry.load("methods", "x")


def test_names_import_nothing(entries) -> None:
    """Listing names does not import the plug-ins behind them."""
    entries(EntryPoint("x", "no_such_module:Thing", "greenbench.methods"))
    assert registry.names("methods") == ["x"]


def test_packages_are_read_once_for_all_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read their files takes as long for one group as for all; a package on a new path is found all the same."""
    read, all_points = [], registry.entry_points
    monkeypatch.setattr(registry, "entry_points", lambda: read.append(1) or all_points())
    info = tmp_path / "new" / "mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[greenbench.meters]\nmine = mine:Meter\n")
    for n_read, path in enumerate(("old", "new"), start=1):
        monkeypatch.syspath_prepend(tmp_path / path)
        found = {group: {point.name for point in registry.installed(group)} for group in registry.GROUPS}
        assert len(read) == n_read
        assert ("mine" in found["meters"]) == (path == "new")
        assert "wav2vec2" in found["variants"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nmber": 2}, r"nmber: unknown key for method 'x'. Did you mean 'number'\?"),
        ({"number": "2"}, r"number: a whole number is expected \(got '2'\)"),
        ({"number": True}, "number: a whole number is expected"),
        ({"ratio": "much"}, "ratio: a number is expected"),
    ],
)
def test_settings_are_checked_strictly(entries, options: dict, message: str) -> None:
    """An unknown setting or a wrong type is one line with the setting's name; nothing is converted silently."""
    entries(EntryPoint("x", f"{__name__}:Settings", "greenbench.methods"))
    registry_load = registry.load
    registry.load = lambda group, name: Settings  # the test module has no importable name of its own
    try:
        with pytest.raises(InputError, match=message):
            registry.create("methods", "x", options)
        assert registry.create("methods", "x", {"ratio": 1}) == Settings(ratio=1.0)
    finally:
        registry.load = registry_load
