"""The page in a real browser: what is drawn, what a reader can do with it, and that it stays text and stays here."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.analysis.gate import Gate
from greenbench.analysis.summary import ENERGY
from greenbench.report import snapshots
from greenbench.report.dashboard import Dashboard
from greenbench.report.pages import write_page
from greenbench.results import store
from greenbench.text import scorers

Visit = Callable[..., Any]
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
SAID = ["ten ships sailed", "the old harbour is quiet", "seven of them were late", "no one knew the reason why"]
METERED = {
    "energy_method": "counter",
    "energy_scope": "cpu",
    "energy_cpu_method": "counter",
    "energy_cpu_source": "rapl",
}
GUESSED = METERED | {
    "energy_method": "estimated",
    "energy_cpu_method": "estimated",
    "energy_cpu_source": "codecarbon-tdp",
}
SETS = ("clean", "other")
CELLS: dict[str, dict[str, Any]] = {
    "teacher": {"wer": 0.10, "rtfx": 10.0, ENERGY: 8.0, **METERED},
    "student": {"wer": 0.11, "rtfx": 30.0, ENERGY: 3.0, **METERED, "parent": "teacher"},
    "beaten": {"wer": 0.12, "rtfx": 9.0, ENERGY: 9.0, **METERED},
    "guess": {"wer": 0.13, "rtfx": 40.0, ENERGY: 1.0, **GUESSED, "flags": ("energy-estimated",)},
    "flagged": {"wer": 0.05, "rtfx": 50.0, ENERGY: 0.5, **METERED, "flags": ("short-window",)},
    EVIL: {"wer": 0.5, "rtfx": 1.0, ENERGY: 20.0, **METERED, "flags": (EVIL,)},
}


@pytest.fixture(scope="module")
def page(written: Callable[..., Path]) -> Path:
    """Six variants on two data sets, three repeats each, with an evil name, flag and text among them."""
    how = scorers.create("none")
    heard = [(said, f"{EVIL} {said}", f"s{i % 2}") for i, said in enumerate(SAID)]
    counts = {name: n for name, n in scorers.accuracy(heard, how)[0].items() if name.startswith("n_")}
    rows = [
        {**figures, **counts, "variant": variant, "dataset": dataset, "repeat": n, "scenario": "single-stream",
         "rtfx": figures["rtfx"] * (1 + n / 100), "model_bytes": 1e6, "wer_ci_low": 0.9 * figures["wer"],
         "wer_ci_high": 1.1 * figures["wer"], "normalizer": how.normalizer, "scorer": how.scorer}
        for variant, figures in CELLS.items() for dataset in SETS for n in range(3)
    ]  # fmt: skip
    texts = [
        {"variant": variant, "dataset": dataset, "scenario": "single-stream", "utterance_id": f"u{i}",
         "audio_s": 1.0 + i, "speaker": speaker, "reference": said, "hypothesis": hypothesis, "latency_s": 0.1 + i / 10}
        for variant in CELLS for dataset in SETS for i, (said, hypothesis, speaker) in enumerate(heard)
    ]  # fmt: skip
    where = written(*rows, texts=tuple(texts), name="browser", machine={EVIL: EVIL})
    lines = [{"header": {"t_s": 0.0, "utc_s": 1e9, "period_s": 0.1}}]
    lines += [{"t_s": n / 10, "cpu.power_w": 30.0, "poller.cpu_s": n / 1e4} for n in range(101)]
    store.append(where, lines, store.POWER)
    everything = Gate("none")  # of so few words no WER is shown to be within a margin
    return write_page(where, where / "report.html", everything)


@pytest.fixture
def opened(visit: Visit, page: Path) -> Any:
    """The page, drawn, on a desktop's screen."""
    return drawn(visit(page.as_uri()))


def drawn(browser: Any) -> Any:
    until(lambda: browser.execute_script("return document.documentElement.dataset.drawn"))
    return browser


def until(true: Callable[[], Any]) -> Any:
    """Wait for what the page does of its own; the test's time limit ends the waiting."""
    while not (answer := true()):
        time.sleep(0.02)
    return answer


