"""Entries for a leaderboard: packing runs into one file with the hash of each file, unpacking, and checking them."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from greenbench import validate
from greenbench.errors import GreenbenchError, InputError
from greenbench.files.limits import Limits
from greenbench.results import store
from greenbench.sharing import entry, merge, privacy, share
from greenbench.sharing.entry import PACK
from greenbench.sharing.privacy import Identifier
from greenbench.validate import Problem


@dataclass(frozen=True)
class Packed:
    """A packed entry.

    Attributes:
        path: the file.
        digest: SHA-256 over the names and hashes of its files; quote it where the entry is announced.
        run_ids: the runs in it.
    """

    path: Path
    digest: str
    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class Preview:
    """What the user should read before runs are published.

    Attributes:
        descriptions: by run, as they will be published.
        identifiers: of a person, a machine or a place in the runs, each once.
    """

    descriptions: Mapping[str, str]
    identifiers: tuple[Identifier, ...]


def preview(results: Sequence[Path], keep_private: bool = False) -> Preview:
    """Search runs for identifiers; a run that cannot be read is skipped, since ``pack`` refuses it.

    Args:
        results: folders of runs, or parents of such folders.
        keep_private: as for ``pack``.
    """
    descriptions, private = dict[str, str](), dict[tuple[str, str], Identifier]()
    for folder in store.runs(*results):
        try:
            content = store.open_run(folder).description
            shared = content if keep_private else privacy.run(content)
            matches = list(_identifiers(folder, content, keep_private))
        except (GreenbenchError, AttributeError, TypeError):
            continue
        if isinstance(shared.get("description"), str) and shared["description"]:
            descriptions[folder.name] = shared["description"]
        private |= {(one.kind, one.text): one for one in reversed(matches)}
    return Preview(descriptions, tuple(sorted(private.values(), key=lambda one: (one.where, one.kind, one.text))))


def _identifiers(folder: Path, content: Mapping[str, Any], keep_private: bool) -> Iterator[Identifier]:
    """Yield the identifiers in all files of a run that are packed; a column's text is searched once."""
    yield from privacy.search_run(content, folder.name, keep_private)
    searched = set[tuple[str, str]]()
    for file in share.FILES:
        for row in store.read_rows(folder / file):
            texts = {(name, value) for name, value in row.items() if isinstance(value, str)}
            known = {name for name, _ in texts & searched}
            new = {name: value for name, value in row.items() if name not in known}
            yield from privacy.search(new, folder.name, keep_private)
            searched |= texts


def pack(results: Sequence[Path], out: Path, keep_private: bool = False) -> Packed:
    """Pack runs for a leaderboard; the same runs give the same bytes.

    Args:
        results: folders of runs, or parents of such folders.
        out: the ZIP file.
        keep_private: pack names, paths and addresses, too.

    Raises:
        InputError: there is no run, or a board would refuse one; nothing is written.
        StoreError: ``out`` cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "runs"
        merged = merge.merge(results, place, keep_private)
        reasons = [f"{refused.what}: {refused.reason}" for refused in merged.refused]
        problems = refusals(place) if merged.runs else ()
        reasons += [f"{_inside(problem, place)}: {problem.what}. {problem.fix}" for problem in problems]
        if reasons:
            raise InputError("\n".join(["a leaderboard would refuse this:", *reasons[:20]]))
        files = {path.relative_to(place).as_posix(): path for path in sorted(place.glob("*/*"))}
        entry_digest = entry.write(out, files)
    return Packed(out, entry_digest, tuple(merged.runs))


# --- checking an entry -----------------------------------------------------------------------------------


def check(file: Path, folder: Path, limits: Limits | None = None) -> list[Problem]:
    """Unpack an entry and check it: its form, its hashes, and its rows against everything else in it.

    Args:
        file: the ZIP file.
        folder: a new or empty folder that gets the runs; use them only where there is no problem.
        limits: on the entry's size and cost; by default from ``greenbench.files.limits``.

    Returns:
        Why a board refuses the entry; nothing where it does not.
    """
    try:
        entry.unpack(file, folder, limits)
        problems = list(refusals(folder))
    except GreenbenchError as error:
        return [Problem("error", file.name, str(error).removeprefix(f"{file}: ").removesuffix(f". {PACK}"), PACK)]
    except Exception as error:  # an entry that was crafted to break a check is refused
        return [Problem("error", file.name, f"cannot be judged: {type(error).__name__}: {error}", PACK)]
    return [replace(p, where=f"{file.name}: {_inside(p, folder)}") for p in problems]


def refusals(folder: Path) -> Iterator[Problem]:
    """Yield why a board refuses runs: the errors of ``greenbench validate``, and ids that differ from the folder's.

    Args:
        folder: a folder of runs, each in a folder of its id.
    """
    bad = [problem for problem in validate.problems(folder) if problem.severity == "error"]
    yield from bad
    for run in store.runs(folder) if not bad else ():
        if store.open_run(run).id != run.name:
            yield Problem("error", str(run / store.RUN), "the run's id is not its folder's name", PACK)


def _inside(problem: Problem, folder: Path) -> str:
    """Return a problem's place without the temporary folder into which the entry was unpacked."""
    return problem.where.replace(f"{folder}/", "")
