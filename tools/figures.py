"""Every figure that a document quotes, computed from what is committed: packed runs, and what ships beside the models.

A part of a document is text or a table; each names its scoring: data set, scenario, normaliser. What no committed row
or file holds is not written.
"""

import csv
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import groupby
from math import prod
from pathlib import Path
from typing import Any

import shapes
import streamed
from voices import by_voice, scoring

from greenbench.analysis import gains as analysis_gains
from greenbench.analysis.cells import CellSummary, median_of, summaries
from greenbench.analysis.gains import CellGains
from greenbench.assets import quickstart_suite
from greenbench.files import whole
from greenbench.models import lineage
from greenbench.plugins import LINEAGE
from greenbench.report import bigfoot, compression, terminal
from greenbench.results import frames, store
from greenbench.suite import config

ROOT = Path(__file__).parents[1]
ENTRIES = ROOT / "results" / "entries"
ASSETS = ROOT / "greenbench" / "assets" / "quickstart"
TEACHER, STUDENTS = ASSETS / "teacher", ASSETS / "students"

SLICES = ("seen voices", "unseen voices", "AN4 test")
"""Slices of ``scores.json`` that stand on the students' card."""

ALONE = "raw texts, single utterances"
"""The scoring of ``scores.json``: no normaliser, batch size 1, float32, greedy."""


@dataclass(frozen=True)
class Runs:
    """The committed runs, unpacked.

    Attributes:
        folders: by the name of their suite; of several of one suite the latest.
        quickstart: the quick start's once more, with those of its cells that the suite has today.
    """

    folders: Mapping[str, Path]
    quickstart: Path | None = None

    @cached_property
    def all_gains(self) -> Mapping[str, list[CellGains]]:
        """What each compressed variant gained, by suite."""
        return {name: analysis_gains.all_gains([folder]) for name, folder in self.folders.items()}


@contextmanager
def unpacked() -> Iterator[Runs]:
    """Unpack the entries for as long as figures are made of them."""
    with tempfile.TemporaryDirectory() as scratch:
        for entry in sorted(ENTRIES.glob("*.zip")):
            with zipfile.ZipFile(entry) as packed:
                packed.extractall(Path(scratch) / entry.stem)
        runs = {folder: store.read_run(folder) for folder in store.runs(Path(scratch))}
        ordered = sorted(runs, key=lambda folder: str(runs[folder]["started_utc"]))
        folders = {str(runs[folder]["name"]): folder for folder in ordered}
        yield Runs(folders, _of_today(folders["quickstart"], Path(scratch)) if "quickstart" in folders else None)


def _of_today(folder: Path, scratch: Path) -> Path:
    """Copy a run of the quick start without the variants that its suite no longer has."""
    copied = Path(shutil.copytree(folder, scratch / "today" / folder.name))
    names = {None, *(variant.name for variant in config.load(quickstart_suite()).variants)}
    for file in copied.glob("*.jsonl"):
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        whole.write(file, "".join(line for line in lines if json.loads(line).get("variant") in names))
    return copied


# --- tables ----------------------------------------------------------------------------------------------


