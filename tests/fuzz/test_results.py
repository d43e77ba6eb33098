"""A run's folder with any damage: every command goes on or stops with one line, and ``validate`` finds what it met."""

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench import export, leaderboard, validate
from greenbench.analysis import compare, gains, selection
from greenbench.errors import GreenbenchError
from greenbench.export import tracking
from greenbench.hardware import platforms, roofline
from greenbench.plugins import traces
from greenbench.report import content, pages, scores
from greenbench.results import frames as results_frames
from greenbench.results import rescore, store
from greenbench.sharing import merge, privacy, submission

from .mutate import Mutation, mutations, places, restore, write


def report(folder: Path, _out: Path) -> None:
    pages.render(content.load([folder]))


def rescored(folder: Path, _out: Path) -> None:
    rescore.rescore(folder, ["whisper-basic"])
    scores.table(results_frames.load(folder), results_frames.load_scores(folder))


def compared(folder: Path, _out: Path) -> None:
    compare.compare(selection.select(f"{folder}:null/rtfx-100"), selection.select(f"{folder}:student"))


def exported(form: str) -> Callable[[Path, Path], Any]:
    return lambda folder, out: export.write(folder, form, out / "file")


def tracked(folder: Path, _out: Path) -> None:
    runs = {run.id: run.description for run in store.open_runs(folder)}
    list(tracking.cells(export.Results(results_frames.load(folder), runs, folder)))


COMMANDS: dict[str, Callable[[Path, Path], Any]] = {
    "report": report,
    "rescore": rescored,
    "compare": compared,
    "lineage": lambda folder, _out: gains.table(folder),
    "leaderboard": lambda folder, out: leaderboard.publish([folder], out / "site"),
    "merge": lambda folder, out: merge.merge([folder], out / "merged"),
    "submit": lambda folder, out: submission.pack([folder], out / "entry.zip"),
    "export to trackers": tracked,
    **{
        f"export {name}": exported(name)
        for name, form in export.FORMATS.items()
        if not form.is_store and name != "parquet"
    },
}


PICKY = ("submit", "export boamps", "export model-index", "export eval-results")
"""Commands that ask for more than sound rows: a meter, a model of the hub. They may refuse what is whole."""


def met(folder: Path, out: Path, command: str) -> str | None:
    """Run a command; return what it refused or warned of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            COMMANDS[command](folder, out)
        except GreenbenchError as error:
            return f"{type(error).__name__}: {error}"
    return f"warning: {told[0].message}" if told else None


@pytest.fixture(scope="module")
def place(sound: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutated") / "run"
    folder.mkdir()
    for name, whole in sound.items():
        (folder / name).write_bytes(whole)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_a_sound_run_is_no_problem(command: str, place: Path, tmp_path: Path) -> None:
    """What the mutations start from is refused by no command, and has no error."""
    assert met(place, tmp_path, command) is None or command in PICKY
    assert [f"{p.where}: {p.what}" for p in validate.problems(place) if p.severity == "error"] == []


def read(folder: Path) -> str | None:
    """Read every file of a run as the commands do; return what was refused or warned of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            run = store.read_run(folder)
            roofline.of_run(run), platforms.platform_id(run), privacy.run(run)
            for file in (store.HYPOTHESES, store.SCORES, store.WINDOWS, store.CONTROL):
                list(store.read_rows(folder / file))
            store.current(store.read_rows(folder / store.RECORDS))
            traces.sessions(store.read_rows(folder / store.POWER))
        except GreenbenchError as error:
            return f"{type(error).__name__}: {error}"
    return f"warning: {told[0].message}" if told else None


@settings(settings.get_profile("fuzz"))
@given(mutation=mutations())
def test_any_damage_is_found(mutation: Mutation, sound: dict[str, bytes], place: Path) -> None:
    """Reading raises nothing but our errors, nor does ``validate``, and what reading met is a problem."""
    name = sorted(sound)[int(mutation.file * len(sound))]
    try:
        write(place / name, mutation(sound[name]), mutation.n)
        told = read(place)
        if (place / store.RUN).exists():
            found = [problem.what for problem in validate.problems(place)]
            assert told is None or found, told
            assert not any(what.startswith("cannot be judged") for what in found), found
    finally:
        restore(place / name, sound[name])


