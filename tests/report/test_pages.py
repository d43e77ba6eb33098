"""The page: what it says, that it needs nothing else, and that nothing in it is taken for markup."""

import base64
import gzip
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from greenbench.analysis import summary
from greenbench.analysis.gate import Gate
from greenbench.analysis.summary import ENERGY
from greenbench.errors import StoreError
from greenbench.report import data, figures
from greenbench.report.pages import write_page
from greenbench.report.sections import SECTIONS, flat
from greenbench.results import frames, store

Folder = Callable[..., Path]

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """The page's tags, its visible text, the scripts that would run, and what these would draw."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._words: list[str] = []
        self._inside: str | None = None
        self.feed(html)
        self.text = " ".join(self._words)
        (packed,) = re.findall(r'<script type="text/plain" id="data">([^<]*)</script>', html)
        self.data: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed)))

    def facts(self, name: str) -> list[Any]:
        """What the scripts know of each cell by this name."""
        column = self.data["facts"][name]
        return [column["values"][code] for code in column["codes"]]

    def standings(self) -> list[str]:
        """Each cell's standing and the small print below it, as the table has them."""
        return [f"{word} {note}".strip() for word, note in zip(*map(self.facts, ("standing", "note")), strict=True)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self._words += data.split()


@pytest.fixture(autouse=True)
def small_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the megabyte of plotly.js out of pages that only the parser reads."""
    monkeypatch.setattr("greenbench.report.pages.plotly_js", lambda: "/* plotly.js */")


def write(folder: Path) -> Page:
    return Page(write_page(folder, folder / "report.html").read_text(encoding="utf-8"))


def test_what_models_and_data_say_is_never_markup(folder: Folder) -> None:
    """A script in a name, a text, a reason or the run adds no tag: there are the page's three and no image."""
    where = folder(
        {"variant": EVIL, "dataset": EVIL, "wer": 0.1, "rtfx": 2.0, "flags": (EVIL,), "scorer": EVIL},
        {"variant": "b", "status": "error", "reason": EVIL, "repeat": None},
        texts=((EVIL, EVIL, EVIL),),
        name=EVIL,
        description=EVIL,
        machine={EVIL: EVIL},
        meters={EVIL: EVIL},
        command=["greenbench", EVIL],
        suite={EVIL: EVIL},
    )
    page = write(where)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 3
    assert "img" not in tags
    assert page.text.count("alert(1)") > 10


def sample(where: Path) -> None:
    """Let a poller have seen a run of ten seconds with one window."""
    lines = [{"header": {"t_s": 0.0, "utc_s": 1e9, "period_s": 0.1}}]
    lines += [{"t_s": n / 10, "cpu.power_w": 30.0, "poller.cpu_s": n / 1e4} for n in range(101)]
    store.append(where, lines, store.POWER)
    key = {"run_id": "r1", "variant": EVIL, "dataset": "d", "device": "cpu", "scenario": "offline", "batch_size": 1}
    key |= {"round": 0, "repeat": 0}
    edges = {"kind": "window", **key, "segments": [[2, 5]], "t_s": 6.0, "utc_s": 1e9 + 6}
    store.append(where, [edges], store.WINDOWS)


def test_a_run_that_was_sampled_has_a_timeline(folder: Folder) -> None:
    """The section stands where there are samples, with what taking them cost, and nowhere else."""
    where = folder({"wer": 0.1, "rtfx": 2.0})
    assert "Timeline" not in write(where).text
    sample(where)
    page = write(where)
    assert "Timeline" in page.text
    assert page.data["timelines"][0]["note"] == "101 samples; the process that took them used 0.1% of a core."


def test_page_needs_nothing_else(folder: Folder) -> None:
    """No tag points anywhere but into the page, and the page forbids itself to fetch."""
    page = write(folder({"wer": 0.1, "rtfx": 2.0}))
    links = [v for _, attrs in page.tags for name, v in attrs.items() if name in ("src", "href", "srcset", "data")]
    assert all(link is not None and link.startswith(("#", "data:,")) for link in links)
    (policy,) = [a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_page_of_one_row_claims_no_best(folder: Folder) -> None:
    """One row gives a page that shows its number and calls nothing the lowest or fastest."""
    page = write(folder({"wer": 0.0342, "rtfx": 2.0}))
    assert "3.42 %" in page.text
    assert "the only one" not in page.text
    assert not re.search("Lowest|Fastest|Least energy", page.text)


def test_headline_picks_the_best_that_may_be_ranked(folder: Folder) -> None:
    """The headline names the best ranked variant with its number and not a better flagged one."""
    page = write(
        folder(
            {"variant": "flagged", "wer": 0.01, "flags": ("synthetic-weights",)},
            {"variant": "good", "wer": 0.05},
            {"variant": "worse", "wer": 0.09},
        )
    )
    assert "Lowest WER good: 5.00 % " in page.text
    assert "the weights are random" in page.text
    assert "good makes the fewest errors: WER 5.00 %." in page.text


def test_energy_in_the_headline_says_whether_it_was_measured(folder: Folder, measured: Any, estimate: Any) -> None:
    """Measured and estimated energies are named apart, each with its method, source and note."""
    kinds = {"m": measured, "e": estimate}
    page = write(folder(*({"variant": f"{k}{i}", ENERGY: 1.0 + i, **kinds[k]} for k in kinds for i in (0, 1))))
    assert "Least energy per audio second, measured m0: 1.00 J" in page.text
    assert "Least energy per audio second, estimated e0: 1.00 J" in page.text
    assert "CPU estimated (codecarbon-tdp); scope cpu; CPU: TDP 65 W" in page.text


def test_page_without_energy_says_why(folder: Folder) -> None:
    """Where no energy was read, one sentence has the meters' reasons, and no empty chart is drawn."""
    page = write(folder({"wer": 0.1, "rtfx": 2.0}))
    assert (
        "No energy was measured or estimated here "
        "(nvml: no NVIDIA driver; rapl: energy_uj is readable by root only)." in page.text
    )
    assert ENERGY not in page.data["metrics"]


def test_page_of_failed_rows_says_so(folder: Folder) -> None:
    """With nothing measured there is a page with the reasons and without charts."""
    page = write(
        folder(
            {"status": "error", "reason": "out of memory", "repeat": None},
            {"variant": "b", "status": "skipped", "reason": "no GPU", "repeat": None},
        )
    )
    assert "No cell gave a result" in page.text
    assert page.standings() == ["failed out of memory", "skipped no GPU"]
    assert not [a for _, a in page.tags if "data-chart" in a]


def test_failure_of_one_round_is_told_beside_the_numbers(folder: Folder) -> None:
    """A cell that lost a round keeps its numbers and says what happened."""
    page = write(folder({"wer": 0.1}, {"status": "error", "reason": "killed", "round": 1, "repeat": None}))
    assert page.standings() == ["ranked 1 more failed: killed"]


def test_command_can_be_pasted(folder: Folder) -> None:
    """The command to run again is quoted for a shell."""
    assert "greenbench run 'my suite.yaml'" in write(folder({"wer": 0.1})).text


def test_several_runs_make_one_page(folder: Folder, tmp_path: Path) -> None:
    """Two folders give one page with the lines of both, each naming its run."""
    first = folder({"wer": 0.1})
    second = tmp_path / "other"
    store.write_run(second, {"run_id": "r2"})
    store.append(second, [row | {"run_id": "r2"} for row in store.read_rows(first / store.RECORDS)])
    page = Page(write_page([first, second], tmp_path / "both.html").read_text(encoding="utf-8"))
    assert sorted(page.facts("label")) == ["a · r1", "a · r2"]
    assert "1 variant a " in page.text


def test_the_gate_speaks_on_the_page(fake_run: Callable[..., Path], said: list[str]) -> None:
    """A student outside the margin does not lead in speed, and its line has the figures; without a gate it leads."""
    fast = {"variant": "student", "parent": "teacher", "heard": ["x"] * len(said), "rounds": [{"rtfx": 90.0}]}
    run = fake_run("r1", {"variant": "teacher", "heard": said, "rounds": [{"rtfx": 10.0}]}, fast)
    page = write(run)
    assert "RTFx teacher: 10.0 x real time" in page.text
    outside = "ranked by WER alone outside the WER margin: +100.0 pp [88.7, 112.0] against 1.0 pp"
    assert page.standings() == ["ranked", outside]
    assert "at most 1.0 pp above its reference's" in page.text
    assert "1 can be ranked, 1 by WER alone" in page.text
    free = Page(write_page(run, run / "report.html", Gate("none")).read_text(encoding="utf-8"))
    assert "Fastest student: 90.0 x real time" in free.text
    assert "above its reference's" not in free.text


def test_unknown_flags_are_shown(folder: Folder) -> None:
    """A flag from a newer version is shown and said to be unknown."""
    assert "made-up-tomorrow not known to this version" in write(folder({"flags": ("made-up-tomorrow",)})).text


@pytest.mark.parametrize("rows", [None, []])
def test_nothing_to_report_is_one_clear_line(tmp_path: Path, rows: list[Any] | None) -> None:
    """A folder without runs, or with a run without rows, is an error that names the folder."""
    if rows is not None:
        store.write_run(tmp_path, {"run_id": "r1"})
    with pytest.raises(StoreError, match=re.escape(str(tmp_path))):
        write_page(tmp_path, tmp_path / "report.html")


def test_integers_stay_integers_beside_a_failed_row(folder: Folder) -> None:
    """A count that is missing in another row is not shown with a decimal point."""
    rows = ({"threads": 2}, {"variant": "b", "status": "error", "repeat": None, "threads": None})
    assert "threads 2 text normaliser" in write(folder(*rows)).text


def test_facts_are_flattened_for_people() -> None:
    """Nested facts get one line each; sizes are in GB and what is not known is not hidden."""
    machine = {"memory_bytes": 2**34, "gpus": [], "cpu_governor": None, "cpu": {"n_cores": 2}}
    assert flat(machine) == [
        ("memory", "17.2 GB"),
        ("gpus", "none"),
        ("cpu governor", "unknown"),
        ("cpu n cores", "2"),
    ]


def test_a_lead_that_is_not_shown_is_no_headline(fake_run: Callable[..., Path], said: list[str]) -> None:
    """Who has the lowest WER by an error in 320 words is not shown to lead; a rival by the same texts is named."""
    heard = [f"{text} x" if i % 4 == 0 else text for i, text in enumerate(said)]
    better = [said[0], *heard[1:]]
    rounds = [{"rtfx": 10.0}]
    page = write(
        fake_run("r1", *({"variant": v, "heard": h, "rounds": rounds} for v, h in (("a", heard), ("b", better))))
    )
    assert "b makes the fewest errors" not in page.text
    told = "No model is shown to make the fewest errors: b has WER 2.81 %"
    assert told in page.text
    assert "not shown to differ from a (on the same utterances)" in page.text


def test_a_lead_on_the_same_utterances_is_a_headline_though_intervals_overlap(
    fake_run: Callable[..., Path], said: list[str]
) -> None:
    """A variant that makes every error of another and twelve more is behind, though both rates' intervals overlap."""
    heard = [f"{text} x" if i % 2 == 0 else text for i, text in enumerate(said)]
    worse = [f"{text} y" if i % 3 == 0 else text for i, text in enumerate(heard)]
    rounds = [{"rtfx": 10.0}]
    page = write(
        fake_run("r1", *({"variant": v, "heard": h, "rounds": rounds} for v, h in (("a", worse), ("b", heard))))
    )
    assert "b makes the fewest errors: WER 6.25 %" in page.text


@pytest.mark.parametrize(
    ("slow", "says"),
    [
        ((10.0, 10.1, 9.9), "b is fastest: 20.0 x real time"),
        ((18.0, 20.9, 19.0), "No model is shown to be fastest: b has 20.0 x real time; not shown to differ from a"),
        ((10.0,), "No model is shown to be fastest"),
    ],
)
def test_speed_leads_where_rounds_show_it(
    fake_run: Callable[..., Path], said: list[str], slow: tuple[float, ...], says: str
) -> None:
    """The fastest is named by the ratios within rounds; one window each shows nothing."""
    fast = (20.0, 20.1, 19.9)[: len(slow)]
    cells = [
        {"variant": v, "heard": said, "rounds": [{"rtfx": x, "wer": 0.0} for x in rates]}
        for v, rates in (("a", slow), ("b", fast))
    ]
    assert says in write(fake_run("r1", *cells)).text


def test_what_decides_comes_first(folder: Folder) -> None:
    """Findings, trade-offs, gains and the table come before what explains them; the roofline comes after latency."""
    wanted = ["findings", "tradeoff", "bars", "compression", "cells", "latency", "session", "groups", "roofline",
              "timeline", "bigfoot", "scorers", "slices", "robustness", "texts", "machine",
              "reproduce"]  # fmt: skip
    templates = resources.files("greenbench.report") / "page" / "sections"
    texts = [(templates / f"{name}.html.jinja").read_text(encoding="utf-8") for name in SECTIONS]
    assert [id_ for text in texts for id_ in re.findall(r'<h2 id="(\w+)"', text)] == wanted
    where = folder({"variant": "a", "wer": 0.1, "rtfx": 2.0})
    write(where)
    shown = re.findall(r'<h2 id="(\w+)"', (where / "report.html").read_text(encoding="utf-8"))
    assert shown == [name for name in wanted if name in shown]
    assert {"findings", "tradeoff", "cells", "machine"} <= set(shown)


def test_a_step_that_a_protocol_leaves_out_is_not_unknown() -> None:
    """What a protocol does not ask for is known to be so; what a machine does not tell is not known."""
    assert flat({"warmup_cv_pct": None, "idle_s": 5}, "protocol") == [
        ("protocol warmup cv pct", "not asked for"), ("protocol idle s", "5"),
    ]  # fmt: skip
    assert flat({"turbo": None}) == [("turbo", "unknown")]


@pytest.mark.parametrize(("currencies", "shown"), [(("USD", "USD"), True), (("USD", "EUR"), False)])
def test_a_page_shows_costs_in_one_currency_only(fake_run, currencies: tuple[str, str], shown: bool) -> None:
    """Costs of one currency are a column; numbers of two would be put into an order that they do not have."""
    cells = [
        {"variant": name, "rounds": [{"rtfx": 10.0, "cost_per_audio_hour": 0.05}], "price_currency": currency}
        for name, currency in zip("xy", currencies, strict=True)
    ]
    lines = summary.summary(frames.load(fake_run("r", *cells)))
    drawn = data.drawn(lines, summary.settings(lines), figures.looks(lines["variant"]))
    assert ("cost_per_audio_hour" in drawn["table"], "cost_per_audio_hour" in drawn["metrics"]) == (shown, shown)
