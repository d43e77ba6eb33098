"""What ``run --dry-run`` prints: the cells, all that is known of them beforehand, the least time, and the meters."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from greenbench.cli.console import echo
from greenbench.cli.output import count, print_table, print_text
from greenbench.cli.progress import SLOWER, duration

if TYPE_CHECKING:
    from greenbench.harness.foreseen import Foreseen
    from greenbench.suite.config import Suite


def print_plan(suite: "Suite", only: str | None, out: Path | None, as_json: bool) -> None:
    """Print the cells and what is known of them; on standard error whatever is wrong, missing or doubtful.

    Exits with 2 where a run would be refused, and with 1 where cells could not be measured.
    """
    from greenbench import meters
    from greenbench.harness import ahead, forecast
    from greenbench.harness.foreseen import joined
    from greenbench.harness.runner import check_only
    from greenbench.suite.plan import plan

    cells = plan(suite, only)
    check_only(suite, cells, only)
    foreseen = ahead.look(cells, on_gpus=True, allow_emulated=suite.allow_emulated)
    known = forecast.expected_s(out.parent if out else Path("results"), suite, cells)
    least_s, controls_s = forecast.least(suite, cells), forecast.controls_s(suite, cells)
    planned = [{**c.key, "expected_s": s, "least_s": least} for c, s, least in zip(cells, known, least_s, strict=True)]
    answers = [{"meter": name, "answers": reason or "yes"} for name, reason in meters.survey(suite.meters).items()]
    _print_foreseen(joined(foreseen))
    if as_json:
        found = {"cells": planned, "meters": answers, "foreseen": [asdict(one) for one in foreseen]}
        echo(json.dumps({**found, "controls_s": controls_s}, indent=2))
    else:
        print_table(f"{suite.name}: {count(len(cells), 'cell')}", [_shown(line) for line in planned], as_json=False)
        print_text(f"expected time: {expected(known, least_s, controls_s)}")
        echo()
        print_table("meters", answers, as_json=False)
    if any(one.kind in ("wrong", "missing", "lacking") for one in foreseen):
        raise typer.Exit(2 if any(one.kind == "wrong" for one in foreseen) else 1)


def _shown(line: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in line.items() if name != "least_s"}


def _print_foreseen(foreseen: Sequence["Foreseen"]) -> None:
    words = {"fetch": "to fetch", "doubt": "warning", "note": "note", "inapplicable": "skipped", "emulated": "skipped"}
    for one in foreseen:
        echo(f"{words.get(one.kind, 'error')}: {one}", err=True)


def expected(known: Sequence[float | None], least_s: Sequence[float], controls_s: float) -> str:
    """Say how long a run takes, by what cells took before and by the protocol for those that never ran.

    Args:
        known: seconds of each cell when it was last run the same way, or None.
        least_s: seconds that each cell takes at least by the suite alone.
        controls_s: seconds that the controls take at least.
    """
    before = [s for s in known if s is not None]
    new_s = [least for least, s in zip(least_s, known, strict=True) if s is None]
    each = f"{duration(new_s[0])} each" if len(set(new_s)) == 1 else f"{duration(sum(new_s))} in all"
    parts = [f"{count(len(before), 'cell')} took {duration(sum(before))} before"] if before else []
    parts += [f"{count(len(new_s), 'cell')} at least {each}{SLOWER}"] if new_s else []
    parts += [f"controls {duration(controls_s)}"] if controls_s else []
    at_least = "at least " if new_s else "about "
    return f"{at_least}{duration(sum(before) + sum(new_s) + controls_s)} ({', '.join(parts)})"