def with_others(content: bytes, file: str) -> Iterator[bytes]:
    """Yield a file with each value of its object, or of that in its first line, left out, and in other kinds."""
    first, *others = [content] if file == store.RUN else content.strip().splitlines()
    for n, _ in enumerate(places(json.loads(first))):
        for other in (None, "x", 10**400, LEFT_OUT):
            value = json.loads(first)
            parent, key = list(places(value))[n]
            parent[key] = other
            if other is LEFT_OUT:
                del parent[key]
            yield b"\n".join([json.dumps(value).encode(), *others, b""])


LEFT_OUT = object()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [store.RUN, store.RECORDS, store.HYPOTHESES, store.SCORES, store.WINDOWS, store.CONTROL, store.POWER]
)
def test_a_value_of_another_kind_is_judged(name: str, sound: dict[str, bytes], place: Path) -> None:
    """Wherever it is: chance makes a certain value of a certain file null once in tens of thousands of mutations."""
    try:
        for content in with_others(sound[name], name):
            (place / name).write_bytes(content)
            told, found = read(place), [problem.what for problem in validate.problems(place)]
            assert told is None or found, told
            assert not any(what.startswith("cannot be judged") for what in found), found
    finally:
        restore(place / name, sound[name])


@settings(settings.get_profile("fuzz-commands"))
@given(mutation=mutations(), command=st.sampled_from(sorted(COMMANDS)))
def test_any_damage_is_met_with_one_line(
    mutation: Mutation, command: str, sound: dict[str, bytes], place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No command ends in another exception than ours, and what it refused or left out is a problem of ``validate``."""
    name = sorted(sound)[int(mutation.file * len(sound))]
    out = place.parent / "out"
    out.mkdir()
    try:
        write(place / name, mutation(sound[name]), mutation.n)
        told = met(place, out, command)
        if told is not None and command not in PICKY and (place / store.RUN).exists():
            assert list(validate.problems(place)), f"{command}: {told}"
    finally:
        shutil.rmtree(out)
        restore(place / name, sound[name])


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_waits_for_a_pipe(command: str, sound: dict[str, bytes], place: Path, tmp_path: Path) -> None:
    """Where the files beside a run's rows are pipes that nobody writes to, a command goes on or stops with one line."""
    pipes = sound.keys() - {store.RUN, store.RECORDS}
    try:
        for name in pipes:
            write(place / name, None, 2)
        assert all((place / name).is_fifo() for name in pipes)
        met(place, tmp_path, command)
    finally:
        for name in pipes:
            restore(place / name, sound[name])


def changed(content: bytes, file: str, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """Return a file with a change of its object, or of that in every line."""
    values = [json.loads(text) for text in ([content] if file == store.RUN else content.splitlines())]
    for value in values:
        change(value)
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


KEPT: dict[str, tuple[str, Callable[[dict[str, Any]], Any], str]] = {
    "the row does not say how its words were counted": (
        store.RECORDS, lambda row: row.update(normalizer=None), "export csv",
    ),
    "a row without the count of utterances": (store.RECORDS, lambda row: row.pop("n_utterances"), "lineage"),
    "controls without their lowest rate": (
        store.RUN, lambda run: [found.pop("rtfx_min") for found in run["control"].values()], "report",
    ),
    "a text whose audio has no length": (store.HYPOTHESES, lambda row: row.update(audio_s=None), "report"),
    "a suite without its scenarios": (store.RUN, lambda run: run["suite"].pop("scenarios"), "report"),
    "a protocol without its name": (store.RUN, lambda run: run["suite"]["protocol"].pop("use"), "report"),
    "sockets that are a text": (store.RUN, lambda run: run["machine"].update(n_cpu_packages="two"), "export boamps"),
    "a design power beyond all floats": (
        store.RUN, lambda run: run["suite"]["meters"]["codecarbon"].update(tdp_w=10**400), "report",
    ),
    "a design power that is a text": (
        store.RUN, lambda run: run["suite"]["meters"]["codecarbon"].update(tdp_w="many"), "report",
    ),
}  # fmt: skip
"""Damages by which something ended in a traceback once: file, change, command."""


@pytest.mark.parametrize("case", KEPT)
def test_what_was_a_traceback_once_is_a_problem(
    case: str, sound: dict[str, bytes], place: Path, tmp_path: Path
) -> None:
    """The command goes on or stops with one line, and ``validate`` names the damage."""
    name, change, command = KEPT[case]
    try:
        (place / name).write_bytes(changed(sound[name], name, change))
        met(place, tmp_path, command)
        found = [problem.what for problem in validate.problems(place) if problem.severity == "error"]
        assert found
        assert not any(what.startswith("cannot be judged") for what in found)
    finally:
        restore(place / name, sound[name])
