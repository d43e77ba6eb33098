"""The site: it ranks, explains and remembers, needs no network, and whatever results say stays text."""

import base64
import csv
import hashlib
import html.parser
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from greenbench.errors import InputError, StoreError
from greenbench.files.unicode import for_csv
from greenbench.leaderboard import documents, history, publish
from greenbench.leaderboard.board import COSTS
from greenbench.results import store
from greenbench.sharing import submission

Cells = dict[str, dict[str, Any]]
ATOM = "{http://www.w3.org/2005/Atom}"


class Page(html.parser.HTMLParser):
    """What a page links to, loads, and holds of tags and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.tags.append(tag)
        self.ids += [str(told["id"])] if "id" in told else []
        self.links += [str(told["href"])] if tag == "a" else []
        self.loaded += [str(told[name]) for name in ("src", "srcset", "data", "action") if told.get(name)]
        self.loaded += [str(told["href"])] if tag == "link" and told.get("rel") != "alternate" else []


@pytest.fixture
def results(kept_results: Path, tmp_path: Path) -> Path:
    """A copy of the results to change."""
    return Path(shutil.copytree(kept_results, tmp_path / "results"))


@pytest.fixture
def own_site(site: Path, tmp_path: Path) -> Path:
    """A copy of the site to publish into."""
    return Path(shutil.copytree(site, tmp_path / "site"))


def content(site: Path) -> dict[str, Any]:
    return json.loads((site / history.JSON).read_text())


def test_every_page_is_whole(site: Path) -> None:
    """Links lead to pages and places that exist, nothing is loaded, ids are unique, and results are text only."""
    pages = {path: Page(path.read_text()) for path in site.rglob("*.html")}
    assert len(pages) == 3 + 2 + 12
    for path, page in pages.items():
        text = path.read_text()
        assert page.loaded == ["data:,"]
        assert "<img" not in text
        assert page.tags.count("script") == 1
        assert len(page.ids) == len(set(page.ids))
        for link in page.links:
            target, _, place = link.partition("#")
            there = (path.parent / target).resolve() if target else path
            assert there.exists(), link
            assert not place or place in pages[there].ids, link
    assert "&lt;img" in (site / "apart.html").read_text()


def test_the_script_is_the_one_that_the_policy_allows(site: Path) -> None:
    """The hash in the page's policy is that of its script, so that no other runs and this one does."""
    text = (site / "index.html").read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


def test_json_csv_and_markdown_say_the_same(site: Path) -> None:
    """Each place is a line of the CSV with the same figures, each entry apart has its reason, and so in Markdown."""
    rankings = [ranking for board in content(site)["boards"] for ranking in board["rankings"]]
    found = [(ranking["metric"], place) for ranking in rankings for place in ranking["places"]]
    places = [(metric, p["label"], p["rank"], p["value"], p["grade"]) for metric, p in found]
    lines = list(csv.DictReader(io.StringIO((site / "leaderboard.csv").read_text())))
    ranked = [(line["ranked_by"], line["variant"].removeprefix("'"), int(line["rank"]), float(line["value"]),
               line["grade"] or None) for line in lines if line["rank"]]  # fmt: skip
    assert ranked == places
    assert all(line["not_ranked_because"] for line in lines if not line["rank"])
    markdown = (site / "leaderboard.md").read_text()
    assert len(re.findall(r"^\| \d+= \|", markdown, flags=re.M)) == sum(place["is_shared"] for _, place in found)
    assert "<img" not in markdown


def test_no_cell_of_the_csv_is_a_formula() -> None:
    """A text that a spreadsheet would compute is quoted; numbers stay numbers."""
    assert [for_csv(value) for value in ("=1+1", "@x", "-", "a=b", -1.5)] == ["'=1+1", "'@x", "'-", "a=b", -1.5]


def test_the_same_results_publish_the_same_bytes(kept_results: Path, own_site: Path) -> None:
    """Publishing again without news changes no file, the date included."""
    before = {path: path.read_bytes() for path in own_site.rglob("*") if path.is_file()}
    assert publish([kept_results], own_site).changes == ()
    assert {path: path.read_bytes() for path in own_site.rglob("*") if path.is_file()} == before


def test_the_feed_tells_what_changed(
    results: Path, own_site: Path, sound_run: Callable[..., Path], cells: Cells
) -> None:
    """A newcomer, a new value, a lost place and a board that goes each have a sentence, on the page and in the feed."""
    assert ElementTree.parse(own_site / "feed.xml").findall(f"{ATOM}entry") == []
    shutil.rmtree(results / "r2")
    slower = cells["teacher"] | {"rounds": [{"wall_s": 9 + i / 9, "energy_cpu_j": 300 + i} for i in range(3)]}
    new = cells["int8"] | {"variant": "newcomer", "parent": "teacher", "model_bytes": 90}
    sound_run("r3", slower, new, started_utc="2026-05-01T00:00:00+00:00")
    published = publish([results], own_site)
    told = "\n".join(published.changes)
    assert "newcomer enters by size at rank 1 (" in told
    assert "teacher by energy per second of audio (CPU packages, measured): from rank 3 to" in told
    assert "from grade D to F" in told
    assert "is no longer published" in told
    (entry,) = ElementTree.parse(own_site / "feed.xml").findall(f"{ATOM}entry")
    assert entry.find(f"{ATOM}content").text == told
    assert "newcomer enters by size" in (own_site / "index.html").read_text()
    assert not [path for path in (own_site / "boards").iterdir() if path.stem not in
                {board["id"] for board in content(own_site)["boards"]}]  # fmt: skip


