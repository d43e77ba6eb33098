"""What is read back: rows of known types, one warning for what is left out, and every damage is a validation error."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from greenbench.errors import InputError, StoreError
from greenbench.files.limits import limits
from greenbench.hardware import environment
from greenbench.plugins import LINEAGE
from greenbench.results import store
from greenbench.results.record import KEYS, Record, columns, to_row
from greenbench.results.runfiles import FORMS, MAX_TEXT, unstorable
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.validate import files
from greenbench.validate.files import read_lines

ROW: dict[str, Any] = {
    "run_id": "r", "variant": "v", "dataset": "d", "device": "cpu", "scenario": "offline", "batch_size": 8, "round": 0,
    "repeat": 0, "status": "ok", "wer": 0.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[1, 2]", "a JSON object is expected, not a list"),
        ("null", "a JSON object is expected, not null"),
        ("7", "a JSON object is expected, not a number"),
        ('"text"', "a JSON object is expected, not a text"),
        ("[" * 5_000 + "]" * 5_000, "nested too deep"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", f"nested deeper than {limits().max_depth}"),
        (json.dumps(ROW)[:-1] + ', "wer": 0.1}', "the key 'wer' is given twice"),
        (json.dumps(ROW | {"wer": "0.5"}), "wer: a valid number is expected, not '0.5'"),
        (json.dumps(ROW | {"wer": True}), "wer: a valid number is expected, not True"),
        (json.dumps(ROW | {"wer": float("nan")}), "wer: a finite number is expected, not nan"),
        (json.dumps(ROW | {"wer": 1e300}), "wer: 1e+300 is more than any window can have"),
        (json.dumps(ROW | {"n_passes": 1e18}), "n_passes: 1e+18 is more than any window can have"),
        (json.dumps(ROW | {"threads": 2.5}), "threads: a count, which is whole, is expected, not 2.5"),
        (json.dumps(ROW | {"variant": ["v"]}), "variant: a valid string is expected, not ['v']"),
        (json.dumps({**ROW, "variant": None}), "variant: a valid string is expected, not None"),
        (json.dumps({name: value for name, value in ROW.items() if name != "status"}), "status: missing"),
        (json.dumps(ROW | {"licence": "x" * (limits().max_line_bytes + 1)}), "longer than 2 MB"),
    ],
    ids=lambda text: text[-24:],
)  # fmt: skip
def test_a_line_that_is_no_row_is_left_out_and_found(line: str, told: str, tmp_path: Path) -> None:
    """Reading goes on with one warning that names the line, and to ``validate`` it is an error at the same place."""
    path = tmp_path / store.RECORDS
    path.write_text(f"{json.dumps(ROW)}\n{line}\n{line}\n{json.dumps(ROW | {'repeat': 1})}\n")
    with pytest.warns(UserWarning, match=store.RECORDS) as warned:
        rows = list(store.read_rows(path))
    assert [row["repeat"] for row in rows] == [0, 1]
    (warning,) = map(str, (one.message for one in warned))
    assert warning.startswith(f"{path}:2: ")
    assert told in warning
    assert "and 1 more lines of this file" in warning
    found = [problem for problem in read_lines(tmp_path)[1] if problem.severity == "error"]
    assert [problem.where for problem in found] == [f"{path}:2", f"{path}:3"]
    assert all(told in problem.what for problem in found)


@pytest.mark.parametrize("file", [store.RECORDS, store.HYPOTHESES, store.POWER, store.WINDOWS])
@pytest.mark.parametrize("shape", ["folder", "pipe"])
def test_what_is_no_file_is_refused(file: str, shape: str, tmp_path: Path) -> None:
    """A folder or a pipe in a file's place stops with one line at once, and is an error."""
    path = tmp_path / file
    path.mkdir() if shape == "folder" else os.mkfifo(path)
    with pytest.raises(StoreError, match=f"{file}: cannot be read: it is not a regular file"):
        list(store.read_rows(path))
    (problem,) = read_lines(tmp_path)[1]
    assert (problem.severity, problem.where) == ("error", str(path))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"run_id": None}, "run_id: a valid string is expected"),
        ({"machine": {"gpus": "none"}}, "machine.gpus: a valid list is expected"),
        ({"machine": {"memory_bytes": "8 GB"}}, "machine.memory_bytes: a valid number is expected"),
        ({"harness_overhead": {"s_per_batch": float("nan"), "s_per_window": 1}}, "a finite number is expected"),
        ({"suite": {"batch_sizes": [0]}}, "suite.batch_sizes.0: greater than or equal to 1"),
        ({"versions": ["torch"]}, "versions: a valid dictionary is expected"),
    ],
)
def test_a_run_of_other_types_is_refused(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    """``run.json`` has the types that pages and exports rely on, or is refused with the place inside it."""
    (tmp_path / store.RUN).write_text(json.dumps({"run_id": "r"} | change))
    with pytest.raises(StoreError) as caught:
        store.read_run(tmp_path)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "a JSON object is expected, not a list"),
        ("null", "a JSON object is expected, not null"),
        ('{"training_energy_j": "3 kJ"}', "training_energy_j: a valid number is expected, not '3 kJ'"),
        ('{"training_energy_j": -1}', "training_energy_j: greater than or equal to 0 is expected, not -1"),
        ('{"training_s": NaN}', "training_s: a finite number is expected, not nan"),
        ('{"training_energy_method": "guessed"}', "training_energy_method"),
        ('{"steps": [7]}', "steps.0"),
        ('{"ancestors": [["a", 7]]}', "ancestors.0.1: a valid string is expected, not 7"),
        ("[" * 5_000, "nested too deep"),
        ("{", "not JSON"),
    ],
)
def test_a_lineage_of_another_form_is_refused(text: str, told: str, tmp_path: Path) -> None:
    """What a student's folder says of its training is of the right types, or the variant is refused with the place."""
    (tmp_path / LINEAGE).write_text(text)
    with pytest.raises(InputError) as caught:
        build_variant(VariantEntry(use="wav2vec2", model=str(tmp_path)))
    assert told in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / LINEAGE))


