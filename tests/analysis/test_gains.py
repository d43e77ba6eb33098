"""What a compressed variant gained and lost: factors, WER on the same utterances, and the pay-back point."""

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import greenbench
from greenbench.analysis.gains import GAINED, CellGains, all_gains, payback
from greenbench.report import compression
from greenbench.results.record import CELL

FakeRun = Callable[..., Path]

JOULES = {"energy_method": "counter", "energy_scope": "cpu"}
TRAINED = {"parent": "t", "training_energy_j": 7200.0, "training_energy_method": "estimated"}


def rounds(rtfx: float, joules: float, size: int = 400) -> list[dict[str, float]]:
    """Three rounds of a machine that gets slower from one to the next, for all variants alike."""
    return [{"rtfx": rtfx / slow, "energy_j_per_audio_s": joules * slow, "model_bytes": size, "n_params": size // 4}
            for slow in (1.0, 1.1, 1.3)]  # fmt: skip


@pytest.fixture
def family(fake_run: FakeRun, said: list[str]) -> dict[str, CellGains]:
    """A teacher, its student (twice as fast, half the joules, 30 of 320 words wrong) and that one's build."""
    wrong = [text.replace("said", "sad") if i < 30 else text for i, text in enumerate(said)]
    folder = fake_run(
        "r",
        {"variant": "t", "heard": said, "rounds": rounds(10, 4.0), **JOULES},
        {"variant": "s", "heard": wrong, "rounds": rounds(20, 2.0, 100), **JOULES, **TRAINED},
        {"variant": "s+b", "heard": wrong, "rounds": rounds(30, 1.0, 50), **JOULES, **TRAINED, "parent": "s"},
    )
    return {str(d.student.shared["variant"]): d for d in all_gains([folder])}


def test_gains_are_factors_against_the_teacher(family: dict[str, CellGains]) -> None:
    """What drifts from round to round cancels, and the build of a student is held against the teacher as well."""
    assert family.keys() == {"s", "s+b"}
    assert {d.teacher.shared["variant"] for d in family.values()} == {"t"}
    student = family["s"].gains
    assert {name: gain.value for name, gain in student.items()} == pytest.approx(
        {"size": 4.0, "n_params": 4.0, "speed": 2.0, "energy": 2.0}
    )
    assert (student["speed"].low, student["speed"].high) == pytest.approx((2.0, 2.0))
    assert student["size"].low is None
    assert family["s+b"].gains["energy"].value == pytest.approx(4.0)


def test_the_loss_is_counted_on_the_same_utterances(family: dict[str, CellGains]) -> None:
    """30 of 320 words more are 9.4 points, inside their interval."""
    student = family["s"]
    assert student.error is not None
    assert student.error.value == pytest.approx(30 / 320)
    assert 0 < student.error.low < 30 / 320 < student.error.high


def test_a_training_pays_back_when_what_is_saved_is_what_it_took(family: dict[str, CellGains]) -> None:
    """7200 J at 2.2 J saved a second of audio (the medians, 1.1 times 4 and 2) pay back after 7200 / 2.2 s."""
    assert family["s"].payback_audio_h == pytest.approx(7200 / 2.2 / 3600)
    assert family["s"].payback_method == "estimated"  # the weakest of what took part
    assert compression.pay_back(family["s"]) == "0.909 h of audio (estimated)"


@given(st.floats(1, 1e9), st.floats(0.01, 100), st.floats(0.01, 100))
def test_at_the_pay_back_point_both_have_spent_the_same(training: float, teacher: float, student: float) -> None:
    """Training and student together have used what the teacher would have; who saves nothing never gets there."""
    hours = payback(training, teacher, student)
    if student >= teacher:
        assert hours is None
    else:
        assert hours is not None
        assert math.isclose(training + student * 3600 * hours, teacher * 3600 * hours, rel_tol=1e-6)


def test_what_is_not_known_is_none(fake_run: FakeRun) -> None:
    """Random weights have no WER, and an estimate beside a measurement is no ratio of energies: it says why."""
    folder = fake_run(
        "r",
        {"variant": "t", "heard": None, "rounds": rounds(10, 4.0), **JOULES},
        {"variant": "s", "heard": None, "rounds": rounds(20, 2.0), **JOULES, **TRAINED, "energy_method": "estimated"},
    )
    (student,) = all_gains([folder])
    assert (student.error, student.gains["energy"].value, student.payback_audio_h) == (None, None, None)
    assert "energy_kind measured against estimated" in str(student.gains["energy"].why)
    assert compression.pay_back(student) == "energy not known"
    (line,) = compression.table([student])
    assert line["faster"] == "2.00x [2.00, 2.00]"
    assert "WER, points" not in line
    assert compression.notes([student]) == [f"less energy is not known: {student.gains['energy'].why}"]


def test_a_student_that_saves_nothing_never_pays_back(fake_run: FakeRun, said: list[str]) -> None:
    """A training whose student takes as much energy as its teacher is said never to pay back."""
    cells = [{"variant": "t"}, {"variant": "s", **TRAINED}]
    folder = fake_run("r", *({"heard": said, "rounds": rounds(10, 4.0), **JOULES, **cell} for cell in cells))
    assert [compression.pay_back(d) for d in all_gains([folder])] == ["never: it saves no energy"]


def assert_typed(frame: pd.DataFrame) -> None:
    """All columns are there; what is no text is a number, also where it is known of no cell."""
    texts = {*CELL, "teacher", "steps", "training_energy_method", "payback_method"} - {"batch_size"}
    kinds = {name: str(kind) for name, kind in frame.dtypes.items() if name not in texts}
    assert kinds == dict.fromkeys(kinds, "float64") | {"batch_size": "Int64"}
    assert texts | {*GAINED, "steps", "training_s", "training_energy_j", "batch_size"} == {*frame}


def test_no_teacher_no_line(fake_run: FakeRun, said: list[str]) -> None:
    """A teacher by itself, and a student whose teacher was not measured, are held against nothing."""
    folder = fake_run("r", {"variant": "s", "heard": said, "rounds": rounds(20, 2.0), **TRAINED})
    assert all_gains([folder]) == []
    assert greenbench.gains(folder).empty
    assert_typed(greenbench.gains(folder))


def test_the_frame_has_a_line_a_cell(family: dict[str, CellGains], tmp_path: Path) -> None:
    """From Python the same figures are columns."""
    assert_typed(greenbench.gains(tmp_path / "results"))
    frame = greenbench.gains(tmp_path / "results").set_index("variant")
    assert frame.loc["s+b", "size_gain"] == pytest.approx(8.0)
    assert frame.loc["s", "wer_difference"] == pytest.approx(30 / 320)
    assert frame.loc["s", "payback_method"] == "estimated"