def markdown(lines: Sequence[Mapping[str, str | None]]) -> str:
    """Return lines of text that share their columns as a table; nothing where there are none."""
    if not lines:
        return ""
    rows = [list(lines[0]), ["---"] * len(lines[0]), *([value or "–" for value in line.values()] for line in lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def results(runs: Runs) -> str:
    """Return what each run says: its name, where it was measured, and its tables."""
    return "\n\n".join(_section(runs, name) for name in sorted(runs.folders))


def _section(runs: Runs, name: str) -> str:
    run, all_gains = store.read_run(runs.folders[name]), runs.all_gains[name]
    parts = [f"### {name}", f"{run['description']}. Run `{run['run_id']}`."]
    if all_gains:
        places = {str(d.student.shared["device_name"]) for d in all_gains}
        scorings = {f"`{scoring(d.student.shared)}`" for d in all_gains}
        parts += [f"Measured on: {', '.join(sorted(places))}. Errors are counted by {' and '.join(sorted(scorings))}."]
        parts += [markdown(compression.table(all_gains))]
    beside = bigfoot.against_paper(all_gains)
    if beside:
        parts += ["Beside the paper:", markdown(beside)]
    return "\n\n".join(parts)


def quickstart(runs: Runs) -> str:
    """Return the table that the terminal shows at the end of the committed quick start."""
    if runs.quickstart is None:
        return ""
    rows = frames.load(runs.quickstart)
    return "\n".join(["```", *terminal.shown(rows, 80), "```"])


def quickstart_run(runs: Runs) -> str:
    """Return the id of the committed quick start."""
    return "" if runs.quickstart is None else f"`{store.read_run(runs.quickstart)['run_id']}`"


def compare(runs: Runs) -> str:
    """Return what ``greenbench compare`` prints of the quick start's student of six layers against its teacher."""
    from typer.testing import CliRunner

    from greenbench.cli import app

    if runs.quickstart is None:
        return ""
    teacher, student = (f"{runs.quickstart}:wav2vec2/{name}" for name in ("quickstart", "quickstart-6l"))
    printed = CliRunner().invoke(app, ["compare", teacher, student]).stdout
    lines = [line.rstrip() for line in printed.split("\n\ndifference:")[0].strip().splitlines()]
    return "\n".join(["```", *lines, "```"])


def pruning(runs: Runs) -> str:
    """Return size and WER of the quick-start teacher with fewer neurons or layers and no healing."""
    unhealed = [d for d in runs.all_gains.get("students", []) if _is_cut_only(str(d.student.shared["steps"]))]
    cells = [*(d.teacher for d in unhealed[:1]), *(d.student for d in unhealed)]
    largest_first = sorted(cells, key=lambda cell: (-(median_of(cell, "n_params") or 0), str(cell.shared["variant"])))
    return markdown([_size_and_wer(cell) for cell in largest_first])


def _is_cut_only(steps: str) -> bool:
    return "+" not in steps and steps.startswith(("prune-ffn", "layer-drop"))


def _size_and_wer(cell: CellSummary) -> dict[str, str | None]:
    n_params, wer = median_of(cell, "n_params"), median_of(cell, "wer")
    return {
        "variant": f"`{cell.shared['variant']}`",
        "million parameters": None if n_params is None else f"{n_params / 1e6:.1f}",
        f"WER % (`{scoring(cell.shared)}`, {cell.shared['dataset']}, {terminal.scenario(cell.shared)})": (
            None if wer is None else f"{100 * wer:.1f}"
        ),
    }


def shaped(runs: Runs, suite: str) -> str:
    """Return what builds of other shapes did in a suite, and how well sizes order them by their costs."""
    folder = runs.folders.get(suite)
    found = shapes.cells(runs.all_gains[suite]) if folder else []
    if folder is None or not found:
        return f"No run of `suites/{suite}.yaml` is among the committed ones yet."
    run, shared = store.read_run(folder), found[0].shared
    where = f"{shared['device_name']}, {shared['threads']} threads, {shared['dataset']}, {terminal.scenario(shared)}"
    tables = markdown(shapes.table(found, folder)), markdown(shapes.orders(found))
    return "\n\n".join([f"Run `{run['run_id']}` ({where}).", *tables])


def streaming_chunks(runs: Runs) -> str:
    """Return what each way to stream costs, by the length of a chunk."""
    folders = [folder for name, folder in sorted(runs.folders.items()) if streamed.NAMES.fullmatch(name)]
    found = [cell for folder in folders for cell in summaries(store.current(store.read_rows(folder / store.RECORDS)))]
    told = [cell for cell in found if cell.rows]
    if not told:
        return "No run of `suites/streaming-chunks.yaml` is among the committed ones yet."
    shared = next(cell.shared for cell in told if cell.shared["scenario"] == "streaming")
    names = ", ".join(f"`{store.read_run(folder)['run_id']}`" for folder in folders)
    where = f"{shared['device_name']}, {shared['threads']} threads, {shared['dataset']}, {shared['pace']}"
    return f"Runs {names} ({where}).\n\n{markdown(streamed.table(told))}"


# --- sentences -------------------------------------------------------------------------------------------


def gains(runs: Runs, suite: str, *variants: str) -> str:
    """Return a line for each of the named variants of a suite: size, speed and WER against its teacher.

    Args:
        runs: the committed ones.
        suite: its name.
        variants: globs.
    """
    all_gains = runs.all_gains.get(suite, [])
    found = [d for d in all_gains if any(fnmatchcase(str(d.student.shared["variant"]), glob) for glob in variants)]
    return "\n".join(_gain(cell_gains) for cell_gains in found)


def _gain(cell_gains: CellGains) -> str:
    (line,), row = compression.table([cell_gains]), cell_gains.student.shared
    words = {"smaller": "smaller", "faster": "as fast", "WER, points": f"points of WER (`{scoring(row)}`)"}
    told = ", ".join(f"{line[column]} {word}" for column, word in words.items() if line.get(column))
    where = f"{line['dataset']}, {line['scenario']}, {row['threads']} threads, {row['device_name']}"
    return f"- `{line['variant']}` against `{line['against']}`: {told} ({where})."


def teacher_wer(runs: Runs) -> str:
    """Return the teacher's WER on seen and unseen voices by the scoring of its card and by that of the tables."""
    said = _scores(TEACHER)
    seen, unseen = (f"{100 * said[name]['wer']:.1f} %" for name in ("seen voices", "unseen voices"))
    told = f"on the voices it knows its WER is {seen}, on the new ones {unseen} ({ALONE}"
    return told + "".join(f"; {rates}" for rates in _tabled(runs)) + ")"


def _tabled(runs: Runs) -> Iterator[str]:
    """Yield the same two rates as the tables count them: of the offline texts of the largest committed run."""
    for suite in ("students", "quickstart"):
        if suite not in runs.folders:
            continue
        rows = list(store.current(store.read_rows(runs.folders[suite] / store.RECORDS)))
        wanted = {"variant": "wav2vec2/quickstart", "scenario": "offline", "status": "ok"}
        row = next((row for row in rows if wanted.items() <= row.items()), None)
        if row is not None:
            known, new = (f"{100 * rate:.1f} %" for rate in by_voice(runs.folders[suite], row))
            yield f"{known} and {new} under `{scoring(row)}` in batches of {row['batch_size']} on `{row['dataset']}`"
            return


# --- what ships beside the models ------------------------------------------------------------------------


def _scores(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    return found


def _interval(score: Mapping[str, Any]) -> str:
    return f"{100 * score['wer']:.1f} [{100 * score['wer_ci_low']:.1f}, {100 * score['wer_ci_high']:.1f}]"


def teacher_scores() -> str:
    """Return the table of the teacher's card: every slice of ``scores.json``."""
    return markdown(
        [
            {
                "slice": name,
                "utterances": str(s["utterances"]),
                "words": str(s["words"]),
                "sub / del / ins": f"{s['substitutions']} / {s['deletions']} / {s['insertions']}",
                "WER % [95 % interval]": _interval(s),
                "CER %": f"{100 * s['cer']:.1f}",
            }
            for name, s in sorted(_scores(TEACHER).items(), key=lambda item: (item[0] not in SLICES, item[0]))
        ]
    )


def student_scores() -> str:
    """Return the table of the students' card: three slices of each ``scores.json``."""
    lines = (ASSETS / "evaluation" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    voices = {(line["seen"], line["speaker"]) for line in map(json.loads, lines)}
    n_seen = sum(seen for seen, _ in voices)
    about = {
        "seen voices": str(n_seen),
        "unseen voices": str(len(voices) - n_seen),
        "AN4 test": "human, 7 speakers",
    }
    folders = [*sorted(path.parent for path in STUDENTS.glob("*/scores.json")), TEACHER]
    lines = [
        {"model": folder.name, **{f"{name} ({about[name]})": _interval(_scores(folder)[name]) for name in SLICES}}
        for folder in folders
    ]
    return markdown(lines)


def student_training() -> str:
    """Return what each shipped student's training took, as its lineage says."""
    return "\n".join(_training(path.parent) for path in sorted(STUDENTS.glob(f"*/{LINEAGE}")))


def _training(folder: Path) -> str:
    known = lineage.read(str(folder))
    joules, method = known.training_energy_j, known.training_energy_method
    energy = "joules not known" if joules is None else f"{joules / 1e3:.1f} kJ ({method})"
    assert known.data.audio_s is not None
    assert known.training_s is not None
    cost = f"{known.data.audio_s / 3600:.1f} h of speech, {known.training_s / 60:.0f} minutes, {energy}"
    rates = ", ".join(f"{100 * float(row['wer']):.1f} at {row['step']}" for row in _checks(folder))
    return f"- `{known.name}`: {cost}. WER % against the teacher's texts on the speech held out, by step: {rates}."


def _checks(folder: Path, n: int = 5) -> list[dict[str, str]]:
    """Return the last row of each ``n``-th of a training's validations."""
    checks = [row for row in _log(folder) if row["wer"]]
    return [checks[round(len(checks) * part / n) - 1] for part in range(1, n + 1)]


def _log(folder: Path) -> list[dict[str, str]]:
    with (folder / "training.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def teacher_stages() -> str:
    """Return the stages of the teacher's training as its log has them."""
    return markdown([_stage(name, list(rows)) for name, rows in groupby(_log(TEACHER), key=lambda row: row["stage"])])


def _stage(name: str, rows: Sequence[Mapping[str, str]]) -> dict[str, str | None]:
    kinds = ("wer_sentence", "wer_code", "wer_an4", "wer_unseen")
    last = {kind: next((row[kind] for row in reversed(rows) if row[kind]), "") for kind in kinds}
    rates = [f"{100 * float(rate):.1f}" if rate else "–" for rate in last.values()]
    return {
        "stage": name,
        "steps": rows[-1]["step"],
        "hours of speech": f"{_sum(rows, 'audio_h'):.1f}",
        "core-hours": f"{_sum(rows, 'cpu_h'):.2f}",
        "validation WER % (sentences / letters and numbers / AN4 / voices left out of training)": " / ".join(rates),
    }


def _sum(rows: Sequence[Mapping[str, str]], column: str) -> float:
    return sum(float(row[column]) for row in rows)


def teacher_training() -> str:
    """Return how much speech and processor time all stages took, and the estimate of their energy."""
    hours, core_hours = (_sum(_log(TEACHER), column) for column in ("audio_h", "cpu_h"))
    return (
        f"{hours:.0f} hours of speech took {core_hours:.1f} core-hours of processor time, validation apart. "
        f"At the 4 W a thread that codecarbon assumes for a processor it does not know, this is an **estimate** of "
        f"{4 * core_hours:.0f} Wh."
    )


def speech() -> str:
    """Return what there is of the bundled speech, as its manifests and files say."""
    return markdown([_speech(name) for name in ("evaluation", "unlabelled")])


def _speech(name: str) -> dict[str, str | None]:
    lines = [json.loads(line) for line in (ASSETS / name / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    n_bytes = sum(file.stat().st_size for file in (ASSETS / name / "audio").rglob("*") if file.is_file())
    return {
        "folder": f"`{name}/`",
        "utterances": str(len(lines)),
        "voices": str(len({line["speaker"] for line in lines})),
        "minutes": f"{sum(line['duration'] for line in lines) / 60:.1f}",
        "MB": f"{n_bytes / 1e6:.1f}",
    }


def parameters(folder: Path) -> str:
    """Return how many parameters a shipped model has, in millions."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="np") as weights:
        shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118 (no mapping)
    return f"{sum(prod(shape) for shape in shapes) / 1e6:.1f}"


# --- the parts of the documents --------------------------------------------------------------------------

PARTS: Mapping[str, Callable[[Runs], str]] = {
    "quickstart": quickstart,
    "quickstart-run": quickstart_run,
    "compare": compare,
    "pruning": pruning,
    "smaller-faster": lambda runs: shaped(runs, "smaller-faster"),
    "lean": lambda runs: shaped(runs, "lean"),
    "streaming-chunks": streaming_chunks,
    "teacher-wer": teacher_wer,
    "gains-bigfoot": lambda runs: gains(runs, "bigfoot", "*layer-drop(keep=4)+openvino-int8*"),
    "gains-students": lambda runs: gains(runs, "students", "*quickstart-6l+openvino-int8"),
    "tables": results,
    "teacher-scores": lambda _runs: teacher_scores(),
    "teacher-stages": lambda _runs: teacher_stages(),
    "teacher-training": lambda _runs: teacher_training(),
    "teacher-size": lambda _runs: parameters(TEACHER),
    "size-6l": lambda _runs: parameters(STUDENTS / "quickstart-6l"),
    "size-2l": lambda _runs: parameters(STUDENTS / "quickstart-2l"),
    "student-scores": lambda _runs: student_scores(),
    "student-training": lambda _runs: student_training(),
    "speech": lambda _runs: speech(),
}
"""Name of a part -> what makes it of the committed runs and files."""