def choose(browser: Any, name: str, value: str) -> None:
    """Choose in a select as a reader does, and wait until everything is drawn anew."""
    before = browser.execute_script("return document.documentElement.dataset.drawn")
    browser.execute_script(
        "const field = document.querySelector(`select[name=${arguments[0]}]`); field.value = arguments[1];"
        "field.dispatchEvent(new Event('change'))", name, value,
    )  # fmt: skip
    until(lambda: browser.execute_script("return document.documentElement.dataset.drawn") != before)


def charts(browser: Any, kind: str) -> list[dict[str, Any]]:
    """What Plotly was given for each chart of a section."""
    browser.execute_async_script("plotAll().then(arguments[arguments.length - 1])")
    script = """return JSON.stringify([...document.querySelectorAll(`[data-chart=${arguments[0]}] .chart`)].map(
      chart => ({data: chart.data, layout: chart.layout,
      caption: chart.parentNode.querySelector("figcaption")?.textContent ?? ""})))"""
    found: list[dict[str, Any]] = json.loads(browser.execute_script(script, kind))
    return found


def marks(chart: dict[str, Any]) -> dict[str, Any]:
    return {trace["name"]: trace for trace in chart["data"] if trace["mode"] == "markers"}


def cells(browser: Any) -> list[list[str]]:
    script = "return [...document.querySelectorAll('#table tbody tr')].map(row => [...row.cells].map(c => c.innerText))"
    found: list[list[str]] = browser.execute_script(script)
    return found


def test_the_page_opens_quietly(opened: Any, asked: Callable[[], list[str]]) -> None:
    """Every section is drawn, the console stays silent, and nothing is asked of any network."""
    assert opened.get_log("browser") == []
    assert asked() == []
    sections = ("tradeoff", "bars", "latency", "groups", "timeline")
    assert {kind: len(charts(opened, kind)) for kind in sections} == dict.fromkeys(sections, 2) | {"timeline": 1}
    assert len(cells(opened)) == 12


def test_what_models_and_data_say_stays_text(opened: Any) -> None:
    """A name, a flag, a machine and a transcript that hold markup are read as they are, in charts, table and texts."""
    assert opened.execute_script("return document.querySelectorAll('img, script[src]').length") == 0
    assert "alert(1)" in opened.execute_script("return document.querySelector('#texts ~ details ins').textContent")
    assert EVIL in [row[0] for row in cells(opened)]
    charts(opened, "bars")
    texts = opened.execute_script("return [...document.querySelectorAll('.chart text')].map(t => t.textContent).join()")
    assert "<img" in texts


def test_filters_act_on_everything_at_once(opened: Any) -> None:
    """One choice narrows all charts, the table and the texts; showing all brings everything back."""
    choose(opened, "dataset", "other")
    for kind in ("tradeoff", "bars", "latency", "groups"):
        assert [chart["caption"].split(" · ")[0] for chart in charts(opened, kind)] == ["other"]
    assert all("other" in row and "clean" not in row for row in cells(opened))
    assert "6 of 12" in opened.find_element("id", "shown").text
    hidden = opened.execute_script("return [...document.querySelectorAll('[data-lines]')].map(e => e.hidden)")
    assert set(hidden) == {True, False}
    choose(opened, "energy", "estimated")
    assert [row[0] for row in cells(opened)] == ["guess"]
    opened.execute_script("document.querySelector('#filters button').click()")
    until(lambda: len(cells(opened)) == 12)


def test_what_decides_comes_first_and_what_is_the_same_is_said_once(opened: Any) -> None:
    """The columns begin with the name and the figures that decide; constant ones stand in one line above."""
    heads = [head.text.split("\n")[0] for head in opened.find_elements("css selector", "#table thead th")]
    assert heads[:5] == ["variant", "WER", "RTFx", "model size", "energy per audio second"]
    assert "data set" in heads
    assert not {"device", "scenario", "batch size"} & set(heads)
    same = opened.find_element("id", "same").text
    assert same.startswith("The same in all cells: device cpu · scenario single-stream · batch size 1")


FRONT = """
const [points] = arguments, kept = data.values;
data.values = { rtfx: points.map(point => point[0]), wer: points.map(point => point[1]) };
const found = front(points.map((_, index) => ({ index })), "rtfx", "wer").map(line => line.index);
data.values = kept;
return found;
"""


