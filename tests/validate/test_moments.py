"""Passes against the seconds that each of them took: what was not done shows, whatever the row says of it."""

from pathlib import Path
from typing import Any

import pytest

from greenbench.results.record import KEYS
from greenbench.suite.protocol import PROTOCOLS
from greenbench.validate.evidence import Evidence, ResultLine
from greenbench.validate.moments import _made_its_passes

KEY = dict.fromkeys(KEYS, "x")


def found(n_passes: int, wall_s: float, pass_s: list[float] | None) -> list[str]:
    """What is said of a row whose protocol asks for a window of two seconds."""
    row: dict[str, Any] = {**KEY, "n_passes": n_passes, "wall_s": wall_s}
    edges = {**KEY, "kind": "window", "segments": [[0.0, wall_s]], "pass_s": pass_s}
    key = tuple(KEY.values())
    steps = PROTOCOLS["quick"]
    assert steps.window_s == 2
    evidence = Evidence(Path(), {}, steps, {}, {}, {key: row}, edges=[ResultLine(Path(), 1, edges)], at={key: 0})
    return list(_made_its_passes(row, evidence))


@pytest.mark.parametrize(
    ("n_passes", "wall_s", "pass_s", "told"),
    [
        (1, 3.0, [2.99], None),
        (3, 2.6, [0.85, 0.85, 0.85], None),
        (3, 2.6, None, None),  # of an earlier version
        (1000, 2.001, 100 * [0.0018], None),
        (1000, 2.001, [0.5, *99 * [0.0012]], None),  # something held the machine up
        (6, 2.6, [0.85, 0.85, 0.85], "n_passes is 6, windows.jsonl has the seconds of 3 passes"),
        (2, 2.6, [0.85, 0.85, 0.85], "n_passes is 2, windows.jsonl has the seconds of 3 passes"),
        (6, 2.6, 6 * [0.85], "the passes in windows.jsonl took 5.1 s, wall_s is 2.6"),
        (6, 2.6, 6 * [0.05], "some are missing"),
        (6, 2.6, 6 * [0.42], "before the last one took 2.1 s, and the protocol ends a window after 2 s"),
        (2000, 2.001, 100 * [0.0018], "n_passes is 2000 in 2.001 s, the first 100 in windows.jsonl took 0.0018 s each"),
    ],
)
def test_passes_are_those_that_were_made(n_passes: int, wall_s: float, pass_s: list[float], told: str | None) -> None:
    """As many as have seconds, which fit into the window; none begins when the window is long enough."""
    said = found(n_passes, wall_s, pass_s)
    assert (said == []) if told is None else any(told in one for one in said), said
