"""The cache: by content, whole or not at all, within a limit."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from greenbench import cache
from greenbench.errors import InputError, MissingError
from greenbench.files import whole


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


ABOUT = {"model": "a", "version": 1}

DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "empty": lambda kept, _other: (kept / "weights.bin").write_bytes(b""),
    "cut": lambda kept, _other: (kept / "weights.bin").write_bytes(bytes(5)),
    "one bit, at the same times": lambda kept, _other: _flip(kept / "weights.bin"),
    "another model's file": lambda kept, other: shutil.copy2(other / "weights.bin", kept / "weights.bin"),
    "a file gone": lambda kept, _other: (kept / "weights.bin").unlink(),
    "a file more": lambda kept, _other: (kept / "model.xml").write_text("<net/>", encoding="utf-8"),
    "another model's folder": lambda kept, other: (shutil.rmtree(kept), shutil.copytree(other, kept)),
    "its description empty": lambda kept, _other: (kept / cache.ABOUT).write_bytes(b""),
    "its description cut": lambda kept, _other: _cut(kept / cache.ABOUT),
    "its description foreign": lambda kept, _other: (kept / cache.ABOUT).write_text("[[1, 2]]", encoding="utf-8"),
    "its description gone": lambda kept, _other: (kept / cache.ABOUT).unlink(),
    "a file in its place": lambda kept, _other: (shutil.rmtree(kept), kept.write_bytes(b"x")),
    "of an earlier version": lambda kept, _other: (kept / cache.ABOUT).write_text(json.dumps(ABOUT), encoding="utf-8"),
}


def _flip(path: Path) -> None:
    state = path.stat()
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_as_it_was_made_is_made_again(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever befell an artefact, it is never used: one line says so, and what is used is the right one."""
    monkeypatch.setattr(cache, "SETTLED_S", -1.0)  # memos are written at once
    other = cache.artefact({"model": "b", "version": 1}, lambda folder: (folder / "weights.bin").write_bytes(b"b" * 10))
    right = lambda folder: (folder / "weights.bin").write_bytes(b"a" * 10)  # noqa: E731
    kept = cache.artefact(ABOUT, right)
    assert cache.artefact(ABOUT, pytest.fail) == kept, "a sound one is used"
    DAMAGES[damage](kept, other)
    with pytest.warns(UserWarning, match="cannot be used .* made again") as warned:
        assert cache.artefact(ABOUT, right) == kept
    assert len(warned) == 1
    assert (kept / "weights.bin").read_bytes() == b"a" * 10
    assert cache.artefact(ABOUT, pytest.fail) == kept


def test_damaged_artefacts_are_listed() -> None:
    """Listing does not fail for a description that says nothing."""
    kept = cache.artefact(ABOUT, writes(10))
    (kept / cache.ABOUT).write_bytes(b"")
    assert [a.about for a in cache.artefacts()] == [{"build": "damaged"}]


def test_two_who_ask_at_once_make_it_once() -> None:
    """The second waits for the first, and neither removes what the other uses."""
    made, found, inside = [], [], threading.Event()

    def make(folder: Path) -> None:
        made.append(folder)
        writes(10)(folder)
        inside.wait(0.2)

    threads = [threading.Thread(target=lambda: found.append(cache.artefact(ABOUT, make))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(set(found)) == 1


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the folder and what to do."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(MissingError, match="the cache cannot be written .*GREENBENCH_CACHE"):
        cache.artefact(ABOUT, writes(10))


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


@pytest.mark.parametrize("given", ["lots", "nan", "-1"])
def test_a_limit_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """The message names the variable and what it holds; nothing is above NaN, so that it would be no limit."""
    monkeypatch.setenv("GREENBENCH_CACHE_GIB", given)
    with pytest.raises(InputError, match=f"GREENBENCH_CACHE_GIB: '{given}'"):
        cache.limit_bytes()


# --- digests ---------------------------------------------------------------------------------------------


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return two files of one size whose digests are remembered."""
    monkeypatch.setattr(cache, "SETTLED_S", -1.0)
    paths = [tmp_path / f"{name}.bin" for name in "ab"]
    for path in paths:
        path.write_bytes(path.name.encode() * 1000)
        cache.digest(path)
    assert len(memos()) == 2
    return paths


def memos() -> list[Path]:
    return sorted((cache.folder().parent / "digests").iterdir())


def truth(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _swap(one: Path, other: Path) -> None:
    texts = one.read_bytes(), other.read_bytes()
    one.write_bytes(texts[1])
    other.write_bytes(texts[0])


@pytest.mark.parametrize(
    "damage",
    [
        lambda one, _other: one.write_bytes(b""),
        lambda one, _other: one.write_bytes(one.read_bytes()[:64]),
        lambda one, _other: one.write_bytes(one.read_bytes()[:30]),
        lambda one, _other: one.write_text("0" * 64, encoding="ascii"),
        lambda one, _other: one.write_text(f"{'0' * 64} {'1' * 64}", encoding="ascii"),
        lambda one, _other: one.write_bytes(b"\xff\xfe\x00"),
        lambda one, other: shutil.copy2(other, one),
        _swap,
    ],
    ids=["empty", "without seal", "cut", "foreign", "forged", "binary", "another's", "swapped"],
)
def test_a_memo_that_is_not_this_files_is_not_believed(
    models: list[Path], damage: Callable[[Path, Path], object]
) -> None:
    """Damaged, foreign or swapped memos are computed anew: two models never share an identity."""
    damage(*memos())
    assert [cache.digest(path) for path in models] == [truth(path) for path in models]
    assert truth(models[0]) != truth(models[1])


def test_a_digest_is_computed_once(models: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole memo of an unchanged file is believed."""
    known = [truth(path) for path in models]
    monkeypatch.setattr(whole, "write", pytest.fail)
    assert [cache.digest(path) for path in models] == known


def test_a_change_of_equal_size_at_the_same_time_is_seen(models: list[Path]) -> None:
    """Neither size nor time tells the old content from the new one, as after `cp -p` or a clock set back."""
    path = models[0]
    state = path.stat()
    path.write_bytes(path.read_bytes().replace(b"a", b"c"))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert cache.digest(path) == truth(path)


def test_a_file_that_takes_anothers_place_is_seen(models: list[Path]) -> None:
    """A model renamed over another, with its times, has its own digest."""
    state = models[0].stat()
    models[1].replace(models[0])
    os.utime(models[0], ns=(state.st_atime_ns, state.st_mtime_ns))
    assert cache.digest(models[0]) == truth(models[0])


@pytest.mark.parametrize("age_s", [0.0, -3600.0], ids=["just written", "ahead of the clock"])
def test_a_file_that_may_still_change_is_not_remembered(tmp_path: Path, age_s: float) -> None:
    """Within the steps of a file system's clock a later change would not show, so nothing is kept."""
    path = tmp_path / "weights.bin"
    path.write_bytes(b"one")
    os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    assert cache.digest(path) == truth(path)
    assert not (cache.folder().parent / "digests").exists()
    path.write_bytes(b"two")
    assert cache.digest(path) == truth(path)


def test_a_full_disk_costs_no_digest(models: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no memo can be written the file is read again next time; nothing of 0 bytes is left behind."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    for memo in memos():
        memo.unlink()
    monkeypatch.setattr(os, "fsync", full)
    assert [cache.digest(path) for path in models] == [truth(path) for path in models]
    assert memos() == []