def test_the_front_is_exactly_the_undominated_points(opened: Any) -> None:
    """No point beats one on the front: as good in both speed and WER, better in one. Every other is beaten by some."""
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 12, 12, 12, 40):
        points = rng.integers(0, 6, (n, 2)).tolist()  # so few values that many are equal
        dominated = [any(a >= x and b <= y and (a, b) != (x, y) for a, b in points) for x, y in points]
        assert opened.execute_script(FRONT, points) == [i for i, is_so in enumerate(dominated) if not is_so]


def test_what_was_chosen_can_be_shared(opened: Any, visit: Visit) -> None:
    """The address keeps the choices, and a page that is opened with it has them."""
    choose(opened, "dataset", "other")
    choose(opened, "x", "rtfx")
    address = opened.current_url
    drawn(visit(address))
    assert all("other" in row and "clean" not in row for row in cells(opened))
    assert "RTFx" in charts(opened, "tradeoff")[0]["layout"]["xaxis"]["title"]["text"]


def front(chart: dict[str, Any]) -> list[list[tuple[float, float]]]:
    return [list(zip(t["x"], t["y"], strict=True)) for t in chart["data"] if t["mode"] == "lines"]


def test_axes_switch_and_the_front_is_found_anew(opened: Any) -> None:
    """Measured and estimated energy have fronts of their own, speed has one for all; flagged cells are on none."""
    by_energy = charts(opened, "tradeoff")[0]
    assert front(by_energy) == [[(3, 11), (8, 10)], [(1, 13)]]
    assert {t["line"]["shape"] for t in by_energy["data"] if t["mode"] == "lines"} == {"hv"}
    choose(opened, "x", "rtfx")
    (steps,) = front(charts(opened, "tradeoff")[0])
    assert steps == [(pytest.approx(10.1), 10), (pytest.approx(30.3), 11), (pytest.approx(40.4), 13)]
    choose(opened, "y", ENERGY)
    (measured, estimated) = front(charts(opened, "tradeoff")[0])
    assert measured == [(pytest.approx(30.3), 3)]
    assert estimated == [(pytest.approx(40.4), 1)]


def test_estimates_flags_and_the_beaten_differ_in_shape(opened: Any) -> None:
    """Hollow is estimated, hollow with a dot is flagged, dim is beaten; bars are hatched and cross-hatched."""
    found = marks(charts(opened, "tradeoff")[0])
    endings = {name: "-open" + trace["marker"]["symbol"][0].partition("-open")[2] for name, trace in found.items()
               if "-open" in trace["marker"]["symbol"][0]}  # fmt: skip
    assert endings["guess"] == "-open"
    assert endings["flagged"] == "-open-dot"
    assert {"teacher", "student", "beaten"}.isdisjoint(endings)
    assert found["beaten"]["opacity"] < found["student"]["opacity"] == 1
    choose(opened, "metric", ENERGY)
    hatches = {cell: bar["marker"]["pattern"]["shape"] for cell, bar in zip(CELLS, (t for t in charts(opened, "bars")[0]
               ["data"] if t["type"] == "bar"), strict=True)}  # fmt: skip
    assert hatches == {"teacher": "", "student": "", "beaten": "", "guess": "/", "flagged": "x", EVIL: "x"}


def test_an_arrow_leads_from_teacher_to_student(opened: Any) -> None:
    """It begins at the parent's point and ends at the child's, on a logarithmic axis in its exponents."""
    (arrow,) = charts(opened, "tradeoff")[0]["layout"]["annotations"]
    assert [10 ** arrow["ax"], arrow["ay"], 10 ** arrow["x"], arrow["y"]] == pytest.approx([8, 10, 3, 11])


def test_bars_show_every_repeat_and_points_their_spread(opened: Any) -> None:
    """Each repeat is a mark on its bar; a point carries WER's interval and the least and most of the other metric."""
    choose(opened, "x", "rtfx")
    dots = next(trace for trace in charts(opened, "bars")[0]["data"] if trace["type"] == "scatter")
    assert dots["x"] == pytest.approx([10.0, 10.1, 10.2])
    point = marks(charts(opened, "tradeoff")[0])["teacher"]
    assert (point["error_y"]["arrayminus"][0], point["error_y"]["array"][0]) == (pytest.approx(1), pytest.approx(1))
    assert (point["error_x"]["arrayminus"][0], point["error_x"]["array"][0]) == (pytest.approx(0.1), pytest.approx(0.1))


