"""Which cells the WER gate keeps from ranks by speed and energy, and what it says."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from greenbench.analysis import gate
from greenbench.analysis.gate import Gate, describe, outside, parse
from greenbench.errors import InputError
from greenbench.results import store

FakeRun = Callable[..., Path]


@pytest.fixture
def heard(said: list[str]) -> Callable[[int], list[str]]:
    """Texts with one wrong word in each of the first ``n`` of 40 utterances of 8 words."""
    return lambda n: [text.replace("said", "sad") if i < n else text for i, text in enumerate(said)]


def reasons(*folders: Path, asked: Gate = gate.DEFAULT) -> dict[str, str]:
    return {str(cell[1]): reason for cell, reason in outside(folders, asked).items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("margin:1.0pp", Gate("margin", 0.01)),
        ("margin:0.25pp", Gate("margin", 0.0025)),
        ("margin", Gate()),
        ("mlperf-99", Gate("mlperf-99")),
        ("none", Gate("none")),
    ],
)
def test_gates_are_read(text: str, expected: Gate) -> None:
    """Each rule is read, and says in a sentence what it asks."""
    found = parse(text)
    assert found == Gate(expected.rule, pytest.approx(expected.margin), None)
    assert (describe(found) is None) == (text == "none")


def test_the_default_that_help_states_is_the_default() -> None:
    """What no option is given for is decided in one place, and the help text agrees with it."""
    from greenbench.cli import output

    (option,) = output.GateOption.__metadata__
    assert parse(option.show_default) == parse(None) == gate.DEFAULT


@pytest.mark.parametrize("text", ["1pp", "margin:1", "margin:1%", "margin:-1pp", "mlperf", ""])
def test_other_gates_are_refused(text: str) -> None:
    """What is no gate is one clear line."""
    with pytest.raises(InputError, match="write margin:1.0pp"):
        parse(text)


def test_a_lossy_student_is_outside_with_its_figures(fake_run: FakeRun, heard: Callable[[int], list[str]]) -> None:
    """A student that errs in 30 of 320 words more is outside 1 pp, with difference, interval and margin."""
    run = fake_run("r", {"variant": "t", "heard": heard(0)}, {"variant": "s", "parent": "t", "heard": heard(30)})
    told = reasons(run)["s"]
    assert told.startswith("outside the WER margin: +9.4 pp [")
    assert told.endswith("] against 1.0 pp")
    assert reasons(run, asked=Gate("margin", 0.12)) == {}
    assert reasons(run, asked=Gate("none")) == {}


def test_a_better_student_is_inside(fake_run: FakeRun, heard: Callable[[int], list[str]]) -> None:
    """Non-inferiority has one side: a student far better than its teacher is ranked."""
    run = fake_run("r", {"variant": "t", "heard": heard(30)}, {"variant": "s", "parent": "t", "heard": heard(0)})
    assert reasons(run) == {}


def test_what_the_data_cannot_show_is_not_inside(fake_run: FakeRun, heard: Callable[[int], list[str]]) -> None:
    """A difference of 0.6 pp whose interval crosses the margin is not shown to be inside, and that is what is said."""
    run = fake_run("r", {"variant": "t", "heard": heard(0)}, {"variant": "s", "parent": "t", "heard": heard(2)})
    assert reasons(run)["s"].startswith("not shown to be inside the WER margin: +0.6 pp [-0.5, 2.")


def test_equal_texts_pass_where_there_are_enough_of_them(fake_run: FakeRun, heard: Callable[[int], list[str]]) -> None:
    """By the rule of three the same 320 words could come of 0.94 pp more errors: inside 1 pp, not inside 0.9."""
    run = fake_run("r", {"variant": "t", "heard": heard(9)}, {"variant": "s", "parent": "t", "heard": heard(9)})
    assert reasons(run) == {}
    assert reasons(run, asked=Gate("margin", 0.009))["s"].startswith("not shown to be inside the WER margin: +0.0 pp [")


def spoken_by(run: Path, n: int) -> Path:
    """Give the texts of a run so many speakers."""
    rows = [
        {**row, "speaker": f"s{int(row['utterance_id'][1:]) % n}"} for row in store.read_rows(run / store.HYPOTHESES)
    ]
    (run / store.HYPOTHESES).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


@pytest.mark.parametrize(("n", "passes"), [(40, True), (8, False), (3, False), (1, False)])
def test_few_speakers_do_not_pass_by_luck(
    fake_run: FakeRun, heard: Callable[[int], list[str]], n: int, passes: bool
) -> None:
    """The same texts pass a margin of 1.2 pp over many speakers; of few, or of one, nobody knows of others."""
    run = fake_run("r", {"variant": "t", "heard": heard(9)}, {"variant": "s", "parent": "t", "heard": heard(9)})
    found = reasons(spoken_by(run, n), asked=Gate("margin", 0.012))
    assert (found == {}) is passes
    assert n > 1 or found["s"] == "all utterances are of one speaker, so its WER on other speakers is unknown"


@pytest.mark.parametrize(("n_errors", "passes"), [(3, True), (4, False)])
def test_mlperf_asks_for_99_per_cent_of_the_accuracy(
    fake_run: FakeRun, heard: Callable[[int], list[str]], n_errors: int, passes: bool
) -> None:
    """3 errors in 320 words are 99.06 % of a perfect teacher's accuracy, 4 are 98.75 %."""
    run = fake_run("r", {"variant": "t", "heard": heard(0)}, {"variant": "s", "parent": "t", "heard": heard(n_errors)})
    expected = {} if passes else {"s": "below 99 % of the word accuracy of t: 98.75 % against 99 % of 100.00 %"}
    assert reasons(run, asked=Gate("mlperf-99")) == expected


