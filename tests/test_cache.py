"""The cache: by content, whole or not at all, within a limit."""

import os
from pathlib import Path

import pytest

from greenbench import cache
from greenbench.errors import InputError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep artefacts in a folder of the test's."""
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path / "cache"))


def writes(n_bytes: int):
    """Return a maker of one file of so many bytes."""
    return lambda folder: (folder / "weights.bin").write_bytes(bytes(n_bytes))


def test_the_same_content_is_made_once() -> None:
    """Another content is another folder; the order of the keys does not count."""
    calls = []

    def make(folder: Path) -> None:
        calls.append(folder)
        writes(10)(folder)

    first = cache.artefact({"a": 1, "b": 2}, make)
    assert cache.artefact({"b": 2, "a": 1}, make) == first
    assert cache.artefact({"a": 1, "b": 3}, make) != first
    assert len(calls) == 2
    assert (first / "weights.bin").stat().st_size == 10


def test_what_fails_leaves_nothing() -> None:
    """A maker that raises half way leaves no artefact and no rubbish."""

    def fail(folder: Path) -> None:
        writes(10)(folder)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        cache.artefact({"a": 1}, fail)
    assert list(cache.folder().iterdir()) == []


def test_the_least_recently_used_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the oldest use goes; what was just made stays, even if it is too large alone."""
    monkeypatch.setenv("GREENBENCH_CACHE_GIB", str(2500 / 2**30))
    old, older = (cache.artefact({"n": n}, writes(1000)) for n in range(2))
    for path, seconds in ((old, 2000), (older, 1000)):
        os.utime(path / cache.ABOUT, (seconds, seconds))
    new = cache.artefact({"n": 2}, writes(1000))
    assert {a.path for a in cache.artefacts()} == {old, new}
    huge = cache.artefact({"n": 3}, writes(5000))
    assert [a.path for a in cache.artefacts()] == [huge]


def test_use_is_remembered_and_clearing_frees() -> None:
    """Artefacts are listed by last use, with their size and content."""
    _first, second = (cache.artefact({"n": n}, writes(100)) for n in range(2))
    os.utime(second / cache.ABOUT, (1000, 1000))
    cache.artefact({"n": 0}, writes(100))
    assert [a.about["n"] for a in cache.artefacts()] == [1, 0]
    assert cache.clear() > 200
    assert cache.artefacts() == []


def test_a_limit_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable and what it holds."""
    monkeypatch.setenv("GREENBENCH_CACHE_GIB", "lots")
    with pytest.raises(InputError, match="GREENBENCH_CACHE_GIB: 'lots'"):
        cache.limit_bytes()


def test_a_digest_follows_the_content(tmp_path: Path) -> None:
    """A file is read once as long as it does not change, and again when it does."""
    path = tmp_path / "weights.bin"
    path.write_bytes(b"one")
    first = cache.digest(path)
    assert first == cache.digest(path)
    path.write_bytes(b"other")
    assert cache.digest(path) != first