def test_provenance_is_under_the_pointer_and_in_the_table(opened: Any) -> None:
    """A mark says where its numbers come from when the pointer is on it, and the table says the same by keyboard."""
    from selenium.webdriver import ActionChains

    charts(opened, "tradeoff")
    point = opened.find_element("css selector", "[data-chart=tradeoff] .scatterlayer .points path")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    ActionChains(opened).move_to_element(point).perform()
    told = until(lambda: opened.execute_script("return document.querySelector('.hoverlayer')?.textContent"))
    assert "teacher" in told
    assert "normaliser none" in told
    assert "CPU counter (rapl)" in told
    assert "run r1" in told
    summary = opened.find_element("css selector", "#table tbody details summary")
    summary.send_keys("\n")
    assert "CPU counter (rapl)" in opened.find_element("css selector", "#table tbody details").text


def test_everything_is_reached_by_keyboard(opened: Any) -> None:
    """Tab reaches the link to the results, every choice and every heading that sorts, and Enter sorts."""
    from selenium.webdriver.common.keys import Keys

    def tab_to(name: str) -> list[str]:
        reached = []
        for _ in range(60):
            focused = opened.switch_to.active_element
            reached.append(focused.get_attribute("name") or focused.text.split("\n")[0])
            if reached[-1] == name:
                break
            focused.send_keys(Keys.TAB)
        return reached

    opened.find_element("tag name", "body").send_keys(Keys.TAB)
    reached = tab_to("WER")
    assert reached[0] == "Skip to the results"
    assert {"dataset", "energy", "x", "y", "metric", "variant", "WER"} <= set(reached)
    opened.switch_to.active_element.send_keys(Keys.ENTER)
    column = next(c for c, text in enumerate(cells(opened)[0]) if text.startswith("5.00"))  # the lowest comes first
    rates = [float(row[column].split("\n")[0]) for row in cells(opened)]
    assert rates == sorted(rates)
    assert opened.switch_to.active_element.text == "WER", "the focus stays where it was"
    assert tab_to("by")[-1] == "by"


@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_shows_it_without_scrolling_sideways(visit: Visit, page: Path, width: int) -> None:
    """Nothing is wider than a phone but what scrolls by itself."""
    phone = drawn(visit(page.as_uri(), width))
    assert phone.execute_script("return document.documentElement.scrollWidth") <= width


CUT = """
const cut = [...document.querySelectorAll("body *")].filter(e => !e.closest("svg")
  && e.clientWidth > 0 && getComputedStyle(e).overflowX !== "visible" && e.scrollWidth > e.clientWidth + 1)
  .map(e => e.outerHTML.slice(0, 80));
for (const chart of document.querySelectorAll(".chart .main-svg")) {
  const box = chart.getBoundingClientRect();
  for (const text of chart.querySelectorAll("text")) {
    const one = text.getBoundingClientRect();
    if (one.width && (one.left < box.left - 1 || one.right > box.right + 1)) cut.push(text.textContent);
  }
}
return document.documentElement.scrollWidth > innerWidth ? [...cut, "the page"] : cut;
"""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (800, "dark")])
def test_nothing_is_cut_on_a_small_screen(visit: Visit, page: Path, width: int, scheme: str) -> None:
    """No table, block or chart is wider than its place; a table's columns come in turns, each of them in one."""
    small = drawn(visit(page.as_uri(), width, scheme))
    charts(small, "bars")
    assert small.execute_script(CUT) == []
    heads = small.find_elements("css selector", "#table thead th")
    names = small.execute_script("return [...document.querySelectorAll('#table thead button')].map(e => e.textContent)")
    found = [head.text.split("\n")[0] for head in heads if head.is_displayed()]
    assert found[0] == "variant"
    for _ in names:
        further = small.find_elements("css selector", "[aria-labelledby=cells] .turns button")[-1]
        if further.is_displayed() and further.is_enabled():
            further.click()
            found += [head.text.split("\n")[0] for head in heads if head.is_displayed()][1:]
            assert small.execute_script(CUT) == []
    assert found == names