def test_what_is_no_longer_ranked_says_why() -> None:
    """An entry that went apart is in the changes with the reason."""
    places = [{"label": "a", "rank": 1, "value": 5.0, "grade": None}]
    ranking = {"key": "rtfx", "metric": "rtfx", "scope": None, "kind": None, "places": places}
    board = {"id": "b", "label": "board", "platform": "p", "rankings": [ranking], "apart": []}
    apart = {"label": "a", "not_ranked_by": ["rtfx"], "reason": "throttled"}
    whole = {"platforms": [{"id": "p", "name": "machine"}]}
    found = history.changes({**whole, "boards": [board]},
                            {**whole, "boards": [{**board, "rankings": [], "apart": [apart]}]})  # fmt: skip
    assert list(found) == [{"board": "board on machine", "what": "a is no longer ranked by speed: throttled"}]


def test_entries_are_checked_before_they_are_published(kept_results: Path, tmp_path: Path) -> None:
    """A packed entry is published like a folder of runs; one that was tampered with is refused, and the others stay."""
    entries = tmp_path / "entries"
    submission.pack([kept_results / "r2"], entries / "good.zip")
    (entries / "bad.zip").write_bytes((entries / "good.zip").read_bytes()[:-200])
    published = publish([entries], tmp_path / "site")
    assert (published.n_boards, published.n_ranked) == (1, 2)
    assert [refused.what for refused in published.refused] == ["bad.zip"]
    assert "bad.zip" in (tmp_path / "site" / "apart.html").read_text()
    (entries / "good.zip").unlink()
    with pytest.raises(StoreError, match=r"no entry can be accepted:\nbad\.zip"):
        publish([entries], tmp_path / "site")


def test_platforms_stand_side_by_side_and_energy_scopes_do_not_mix(
    sound_run: Callable[..., Path], cells: Cells, tmp_path: Path
) -> None:
    """One variant on two machines, one with an estimate: each kind of energy has a column of its own."""
    run = sound_run("r1", cells["teacher"])
    note = "TDP 20 W (given in the suite)"
    estimated = cells["teacher"] | {"method": "estimated", "source": "codecarbon-tdp", "note": note}
    sound_run("r2", estimated, machine=store.read_run(run)["machine"] | {"cpu_model": "Other"})
    page = (publish([run.parent], tmp_path / "site").index.parent / "platforms.html").read_text()
    assert "J per audio s, CPU packages, measured" in page
    assert "J per audio s, CPU packages, estimated" in page
    assert page.count('data-label="J per audio s, CPU packages, measured">–') == 1


def test_what_cannot_be_published_is_an_error(kept_results: Path, tmp_path: Path) -> None:
    """No runs, a path that is not there, and a previous publication that is none are told of in one line each."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no runs here"):
        publish([tmp_path / "empty"], tmp_path / "site")
    with pytest.raises(InputError, match="no such file or folder"):
        publish([tmp_path / "absent.zip"], tmp_path / "site")
    with pytest.raises(InputError, match="--previous"):
        publish([kept_results], tmp_path / "site", previous=tmp_path / "absent")
    (tmp_path / "leaderboard.json").write_text("{}")
    with pytest.raises(InputError, match="not a publication"):
        publish([kept_results], tmp_path / "site", previous=tmp_path)


def test_a_reference_holds_all_to_one_wer(kept_results: Path, tmp_path: Path) -> None:
    """With a reference the gate is asked of every variant, so a peer without a teacher is not its own measure."""
    from greenbench.analysis.gate import parse

    publish([kept_results], tmp_path / "site", parse("margin:1.0pp", "teacher"))
    (board, _) = content(tmp_path / "site")["boards"]
    assert "that of teacher" in content(tmp_path / "site")["gate"]
    assert {tuple(one["not_ranked_by"]) for one in board["apart"]} <= {(*COSTS, "wer"), COSTS}


def test_the_workflow_uses_commands_that_exist() -> None:
    """The GitHub workflow that is printed is YAML, and calls greenbench as it is."""
    from importlib.resources import files

    import yaml

    text = files("greenbench.assets").joinpath("leaderboard.yml").read_text()
    steps = [step.get("run", "") for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    assert any("greenbench leaderboard entries --out site" in step for step in steps)
    assert any("--check" in step for step in steps)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b"\xff\xfe"])
def test_a_damaged_publication_never_blocks_the_next(own_site: Path, kept_results: Path, damage: bytes) -> None:
    """The site is written anew, with a warning that its history starts anew."""
    (own_site / history.JSON).write_bytes(damage)
    with pytest.warns(UserWarning, match="its history starts anew"):
        publish([kept_results], own_site)
    assert content(own_site)["format"] == documents.FORMAT


def test_what_else_is_in_the_site_s_folder_stays(own_site: Path, kept_results: Path) -> None:
    """Files and folders that are no site's are kept, pages that are gone from it go, also beside a repository."""
    for extra in (None, ".git"):
        (own_site / "CNAME").write_text("example.org")
        (own_site / "boards" / "gone.html").write_text("old")
        if extra:
            (own_site / extra).mkdir()
            (own_site / extra / "HEAD").write_text("ref")
        publish([kept_results], own_site)
        assert (own_site / "CNAME").read_text() == "example.org"
        assert not (own_site / "boards" / "gone.html").exists()
    assert (own_site / ".git" / "HEAD").read_text() == "ref"
    assert [p.name for p in own_site.parent.iterdir()] == ["site"]
