"""Limits that prose quotes are those of the code: a page that says another number is found here."""

from pathlib import Path

import pytest
from codecarbon.core.cpu import DEFAULT_POWER_PER_CORE

from greenbench.analysis import steadiness
from greenbench.hardware import bounds, roofline
from greenbench.harness import kept_peaks, peaks, streams
from greenbench.meters import sampled
from greenbench.power import clockskew
from greenbench.results import flag_rules
from greenbench.statistics import percentiles
from greenbench.text import normalizers
from greenbench.validate import figures, verification

ROOT = Path(__file__).parents[1]
MEASUREMENT, COMPARING = (f"docs/explanation/{name}.md" for name in ("measurement", "comparing"))
PLOTLY = ROOT / "greenbench" / "assets" / "plotly" / "plotly-basic.min.js"

QUOTED = [
    (MEASUREMENT, f"above {100 * flag_rules.MAX_POLLER_SHARE:g} % of a core"),
    (MEASUREMENT, f"shown one value for {sampled.REST_S:g} s (batteries: {sampled.RESTS_S['battery']:g} s)"),
    (MEASUREMENT, {2: "at twice what the sensor or the board is rated for"}[bounds.BURST]),
    (MEASUREMENT, f"skews of up to {clockskew.MAX_S:g} s in steps of {clockskew.STEP_S:g} s"),
    (MEASUREMENT, f"joules would change by over {100 * clockskew.MAX_CHANGE:g} %"),
    (MEASUREMENT, f"wider than ±{clockskew.BOUND_S:g} s"),
    (MEASUREMENT, f"they would change by over {100 * clockskew.MAX_UNCLEAR:g} %"),
    (MEASUREMENT, f"at least {normalizers.NOT_ENGLISH_PCT:g} % of the letters"),
    (MEASUREMENT, f"at least {percentiles.fewest(99)} utterances ({percentiles.fewest(90)} at `percentile: 90`)"),
    (MEASUREMENT, f"the 95th {percentiles.fewest(95)}, the 99th {percentiles.fewest(99)}"),
    (MEASUREMENT, f"takes {1000 * peaks.LONG_S:g} ms, each repeated for {peaks.TRY_S:g} s"),
    (MEASUREMENT, f"takes {kept_peaks.TIMEOUT_S:g} s at most"),
    (MEASUREMENT, f"during the measurement; above {roofline.MAX_FOREIGN_PCT:g} %"),
    (COMPARING, f"differ by more than {steadiness.MAX_CHANGE_PCT:g} % are refused"),
    (COMPARING, f"differ by more than {steadiness.MAX_DRIFT_PCT:g} % is left out"),
    (COMPARING, f"the share of the peak (at most {figures.MAX_SHARE_PCT:g} %)"),
    (COMPARING, f"Texts must be equal, {100 * verification.EQUAL_TEXTS[True]:g} % of them"),
    (COMPARING, f"same platform and {100 * verification.EQUAL_TEXTS[False]:g} % on another"),
    (COMPARING, f"wholly beyond {100 * verification.MARGIN:g} %"),
    ("docs/explanation/streaming.md", f"one of the first {streams.N_SHOWN} utterances can be chosen"),
    ("docs/how-to/leaderboard.md", f"{100 * verification.EQUAL_TEXTS[True]:g} % of them on the same platform"),
    ("docs/how-to/results.md", f"plotly.js ({PLOTLY.stat().st_size / 1e6:.1f} MB)"),
    ("greenbench/assets/quickstart/students/README.md", f"at {DEFAULT_POWER_PER_CORE:g} W a thread"),
    ("greenbench/assets/quickstart/teacher/README.md", f"At the {DEFAULT_POWER_PER_CORE:g} W a thread"),
]
"""Page, and what it says of a limit."""


@pytest.mark.parametrize(("page", "said"), QUOTED)
def test_a_limit_in_prose_is_that_of_the_code(page: str, said: str) -> None:
    """Whoever changes a constant, or the sentence about it, changes both."""
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert said in text