def test_paper_has_whole_charts_and_what_was_chosen(visit: Visit, page: Path) -> None:
    """In print nothing is wider than the sheet, no chart is higher, and a choice stands where the filters were."""
    paper = drawn(visit(page.as_uri(), 718, "dark", "print"))
    choose(paper, "dataset", "other")
    paper.execute_script("dispatchEvent(new Event('beforeprint'))")
    charts(paper, "tradeoff")
    assert paper.execute_script("return document.documentElement.scrollWidth") <= 718
    assert paper.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    sizes = paper.execute_script("""return [...document.querySelectorAll('.chart > *')].map(
      chart => chart.getBoundingClientRect()).map(box => [box.width, box.height])""")
    assert len(sizes) == 5
    assert all(500 < width <= 718 and height <= 850 for width, height in sizes)
    shown = paper.execute_script("return [...document.querySelectorAll('#filters *')].some(e => e.checkVisibility())")
    assert not shown
    told = paper.execute_script("return document.getElementById('filters').dataset.chosen")
    assert told == "data set other"


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "dark")])
def test_axe_finds_no_barrier(
    visit: Visit, barriers: Callable[[], list[Any]], page: Path, width: int, scheme: str
) -> None:
    """The checker for WCAG 2 A and AA has nothing to say, in light and in dark, on a desktop and a phone."""
    drawn(visit(page.as_uri(), width, scheme))
    assert barriers() == []


# --- what else is drawn by a browser ---------------------------------------------------------------------


@pytest.fixture
def served(written: Callable[..., Path]) -> Iterator[tuple[Dashboard, Path]]:
    """A dashboard of a folder with one run that has no row yet."""
    where = written()
    with Dashboard(where.parent, ("127.0.0.1", 0)) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server, where
        server.shutdown()


def test_a_live_dashboard_shows_a_new_row(
    visit: Visit, served: tuple[Dashboard, Path], row: Callable[..., dict[str, Any]]
) -> None:
    """It waits for the first row, draws it, takes in the next as it comes, and keeps what was chosen meanwhile."""
    server, where = served
    browser = visit(server.url)
    assert "Nothing to show yet" in browser.page_source
    store.append(where, [row(wer=0.1, rtfx=2.0, model_bytes=1e6)])
    until(lambda: len(cells(browser)) == 1)
    until(lambda: browser.execute_script("return document.documentElement.dataset.drawn"))
    choose(browser, "x", "model_bytes")
    store.append(where, [row(variant="b", wer=0.2, rtfx=3.0, model_bytes=1e6)])
    until(lambda: [r[0] for r in cells(browser)] == ["a", "b"])
    assert browser.execute_script("return document.querySelector('select[name=x]').value") == "model_bytes"
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    browser.get("about:blank")


