"""The site in a real browser, from files: it stays quiet and here, leads back and forth, sorts, and bars nobody."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Visit = Callable[..., Any]
KINDS = ("index", "platforms", "apart", "board", "entry")


@pytest.fixture
def pages(site: Path) -> dict[str, str]:
    """The address of a page of each kind: the fullest board, and an entry that is ranked."""
    board = max((site / "boards").iterdir(), key=lambda path: path.stat().st_size)
    paths = {name: site / f"{name}.html" for name in KINDS[:3]} | {"board": board}
    return {name: path.as_uri() for name, path in (paths | {"entry": next(site.glob("entries/int8-*"))}).items()}


def run(browser: Any, script: str, *given: Any) -> Any:
    return browser.execute_script(script, *given)


def column(browser: Any, name: str) -> list[str]:
    """What the column of this heading says, in the first table that has it."""
    script = """const named = cell => cell.innerText.startsWith(arguments[0]);
      const heading = [...document.querySelectorAll("th")].find(named);
      return [...heading.closest("table").tBodies[0].rows].map(row => row.cells[heading.cellIndex].innerText);"""
    found: list[str] = run(browser, script, name)
    return found


def follow(browser: Any, path: str) -> str:
    """Click the first link of the page's content whose address has ``path``; return the page's heading."""
    browser.find_element("css selector", f"main a[href*='{path}']").click()
    return str(browser.find_element("tag name", "h1").text)


def test_every_page_opens_quietly_from_its_file(
    visit: Visit, asked: Callable[[], list[str]], site: Path, evil: str
) -> None:
    """No page says anything on the console or asks anything of a network, and names of results are text in all."""
    opened = sorted(site.rglob("*.html"))
    assert len(opened) == 3 + 2 + 12
    for path in opened:
        browser = visit(path.as_uri())
        assert browser.get_log("browser") == [], path
        assert asked() == [], path
        assert run(browser, "return document.querySelectorAll('img, iframe, [onerror]').length") == 0
    visit((site / "apart.html").as_uri())
    assert evil in run(browser, "return document.querySelector('main').textContent")


def test_links_lead_there_and_back(visit: Visit, pages: dict[str, str]) -> None:
    """From the first page to a board, to an entry, back to its board, to its platform and to the first page."""
    browser = visit(pages["index"])
    board = follow(browser, "boards/")
    entry = follow(browser, "entries/")
    assert entry != board
    assert follow(browser, "boards/") == board
    assert follow(browser, "platforms.html#") == "Platforms"
    place = run(browser, "return document.querySelector(':target').textContent")
    assert place.startswith(("Test CPU", "Chip"))
    browser.find_element("css selector", "nav > a").click()
    assert browser.current_url == pages["index"]


def test_a_ranking_sorts_by_what_is_clicked(visit: Visit, pages: dict[str, str]) -> None:
    """A heading sorts up, then down, by value and not by text, and says so to who cannot see the arrow."""
    browser = visit(pages["board"])
    button = browser.find_element("xpath", "//th/button[.='RTFx']")
    heading = button.find_element("xpath", "..")
    script = "const cell = arguments[0].closest('table').querySelector('[data-label=RTFx]'); cell.dataset.key = 5;"
    run(browser, f"{script} cell.textContent = '5 x real time'", heading)  # which by its text is more than 40
    button.click()
    assert heading.get_attribute("aria-sort") == "ascending"
    speeds = [float(text.split()[0]) for text in column(browser, "RTFx")]
    assert speeds == sorted(speeds)
    assert speeds[0] == 5 < speeds[-1]
    button.click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert [float(text.split()[0]) for text in column(browser, "RTFx")] == speeds[::-1]


def test_a_name_of_markup_is_its_text(visit: Visit, site: Path, evil: str) -> None:
    """The page of an entry that is called like an image shows the name, letter by letter, also in its title."""
    (path,) = (path for path in site.glob("entries/*.html") if "fit" in path.name)
    browser = visit(path.as_uri())
    assert browser.find_element("tag name", "h1").text == f"{evil} fit"
    assert browser.title.startswith(evil)


@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_shows_it_without_scrolling_sideways(visit: Visit, pages: dict[str, str], width: int) -> None:
    """No page is wider than a phone, and no table needs to be pushed sideways in it."""
    for name, url in pages.items():
        phone = visit(url, width)
        assert run(phone, "return document.documentElement.scrollWidth") <= width, name
        hidden = "return [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"
        assert run(phone, hidden) == 0, name


def test_paper_is_white_and_cuts_nothing_off(visit: Visit, pages: dict[str, str]) -> None:
    """In print, whatever scheme is preferred, tables fit the sheet, and what only a screen can do is not there."""
    for name, url in pages.items():
        paper = visit(url, 718, "dark", "print")
        assert run(paper, "return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert run(paper, "return document.documentElement.scrollWidth") <= 718, name
        assert not run(paper, "return document.querySelector('nav').checkVisibility()")


def test_it_is_dark_where_that_is_preferred(visit: Visit, pages: dict[str, str]) -> None:
    """Ground and text change places, and nothing else needs to be chosen."""
    script = """const { backgroundColor, color } = getComputedStyle(document.body);
      return [backgroundColor, color].map(rgb => rgb.match(/\\d+/g).reduce((sum, part) => sum + Number(part), 0));"""
    light, dark = (run(visit(pages["index"], scheme=scheme), script) for scheme in ("light", "dark"))
    assert light[0] > 600 > light[1]
    assert dark[1] > 600 > dark[0]


def test_everything_is_reached_by_keyboard(visit: Visit, pages: dict[str, str]) -> None:
    """Tab goes from the link to the content over headings that sort to entries, visibly, and Enter sorts."""
    from selenium.webdriver.common.keys import Keys

    browser = visit(pages["board"])
    browser.find_element("tag name", "body").send_keys(Keys.TAB)
    reached = []
    for _ in range(40):
        focused = browser.switch_to.active_element
        reached.append(focused.text)
        assert run(browser, "return getComputedStyle(arguments[0]).outlineStyle", focused) != "none", focused.text
        if focused.text == "variant":
            break
        focused.send_keys(Keys.TAB)
    assert reached[0] == "Skip to the content"
    assert {"Platforms", "Not ranked", "How it ranks", "rank", "variant"} <= set(reached)
    focused.send_keys(Keys.ENTER)
    assert column(browser, "variant") == sorted(column(browser, "variant"))
    assert browser.switch_to.active_element == focused, "the focus stays where it was"


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "dark")])
def test_axe_finds_no_barrier(
    visit: Visit, barriers: Callable[[], list[Any]], pages: dict[str, str], width: int, scheme: str
) -> None:
    """The checker for WCAG 2 A and AA has nothing to say of any kind of page, in light, in dark and on a phone."""
    for url in pages.values():
        visit(url, width, scheme)
        assert barriers() == [], url


def test_entries_are_filtered_by_their_level(visit: Visit, pages: dict[str, str]) -> None:
    """Unticking a level hides its entries in every table, ticking shows them again; nothing is asked of a network."""
    browser = visit(pages["board"])
    shown = "return [...document.querySelectorAll('tr[data-level]')].filter(row => row.offsetParent).length"
    n_all = run(browser, shown)
    assert n_all > 0
    browser.find_element("css selector", ".filter input[value='checked']").click()
    assert run(browser, shown) == 0
    browser.find_element("css selector", ".filter input[value='checked']").click()
    assert run(browser, shown) == n_all
