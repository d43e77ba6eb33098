"""Boards: only what is comparable, fit and shown to differ gets another rank; everybody else has a reason."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.analysis import gains, gate
from greenbench.analysis.error_rates import cell_of
from greenbench.analysis.summary import ENERGY
from greenbench.leaderboard import grades
from greenbench.leaderboard.board import COSTS, Board, Score
from greenbench.leaderboard.ranking import boards, ranks
from greenbench.models.ancestry import NO_REFERENCE
from greenbench.results import frames, store

Cells = dict[str, dict[str, Any]]

RANKED = (*COSTS, "wer")


def made(*runs: Path) -> tuple[list[Board], list[Any]]:
    folder = runs[0].parent
    return boards(frames.load(folder), [store.read_run(run) for run in runs], gate.outside(store.runs(folder)))


def order(board: Board, key: str) -> list[tuple[int, str]]:
    (ranking,) = [ranking for ranking in board.rankings if ranking.key == key]
    return [(place.rank, place.entry.label) for place in ranking.places]


@pytest.fixture(scope="module")
def board(sound_run_in: Callable[..., Path], cells: Cells, tmp_path_factory: pytest.TempPathFactory) -> Board:
    """One board with everybody on it."""
    found, _ = made(sound_run_in(tmp_path_factory.mktemp("board") / "r1", *cells.values()))
    assert len(found) == 1
    return found[0]


def test_energy_ranks_inside_the_wer_margin_and_overlapping_intervals_share_a_rank(board: Board) -> None:
    """The lossy build takes least energy and is not ranked by it; int8 and bf16 overlap and share rank 1."""
    assert order(board, f"{ENERGY} cpu measured") == [(1, "int8"), (1, "bf16"), (3, "teacher")]


def test_estimates_rank_among_themselves(board: Board) -> None:
    """An estimate of a tenth of the joules is first of a ranking of its own."""
    assert order(board, f"{ENERGY} cpu estimated") == [(1, "guess")]


def test_speed_size_and_wer_have_rankings_of_their_own(board: Board) -> None:
    """Speed and size rank the same field, WER also what is outside the margin; how energy was read is no matter."""
    assert [name for _, name in order(board, "rtfx")] == ["guess", "int8", "bf16", "teacher"]
    assert order(board, "model_bytes") == [(1, "int8"), (2, "bf16"), (3, "guess"), (4, "teacher")]
    by_wer = {name: rank for rank, name in order(board, "wer")}
    assert by_wer == {"teacher": 1, "int8": 1, "bf16": 1, "guess": 1, "lossy": 5}


def test_streamed_entries_rank_by_the_latency_of_words(sound_run: Callable[..., Path], cells: Cells) -> None:
    """Not by their speed, which is that of the speech; an entry whose latency is unknown is not ranked by it."""
    late = {"teacher": 1.5, "int8": 0.5, "bf16": None}
    run = sound_run("r1", *(cells[name] | {"word_latency_p90_s": seconds} for name, seconds in late.items()))
    (board,), _ = boards(frames.load(run).assign(scenario="streaming"), [store.read_run(run)], {})
    assert [ranking.metric for ranking in board.rankings] == [ENERGY, "word_latency_p90_s", "model_bytes", "wer"]
    assert order(board, "word_latency_p90_s") == [(1, "int8"), (2, "teacher")]
    (unknown,) = [one for one in board.unranked if one.entry.label == "bf16"]
    assert (unknown.metrics, unknown.reason) == (("word_latency_p90_s",), "not measured")


def test_searches_for_the_most_streams_rank_by_their_number(sound_run: Callable[..., Path], cells: Cells) -> None:
    """The latencies of words are those under as many streams as each found: more streams are better."""
    run = sound_run("r1", *(cells[name] | {"max_streams": n} for name, n in {"teacher": 3, "int8": 12}.items()))
    rows = frames.load(run).assign(scenario="streaming", streams="the most, p99 of chunks within 0.32 s")
    (board,), _ = boards(rows, [store.read_run(run)], {})
    assert [ranking.metric for ranking in board.rankings] == [ENERGY, "max_streams", "model_bytes", "wer"]
    assert order(board, "max_streams") == [(1, "int8"), (2, "teacher")]


def test_wer_ranks_by_the_same_utterances_where_texts_are_at_hand(
    sound_run_in: Callable[..., Path], cells: Cells, tmp_path: Path
) -> None:
    """Ten errors more in the same texts are a rank, though both intervals overlap; without the texts they are none."""
    named = {"good": 10, "worse": 20, "alike": 11}
    run = sound_run_in(tmp_path / "r1", *({**cells["guess"], "variant": v, "n_wrong": n} for v, n in named.items()))
    home = gains.read([run])
    counted = gains.recount(home, {cell_of(line.shared) for line in home[run]})
    ((with_texts,), _), ((without,), _) = (
        boards(frames.load(run), [store.read_run(run)], {}, texts) for texts in (counted, {})
    )
    assert order(with_texts, "wer") == [(1, "good"), (1, "alike"), (3, "worse")]
    assert order(without, "wer") == [(1, "good"), (1, "alike"), (1, "worse")]


def test_nobody_is_left_out_without_a_reason(board: Board) -> None:
    """Each entry is in a ranking or apart for each metric; flagged, synthetic and calibrating ones in none."""
    for entry in board.entries:
        ranked = {r.metric for r in board.rankings for place in r.places if place.entry.id == entry.id}
        apart = {metric for one in board.unranked if one.entry.id == entry.id for metric in one.metrics}
        assert ranked | apart == set(RANKED)
        assert not ranked & apart
    reasons = {(one.entry.label, one.metrics): one.reason for one in board.unranked}
    assert "synthetic-weights" in reasons["random", RANKED]
    assert "spread" in reasons["shaky", RANKED]
    assert "calibrates" in reasons["slept", RANKED]
    assert "few-repeats" in reasons["once", RANKED]
    assert "outside the WER margin" in reasons["lossy", (ENERGY, "rtfx", "model_bytes")]


def test_what_failed_is_told_of_and_on_no_board(sound_run: Callable[..., Path], cells: Cells) -> None:
    """A cell without a result is returned with its reason."""
    found, failed = made(sound_run("r1", cells["teacher"], cells["broken"]))
    assert [entry.label for entry in found[0].entries] == ["teacher"]
    assert [(line["variant"], line["reason"]) for line in failed] == [("broken", "killed: out of memory")]


def test_boards_on_which_nothing_is_ranked_come_last(sound_run: Callable[..., Path], cells: Cells) -> None:
    """Who opens the site sees first what was ranked, though what was not was measured before."""
    unfit = cells["teacher"] | {"synthetic": True, "threads": 3}
    found, _ = made(sound_run("r1", unfit), sound_run("r2", cells["teacher"]))
    assert [(board.setting["threads"], bool(board.rankings)) for board in found] == [(2, True), (3, False)]


def test_one_process_is_not_ranked_by_what_varies_between_processes(sound_run: Callable[..., Path]) -> None:
    """Three windows of one process are ranked by WER and size, and not by speed."""
    one = {"use": "quick", "rounds": 1, "repeats": 1, "window_s": 0.1, "idle_s": 0, "resamples": 200}
    cell = {"variant": "a", "rounds": [{"wall_s": 1.0, "energy_cpu_j": 1.0}], "n_wrong": 2}
    (board,), _ = made(sound_run("r1", cell, data={"protocol": one}))
    assert {ranking.metric for ranking in board.rankings} == {"model_bytes", "wer"}
    assert "one process" in board.unranked[0].reason


def test_the_later_run_of_the_same_thing_counts(sound_run: Callable[..., Path], cells: Cells) -> None:
    """A variant that was measured again has one place, whichever run was better, and the earlier run says why."""
    better = cells["int8"] | {"rounds": cells["lossy"]["rounds"]}
    first = sound_run("r1", better, cells["teacher"], started_utc="2026-01-01T00:00:00+00:00")
    second = sound_run("r2", cells["int8"], started_utc="2026-02-01T00:00:00+00:00")
    (board,), _ = made(first, second)
    assert [name for _, name in order(board, "rtfx")] == ["int8", "teacher"]
    (apart,) = board.unranked
    assert (apart.entry.line["run_id"], apart.metrics) == ("r1", RANKED)
    assert "r2" in apart.reason


def test_another_model_of_the_same_name_has_a_place_of_its_own(sound_run: Callable[..., Path], cells: Cells) -> None:
    """Two models that are called alike are told apart by their run."""
    first = sound_run("r1", cells["teacher"])
    second = sound_run("r2", cells["teacher"] | {"n_params": 7})
    (board,), _ = made(first, second)
    assert {name for _, name in order(board, "rtfx")} == {"teacher · r1", "teacher · r2"}


def test_platforms_and_settings_never_share_a_board(sound_run: Callable[..., Path], cells: Cells) -> None:
    """Another machine, and other threads on the same one, make other boards."""
    from greenbench.hardware.platforms import platform_id

    here = sound_run("r1", cells["teacher"])
    machine = store.read_run(here)["machine"]
    there = sound_run("r2", cells["teacher"], machine=machine | {"memory_bytes": 64 * 2**30})
    found, _ = made(here, there)
    assert [board.platform for board in found] == [platform_id(store.read_run(run)) for run in (here, there)]
    assert len({board.id for board in found}) == 2


def test_columns_that_are_new_change_no_address(sound_run: Callable[..., Path], cells: Cells) -> None:
    """A board that does not stream, and is judged by WER, has the id that it had before there was anything else."""
    (board,), _ = made(sound_run("r1", cells["teacher"]))
    new = ("task", "primary", "chunk_s", "pace", "finalise", "streams", "onset_source", "word_times_source")
    older = [str(value) for name, value in board.setting.items() if name not in new]
    digest = hashlib.sha256("\0".join([board.platform, *older]).encode()).hexdigest()
    assert board.id.endswith(f"-{digest[:8]}")


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10), st.floats(0, 10)), max_size=12))
def test_a_rank_is_one_more_than_those_clearly_better(spans: list[tuple[float, float, float]]) -> None:
    """Somebody is first; whose interval overlaps that of a leader shares rank 1; mirrored values rank mirrored."""
    scores = [Score(low + below, low, low + below + above, 3) for low, below, above in spans]
    found = ranks(scores)
    mirrored = [Score(-score.value, -score.high, -score.low, 3) for score in scores]
    assert found == ranks(mirrored, higher_is_better=True)
    assert not scores or min(found) == 1
    for score, rank in zip(scores, found, strict=True):
        assert (rank == 1) == all(other.high >= score.low for other in scores)


def test_the_grades_are_those_that_were_published() -> None:
    """Version 1 of the bands never moves: whoever changes a limit changes the version."""
    assert (grades.VERSION, grades.LIMITS) == (1, {"A": 0.03, "B": 0.1, "C": 0.3, "D": 1.0, "E": 3.0, "F": 10.0})
    assert [grades.grade(j) for j in (0, 0.03, 0.0301, 0.3, 1.0, 9.9, 10.1, 1e6)] == list("AABCDFGG")
    assert grades.graded(0.1, 0.09, 0.11) == "B–C"
    assert grades.graded(0.02, -0.01, 0.029) == "A"
    assert [name for name, *_ in grades.bands()] == list("ABCDEFG")


def test_what_is_held_against_nothing_says_so_beside_its_rank(board: Board, kept_results: Path, site: Path) -> None:
    """The peer has neither parent nor child here; teacher and builds have each other. Page, Markdown and CSV say it."""
    notes = {place.entry.label: place.entry.note for ranking in board.rankings for place in ranking.places}
    assert notes == {"teacher": None, "int8": None, "bf16": None, "lossy": None, "guess": NO_REFERENCE}
    assert f"| guess ({NO_REFERENCE}) |" in (site / "leaderboard.md").read_text()
    assert f",{NO_REFERENCE}," in (site / "leaderboard.csv").read_text()
    assert any(f"<small>{NO_REFERENCE}</small>" in page.read_text() for page in (site / "boards").glob("*.html"))
    rows, runs = frames.load(kept_results), [store.read_run(run) for run in store.runs(kept_results)]
    named, _ = boards(rows, runs, {}, by_parent=gate.Gate(reference="teacher").by_parent)
    assert not any(entry.note for one in named for entry in one.entries)