@pytest.mark.parametrize("limit", ["FILE_LINES", "FILE_BYTES"])
def test_a_file_larger_than_the_limits_is_refused(limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading stops with the limit to raise, and to ``validate`` it is an error."""
    path = tmp_path / store.RECORDS
    path.write_text(f"{json.dumps(ROW)}\n" * 3)
    assert len(list(store.read_rows(path))) == 3
    monkeypatch.setenv(f"GREENBENCH_MAX_{limit}", "2")
    limits.cache_clear()
    with pytest.raises(StoreError, match=f"raise GREENBENCH_MAX_{limit} to read them"):
        list(store.read_rows(path))
    assert [problem.where for problem in read_lines(tmp_path)[1]] == [str(path)]
    monkeypatch.undo()
    limits.cache_clear()


def test_lines_that_cannot_be_used_are_not_read_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``validate`` says how many it found, and that it stopped there."""
    monkeypatch.setattr(files, "MAX_UNUSABLE", 30)
    (tmp_path / store.RECORDS).write_text("{}\n" * 100)
    *listed, last = read_lines(tmp_path)[1]
    assert len(listed) == 20
    assert last.what == "10 more lines that cannot be used; the lines after these were not looked at"


def test_a_control_without_its_figures_is_refused(tmp_path: Path) -> None:
    """What a page shows of the controls is there, or null."""
    (tmp_path / store.RUN).write_text(json.dumps({"run_id": "r", "control": {"cpu": {"control": "c/1", "rtfx": 9.0}}}))
    with pytest.raises(StoreError, match=r"control.cpu.rtfx_min: missing"):
        store.read_run(tmp_path)


def test_every_text_of_a_worker_can_be_read_back(tmp_path: Path) -> None:
    """The longest text that a message may hold makes a line within the limit of a line, whatever its letters."""
    row = ROW | {"utterance_id": "u", "reference": "\U0001f642" * MAX_TEXT, "hypothesis": "я" * MAX_TEXT}
    row = {name: row[name] for name in row if name not in ("status", "wer")}
    store.append(tmp_path, [row], store.HYPOTHESES)
    (found,) = store.read_rows(tmp_path / store.HYPOTHESES)
    assert len(found["hypothesis"]) == MAX_TEXT


@pytest.mark.parametrize("name", [name for name in columns() if name not in KEYS])
def test_a_column_of_another_type_is_refused_at_both_ends(name: str) -> None:
    """No column of a row takes an object: neither where a worker sends it nor where it is read, in the same words."""
    row = to_row(Record({key: ROW[key] for key in KEYS} | {"repeat": None}, "skipped", "why"))
    assert unstorable(store.RECORDS, row) == FORMS[store.RECORDS](row) == []
    sent, read = (judge(row | {name: {"a": 1}}) for judge in (partial(unstorable, store.RECORDS), FORMS[store.RECORDS]))
    assert sent == read
    assert len(sent) == 1
    assert sent[0].startswith(f"{name}: ")


def test_all_that_a_run_says_of_its_machine_has_a_kind() -> None:
    """What nobody judges when it is read would be met by whatever computes with it."""
    for name in environment.machine():
        assert FORMS[store.RUN]({"run_id": "r", "machine": {name: {"a": 1}}}), name
