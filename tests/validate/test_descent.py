"""What rows say of their parents is no less than what their suite says of their variants."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from greenbench.validate.descent import circles, descent
from greenbench.validate.evidence import ResultLine

MODEL = {"use": "wav2vec2", "model": "/models/ours"}
SUITE = [
    {**MODEL, "name": "ours", "builds": []},
    {**MODEL, "name": "ours-cut", "builds": [{"use": "layer-drop", "settings": {"keep": 6}}]},
    {"use": "wav2vec2", "model": "/models/student", "name": "student", "builds": [], "teacher": "ours"},
]
OURS = {"variant": "ours", "identity": "w1"}
CUT = {"variant": "ours-cut", "identity": "w1 > layer-drop", "parent": "ours", "steps": "layer-drop(keep=6)"}
STUDENT = {"variant": "student", "identity": "w2", "parent": "ours", "ancestors": "w1"}


def lines(*rows: dict[str, Any]) -> list[ResultLine]:
    keys = dict.fromkeys(("run_id", "dataset", "device", "scenario", "batch_size", "round", "repeat"))
    return [ResultLine(Path("r"), n, {**keys, "status": "ok", **row}) for n, row in enumerate(rows)]


def told(*rows: dict[str, Any]) -> list[str]:
    evidence = SimpleNamespace(run={"suite": {"variants": SUITE}})
    return [problem.what for problem in descent(lines(*rows), evidence)]


def test_what_a_run_writes_holds() -> None:
    """Also where nobody knows the weights, as in rows of earlier versions."""
    assert told(OURS, CUT, STUDENT) == []
    assert told(*({**row, "identity": None, "ancestors": None} for row in (OURS, CUT, STUDENT))) == []


@pytest.mark.parametrize(
    ("row", "change", "said"),
    [
        (CUT, {"steps": None}, "steps is null"),
        (CUT, {"parent": None}, "parent is null"),
        (CUT, {"identity": "w1"}, "identity has 0 methods, the suite 1 builds"),
        (
            CUT,
            {"identity": "w9 > layer-drop"},
            "identity begins with w9, that of 'ours', the same model in the suite",
        ),
        (CUT, {"identity": None}, "identity begins with None, that of 'ours'"),
        (STUDENT, {"parent": None}, "parent is null"),
        (STUDENT, {"ancestors": None}, "ancestors is null, the suite states a teacher"),
    ],
)
def test_a_row_that_hides_its_model_is_an_error(row: dict[str, Any], change: dict[str, Any], said: str) -> None:
    """A build or student without its parent would be ranked beside it, outside every gate."""
    assert any(said in what for what in told(OURS, {**row, **change}))


def test_a_circle_is_named_from_each_model_to_its_parent() -> None:
    """Of three models, each the parent of the next, the message gives every one with its own parent."""
    parents = {"a": "b", "b": "c", "c": "a"}
    (problem,) = circles(lines(*({"variant": name, "parent": parent} for name, parent in parents.items())))
    said = problem.what.removeprefix("a model descends from itself: ").replace("'", "").split(" from ")
    assert [parents[name] for name in said[:-1]] == said[1:]
    assert sorted(said[1:]) == ["a", "b", "c"]
    assert list(circles(lines({"variant": "a", "parent": "b"}, {"variant": "b", "parent": "c"}))) == []