def test_a_variant_without_its_teacher_is_its_own_reference(
    fake_run: FakeRun, heard: Callable[[int], list[str]]
) -> None:
    """Peers, and builds whose teacher was not measured, are ranked; with a named reference all are held against it."""
    run = fake_run(
        "r", {"variant": "t", "heard": heard(0)}, {"variant": "peer", "heard": heard(30)},
        {"variant": "orphan", "parent": "elsewhere", "heard": heard(30)},
    )  # fmt: skip
    assert reasons(run) == {}
    assert set(reasons(run, asked=Gate(reference="t"))) == {"peer", "orphan"}
    with pytest.raises(
        InputError, match="--reference tt: no cell of that variant has an error rate here. Did you mean 't'"
    ):
        reasons(run, asked=Gate(reference="tt"))


def test_a_build_of_a_lossy_student_is_held_against_the_teacher(
    fake_run: FakeRun, heard: Callable[[int], list[str]]
) -> None:
    """An int8 build as lossy as its student is outside too; without the teacher the student is the reference."""
    teacher = {"variant": "t", "heard": heard(0)}
    student = {"variant": "s", "parent": "t", "heard": heard(30)}
    build = {"variant": "s+int8", "parent": "s", "heard": heard(30)}
    assert set(reasons(fake_run("r", teacher, student, build))) == {"s", "s+int8"}
    assert reasons(fake_run("without", student, build)) == {}
    circle = fake_run("circle", {**student, "parent": "s+int8"}, build)
    assert reasons(circle) == {}


def test_a_teacher_counts_where_it_is_comparable(fake_run: FakeRun, heard: Callable[[int], list[str]]) -> None:
    """The teacher may be of another run, and not of another data set; a named reference must be there."""
    teacher, student = {"variant": "t", "heard": heard(0)}, {"variant": "s", "parent": "t", "heard": heard(30)}
    near, far = fake_run("near", teacher), fake_run("far", {**teacher, "dataset": "e", "data_hash": "def"})
    run = fake_run("r", student)
    assert set(reasons(near, run)) == {"s"}
    assert reasons(far, run) == {}
    assert reasons(far, run, asked=Gate(reference="t")) == {"s": "no comparable cell of t to compare its WER with"}


def test_lost_texts_are_no_proof(fake_run: FakeRun, heard: Callable[[int], list[str]]) -> None:
    """Without texts to count, a student is not shown to be inside, and the reason is said."""
    run = fake_run("r", {"variant": "t", "heard": heard(0)}, {"variant": "s", "parent": "t", "heard": heard(0)})
    (run / store.HYPOTHESES).unlink()
    assert "its texts are not in hypotheses.jsonl" in reasons(run)["s"]
