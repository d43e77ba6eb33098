"""A leaderboard: makes a static site from runs and entries, which ranks what is comparable and explains the rest."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from greenbench.analysis import gains, gate
from greenbench.analysis.error_rates import cell_of
from greenbench.analysis.gate import Gate
from greenbench.errors import InputError, StoreError
from greenbench.files import whole
from greenbench.files.limits import Limits
from greenbench.hardware import platforms
from greenbench.leaderboard import among, documents, history, ranking, site, standing
from greenbench.metrics import RATES
from greenbench.results import frames, store
from greenbench.results.comparability import primary
from greenbench.sharing import merge, share, submission
from greenbench.sharing.entry import read_digest
from greenbench.sharing.merge import Refused
from greenbench.validate import Problem, verification
from greenbench.validate.verification import Verification

__all__ = ["Published", "publish"]


@dataclass(frozen=True)
class Published:
    """The result of a publication.

    Attributes:
        index: the site's first page.
        n_boards: boards on it.
        n_ranked: entries that are ranked by at least one metric.
        n_unranked: entries that are ranked by none, cells without a result included.
        refused: runs and rows that were not accepted.
        changes: against the previous publication, a sentence each.
        files: the site's, by their paths in it.
    """

    index: Path
    n_boards: int
    n_ranked: int
    n_unranked: int
    refused: tuple[Refused, ...]
    changes: tuple[str, ...]
    files: Mapping[str, Path]


def publish(
    results: Sequence[Path],
    out: Path,
    asked: Gate = gate.DEFAULT,
    title: str = "Speech recognition leaderboard",
    previous: Path | None = None,
    limits: Limits | None = None,
) -> Published:
    """Write a leaderboard's site.

    Args:
        results: folders of runs, parents of such folders or of packed entries, and packed entries (``.zip``).
        out: the site's folder.
        asked: what a cell's WER must be before its speed, energy and size are ranked.
        title: of the site.
        previous: the previous publication, its JSON or its site; by default what is in ``out``.
        limits: what an entry may cost; by default what ``greenbench.files.limits`` says.

    Raises:
        InputError: there is no run, or the previous publication cannot be read.
        StoreError: none of the runs can be accepted, or the site cannot be written.
    """
    before = history.previous(previous) if previous else history.standing(out)
    if previous is not None and before is None:
        raise InputError(f"--previous {previous}: no publication is there.")
    with _accepted(results, before, limits) as (folder, merged, refused, records):
        runs = store.open_runs(folder)
        publication = _publication(runs, merged, refused, asked, title, records)
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        content = history.dated(documents.plain(publication), before, now)
        pages = dict(site.pages(publication, content, [run.description for run in runs]))
    pages |= {
        history.JSON: documents.as_json(content),
        "leaderboard.csv": documents.as_csv(publication),
        "leaderboard.md": documents.as_markdown(publication, content["published_utc"]),
        "feed.xml": history.feed(content),
    }
    _write(out, pages)
    ranked = {p.entry.id for board in publication.boards for r in board.rankings for p in r.places}
    n_entries = sum(len(board.entries) for board in publication.boards) + len(publication.failed)
    news = content["history"][0] if content["history"] else {"published_utc": None, "changes": []}
    changes = news["changes"] if news["published_utc"] == now else []
    return Published(
        out / "index.html", len(publication.boards), len(ranked), n_entries - len(ranked), tuple(publication.refused),
        tuple(f"{change['board']}: {change['what']}" for change in changes), {name: out / name for name in pages},
    )  # fmt: skip


@contextmanager
def _accepted(
    results: Sequence[Path], before: history.BoardDocument | None, limits: Limits | None
) -> Iterator[tuple[Path, merge.Merged, list[Refused], dict[str, list[Verification]]]]:
    """Yield a folder with every run that may be published, the merge, the refusals, and the verifications by run."""
    with tempfile.TemporaryDirectory() as scratch:
        refused: list[Refused] = []
        folders, digests = [place for place in results if place.is_dir()], dict[str, list[str]]()
        for number, file in enumerate(_entries(results)):
            unpacked = Path(scratch) / f"entry-{number}"
            problems = submission.check(file, unpacked, limits)
            refused += [Refused(file.name, f"{problem.what} ({problem.where})") for problem in _distinct(problems)]
            if not problems:
                folders.append(unpacked)
                digests[read_digest(file)] = [run.name for run in store.runs(unpacked)]
        missing = [str(place) for place in results if not place.exists()]
        if missing:
            raise InputError(f"{', '.join(missing)}: no such file or folder.")
        published = (before or {}).get("runs", {})
        sources = [run for folder in folders for run in store.runs(folder)]
        if not sources and refused:
            raise StoreError("\n".join(["no entry can be accepted:", *(f"{r.what}: {r.reason}" for r in refused)]))
        merged = merge.merge(
            sorted(sources, key=lambda run: _turn(run, published)) or folders or results, Path(scratch) / "runs"
        )
        conflicts = among.conflicts(store.runs(Path(scratch) / "runs"), [*published])
        for run, why in conflicts.items():
            shutil.rmtree(run)
            del merged.runs[run.name]
            refused.append(why)
        accepted = {digest: [run for run in runs if run in merged.runs] for digest, runs in digests.items()}
        published_runs = {digest: runs for digest, runs in accepted.items() if runs}
        records, unsound = standing.read(verification.records(results), published_runs)
        yield Path(scratch) / "runs", merged, [*refused, *merged.refused, *unsound], records


MAX_REASONS = 5
"""The most reasons that are listed for one entry, each of another kind."""


def _distinct(problems: Sequence[Problem]) -> list[Problem]:
    """Return the first problem of each kind; the kind is in its first words."""
    kinds = {problem.what.partition(" is ")[0]: problem for problem in reversed(problems)}
    return [problem for problem in problems if problem in kinds.values()][:MAX_REASONS]


def _turn(run: Path, published: Mapping[str, str]) -> tuple[bool, bool, str, str]:
    """Return a sort key by priority: of a run and its copy the one that was published, else started, first is used."""
    try:
        opened = store.open_run(run)
        name, started = opened.id, str(opened.description.get("started_utc"))
    except StoreError:
        name, started = run.name, ""
    return share.digest(run) not in published.values(), name not in published, started, str(run)


def _entries(results: Sequence[Path]) -> list[Path]:
    """Return the packed entries among the results, and anywhere below them."""
    groups = [sorted(place.rglob("*.zip")) if place.is_dir() else [place] for place in results if place.exists()]
    return list(dict.fromkeys(file for files in groups for file in files if not verification.is_record(file)))


def _publication(
    runs: Sequence[store.Run],
    merged: merge.Merged,
    refused: Sequence[Refused],
    asked: Gate,
    title: str,
    records: Mapping[str, Sequence[Verification]],
) -> documents.Publication:
    if not merged.runs:
        raise StoreError("\n".join(["no run can be accepted:", *(f"{r.what}: {r.reason}" for r in refused)]))
    folders, descriptions = [run.folder for run in runs], [run.description for run in runs]
    rows = frames.of_runs(folders)
    if rows.empty:
        raise StoreError("the runs hold no rows yet. Let a run finish a cell, then publish again.")
    home = gains.read(folders)
    cells = [line for of_run in home.values() for line in of_run]
    counted = gains.recount(home, {cell_of(line.shared) for line in cells if line.spreads.keys() & set(RATES)})
    outside = gate.judged(cells, asked, lambda _wanted: counted)
    boards, failed = ranking.boards(rows, descriptions, outside, counted, asked.by_parent)
    return documents.Publication(
        title=title,
        gate=gate.describe(asked, {primary(line.shared) for line in cells}),
        boards=boards,
        platforms=platforms.platforms(descriptions),
        failed=failed,
        refused=refused,
        hashes={run_id: accepted.sha256 for run_id, accepted in merged.runs.items()},
        standings=standing.standings(runs, records),
    )


def _write(out: Path, pages: dict[str, str]) -> None:
    """Write a site: as a whole where the folder contains nothing else, otherwise file by file, its JSON last.

    Files that do not belong to a site stay; pages of boards and entries that are no longer on it are removed.

    Raises:
        StoreError: a file cannot be written.
    """
    alone = not out.is_dir() or all(path.is_file() or path.name in _PARTS for path in out.iterdir())
    try:
        with whole.folder(out, keep=True, exchange=alone) as aside:
            for part in _PARTS:
                (aside / part).mkdir(exist_ok=True)
                for old in (aside / part).glob("*.html"):
                    old.unlink()
            for name, text in sorted(pages.items(), key=lambda page: page[0] == history.JSON):
                (aside / name).unlink(missing_ok=True)
                (aside / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{out}: cannot write the site: {error.strerror}. Choose another --out.") from error


_PARTS = ("boards", "entries")
"""Folders of a site."""