def test_a_roof_has_every_cell_of_its_machine(visit: Visit, written: Callable[..., Path], tmp_path: Path) -> None:
    """One panel a machine: its slope, a level line for each precision in use, and a mark for each cell."""
    work = {"wer": 0.1, "rtfx": 100.0, "macs_per_audio_s": 1e8, "audio_s": 300.0, "n_passes": 3, "n_utterances": 17,
            "model_bytes": 4e6, "mfu_pct": 10.0, "engine_batching": "padded", "batch_size": 8}  # fmt: skip
    floats, mixed = ({"variant": name, "compute_dtype": of} for name, of in (("float", "fp32"), (EVIL, "fp32+int8")))
    cells = [work | floats, work | mixed, work | floats | {"scenario": "single-stream", "batch_size": 1}]
    peaks = {"macs_per_s": {"fp32": 1e11, "bf16": 2e11, "int8": 4e11}, "bytes_per_s": 2e10, "threads": 2}
    where = written(*cells, {"variant": "unknown", "wer": 0.1, "rtfx": 9.0}, peaks={"cpu": peaks})
    page = drawn(visit(write_page(where, tmp_path / "report.html").as_uri()))
    (roof,) = charts(page, "roofline")
    assert roof["caption"] == "Test CPU, cpu, 2 threads"
    limits = [trace for trace in roof["data"] if trace["mode"] == "lines"]
    assert [trace["y"][1] for trace in limits] == [8e11, 8e11, 2e11]  # the slope's end, int8, fp32
    assert limits[0]["y"][1] / limits[0]["x"][1] == pytest.approx(2e10)
    marks = [y for trace in roof["data"] if trace["mode"] == "markers" for y in trace["y"]]
    assert marks == [2e10] * 3
    told = " ".join(note["text"] for note in roof["layout"]["annotations"])
    assert told == "int8 800 GFLOP/s fp32 200 GFLOP/s memory 20.0 GB/s"
    assert "<img" not in json.dumps(roof["data"])
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.fixture(scope="module")
def streamed(written: Callable[..., Path]) -> Path:
    """Two variants, one with an evil name, that were streamed: a word is replaced, and the words are timed."""
    spoken = [{"word": word, "start_s": n, "end_s": n + 0.4} for n, word in enumerate(("the", "cat"))]
    shown = [{"time_s": 0.7, "text": "the"}, {"time_s": 1.2, "text": f"the {EVIL.replace(' ', '')}"}]
    shown.append({"time_s": 2.5, "text": "the cat"})
    texts = [
        {"variant": variant, "scenario": "streaming", "utterance_id": name, "audio_s": 2.0, "latency_s": 0.5,
         "reference": "the cat", "hypothesis": "the cat", "words": spoken, "shown": shown[-n:]}
        for variant in ("teacher", EVIL) for name, n in (("u0", 3), (f"u1 {EVIL}", 1))
    ]  # fmt: skip
    of = {"scenario": "streaming", "wer": 0.1, "rtfx": 2.0, "word_latency_p50_s": 0.4, "final_p50_s": 0.5}
    where = written(*({**of, "variant": variant} for variant in ("teacher", EVIL)), texts=tuple(texts), name="streamed")
    return write_page(where, where / "report.html", Gate("none"))


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_an_utterance_is_shown_word_by_word(visit: Visit, streamed: Path, width: int, scheme: str) -> None:
    """A panel a variant: when words ended and were shown, and what was replaced; another utterance can be chosen."""
    page = drawn(visit(streamed.as_uri(), width, scheme))
    first, second = charts(page, "session")
    assert [first["caption"], second["caption"]] == ["teacher", EVIL]
    texts = {text: (x, y) for trace in first["data"] if trace["mode"] == "markers+text"
             for text, x, y in zip(trace["text"], trace["x"], trace["y"], strict=True)}  # fmt: skip
    assert (texts["the"], texts["cat"]) == ((0.7, 0), (2.5, 1))
    assert [at for text, at in texts.items() if "\u0336" in text] == [(1.2, 1)]
    ends = [trace["x"] for trace in first["data"] if trace["mode"] == "markers"]
    assert ends == [[0.4, 1.4]]
    assert "<img" not in json.dumps(first["data"])
    choose(page, "utterance", f"u1 {EVIL}")
    assert len([text for trace in charts(page, "session")[0]["data"] for text in trace.get("text") or ()]) == 2
    assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_axes_offer_the_latency_of_words(visit: Visit, streamed: Path) -> None:
    """WER against the latency of words, with its front."""
    page = drawn(visit(streamed.as_uri()))
    choose(page, "x", "word_latency_p50_s")
    (chart,) = charts(page, "tradeoff")
    assert [trace["x"] for trace in chart["data"] if trace["mode"] == "markers"] == [[0.4], [0.4]]
    assert chart["data"][0]["name"] == "Pareto front"


def test_figures_are_what_the_page_draws(browser: Any, written: Callable[..., Path], tmp_path: Path) -> None:
    """Each chart becomes an SVG and a PNG at three times its size, and a name in it stays text."""
    where = written(*({"variant": variant, "wer": 0.1, "rtfx": 2.0} for variant in ("teacher", EVIL)))
    written_to = snapshots.write(write_page(where, where / "report.html"), tmp_path / "figures")
    files = {path.name: path.read_bytes() for path in written_to}
    names = ("tradeoff-wer-rtfx", "bars-wer", "bars-rtfx")
    assert set(files) == {f"{name}.{form}" for name in names for form in ("svg", "png")}
    svg = files["tradeoff-wer-rtfx.svg"].decode()
    assert svg.startswith("<svg")
    assert "teacher" in svg
    assert "<img" not in svg
    assert files["bars-rtfx.png"].startswith(b"\x89PNG")
    assert int.from_bytes(files["bars-rtfx.png"][16:20], "big") == 3 * 560
