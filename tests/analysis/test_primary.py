"""The error rate that a suite calls primary decides: gate, gains, comparison, ranks and tables follow it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from greenbench.analysis import compare, gains, gate
from greenbench.analysis.gate import Gate
from greenbench.analysis.selection import select
from greenbench.cli import app
from greenbench.errors import InputError
from greenbench.leaderboard.ranking import boards
from greenbench.report import compression, terminal
from greenbench.results import frames, store
from greenbench.suite import config
from greenbench.suite.plan import content_hash, digest

FakeRun = Callable[..., Path]
MARGIN = Gate(margin=0.03)


@pytest.fixture
def family(fake_run: FakeRun, said: list[str]) -> Callable[..., Path]:
    """A teacher without errors and a student with a wrong letter in 30 of 320 words: 9.4 points of WER, 2.3 of CER."""
    sad = [text.replace("said", "sad") if i < 30 else text for i, text in enumerate(said)]
    cells = ({"variant": "t", "heard": said}, {"variant": "s", "parent": "t", "heard": sad})
    return lambda run_id, **changes: fake_run(run_id, *({**cell, **changes} for cell in cells))


@pytest.mark.parametrize(("primary", "kept_out"), [(None, ["s"]), ("wer", ["s"]), ("cer", [])])
def test_the_gate_asks_by_the_primary_rate(primary: str | None, kept_out: list[str], family: FakeRun) -> None:
    """Outside 3 points by words and inside by characters; rows of earlier versions are judged by words."""
    found = gate.outside([family("r", primary=primary)], MARGIN)
    assert [cell[1] for cell in found] == kept_out
    assert all("the WER margin: +9.4 pp" in reason for reason in found.values())


def test_the_gate_names_the_rate(family: FakeRun) -> None:
    """Its sentence, and the reason of a cell that it keeps out, say CER."""
    (reason,) = gate.outside([family("r", primary="cer")]).values()
    assert "the CER margin: +2.3 pp" in reason
    assert "whose CER is shown to be at most 1.0 pp above" in str(gate.describe(Gate(), {"cer"}))
    assert "(1 - WER or CER)" in str(gate.describe(Gate("mlperf-99"), {"cer", "wer"}))


def test_gains_and_the_terminal_show_the_primary_rate_and_not_the_other(family: FakeRun) -> None:
    """What was lost is told in the rate that decides; the column of the other is empty."""
    run = family("r", primary="cer")
    (student,) = gains.all_gains([run])
    assert student.error is not None
    assert 0.01 < student.error.value < 0.03
    found = gains.table(run)
    assert found["cer_difference"].tolist() == [student.error.value]
    assert found["wer_difference"].isna().all()
    (shown,) = compression.table([student])
    assert shown["CER, points"].startswith("+2.29")
    assert "WER, points" not in shown
    assert [name for name in terminal.table(frames.load(run))[0] if "ER %" in name] == ["CER % [95 % interval]"]


def test_a_comparison_shows_what_the_sides_call_primary(family: FakeRun) -> None:
    """Of one primary its rate alone; of two, both, and neither is compared unless that is asked for."""
    one, other = family("one", primary="cer"), family("other", primary="wer")
    a, b = select(f"{one}:t"), select(f"{one}:s")
    (pair,) = compare.compare(a, b).pairs
    assert {f.metric: f.verdict for f in pair.findings if f.metric in ("wer", "cer")} == {"cer": "worse"}
    crossed = compare.compare(select(str(one)), select(str(other)))
    rates = [f for pair in crossed.pairs for f in pair.findings if f.metric in ("wer", "cer")]
    assert {f.metric for f in rates} == {"wer", "cer"}
    assert {f.why for f in rates} == {"primary cer against wer"}
    asked = compare.compare(select(str(one)), select(str(other)), ["wer"], ["primary"])
    assert {f.verdict for pair in asked.pairs for f in pair.findings} <= {"no difference shown", "better", "worse"}


def test_a_board_ranks_by_the_primary_rate_and_mixes_no_two(family: FakeRun) -> None:
    """Cells of another primary are on a board of their own, which says so; a board by WER keeps its id."""
    one, other, old = (family(str(rate), primary=rate, rounds=[{"n_utterances": 40}]) for rate in ("cer", "wer", None))

    def of(*runs: Path) -> dict[str, set[str]]:
        made, _ = boards(frames.of_runs(runs), [store.read_run(run) for run in runs], {})
        return {board.id: {metric for one in board.unranked for metric in one.metrics} & {"wer", "cer"}
                | {r.metric for r in board.rankings} & {"wer", "cer"} for board in made}  # fmt: skip

    both = of(one, other)
    assert sorted(map(sorted, both.values())) == [["cer"], ["wer"]]
    assert of(other).keys() == of(old).keys()


def test_a_suite_says_which_rate_decides() -> None:
    """The key is checked; WER, the default, leaves an earlier digest as it was, and CER is another suite."""
    suite = {"name": "s", "datasets": ["quickstart"], "variants": ["null"]}
    plain, by_cer = config.load(suite), config.load({**suite, "primary": "cer"})
    earlier = {key: value for key, value in plain.model_dump(mode="json").items() if key != "primary"}
    assert (plain.primary, by_cer.primary) == ("wer", "cer")
    assert content_hash(plain) == digest(earlier) != content_hash(by_cer)
    with pytest.raises(InputError, match="primary: "):
        config.load({**suite, "primary": "mer"})


def test_texts_whose_characters_count_otherwise_here_are_not_judged(family: FakeRun) -> None:
    """A row of which only the characters were counted otherwise is not compared: its rate is not that of its texts."""
    run = family("r", primary="cer", rounds=[{"n_ref_chars": 7}])
    found = gate.outside([run], MARGIN)
    assert "its CER cannot be compared with its reference's: its texts count" in found.popitem()[1]


def test_the_report_of_a_suite_by_characters_reads_so(family: FakeRun, tmp_path: Path) -> None:
    """The page says by what cells were gated."""
    run = family("r", primary="cer")
    done = CliRunner().invoke(app, ["report", str(run), "--out", str(tmp_path / "p.html")])
    assert done.exit_code == 0, done.output
    assert "whose CER is shown to be at most" in (tmp_path / "p.html").read_text()
