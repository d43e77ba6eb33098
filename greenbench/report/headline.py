"""The first sentences of a page and of a run's table: what to ship, what else is near, and what was not shown."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from greenbench.analysis import choosing, references, summary
from greenbench.analysis.advice import MOST_REPEATS, MOST_TIMES, Lack, lacks
from greenbench.analysis.choosing import NEAR, Choice, ComparedBuild, Noise, Pick
from greenbench.analysis.gains import Gain, weakest
from greenbench.analysis.gate import Gate
from greenbench.metrics import METRICS
from greenbench.report import compression, leaders, sentences
from greenbench.report.content import Content
from greenbench.report.figures import number, quantity
from greenbench.report.leaders import Leader
from greenbench.results.flags import barring

N_PLATFORMS = 3
"""Platforms that are spoken of; of more, the number is."""

N_NAMED = 3
"""Builds, or cells, of one kind that are named."""


def headline(content: Content) -> list[str]:
    """Return the sentences that answer what to ship here, at least one.

    Args:
        content: what was read.
    """
    if not content.settings:
        return [_nothing(content.lines)]
    choices = choosing.choose(content.settings, content.all_gains, content.outside, content.far)
    shown = choices[:N_PLATFORMS]
    names = [f"On {_platform(choice)}: " if len(choices) > 1 else "" for choice in shown]
    said = [
        f"{name}{text}" for name, choice in zip(names, shown, strict=True) for text in _of_platform(choice, content)
    ]
    said += _no_energy(content.lines)
    if len(content.settings) > len(shown):
        about = "; ".join(choice.setting.label for choice in shown)
        said.append(f"These sentences are about {len(shown)} of {len(content.settings)} settings: {about}.")
    return said


def _platform(choice: Choice) -> str:
    return str(choice.setting.lines["device_name"].iloc[0])


def _of_platform(choice: Choice, content: Content) -> list[str]:
    """Return what is said of one platform: what to ship, what is near, what is not shown, and what disturbed."""
    gate = content.gate
    said = _shipped(choice, gate) if choice.builds else _unlinked(choice, content)
    if choice.near is not None and gate.by_parent and gate.rule == "margin" and gate.margin < NEAR:
        within = f"shown to be at most {100 * NEAR:g} points higher"
        more = f"{100 * NEAR:g} points more {METRICS[choice.near.gains.rate].label}"
        said.append(f"If {more} will do, use {_described(choice.near, within)}")
    asked = gate.margin if gate.rule == "margin" and gate.by_parent else None
    found = lacks(choice, asked)
    said += [f"Not shown for lack of evidence: {_lack(lack, gate)}" for lack in found[:N_NAMED]]
    said += [_noise(choice.noise, choice)] if choice.noise else []
    return [*said, *_flagged(choice)]


# --- what to ship ----------------------------------------------------------------------------------------


def _shipped(choice: Choice, gate: Gate) -> list[str]:
    if choice.picks:
        return [_pick(pick, len(choice.picks), gate) for pick in choice.picks]
    if not choice.fit:
        return ["No build can be recommended: each, or the model it is compared with, carries a flag."]
    inside = [build for build in choice.fit if build.is_inside]
    rate = METRICS[choice.fit[0].gains.rate].label
    kept = ", ".join(dict.fromkeys(str(build.gains.teacher.shared["variant"]) for build in choice.fit))
    if not inside:
        return [f"Keep {kept}: no build's {rate} is {_asked(gate)}."]
    return [f"Keep {kept}: no build whose {rate} is {_asked(gate)} is shown to be faster or need less energy."]


def _pick(pick: Pick, n_picks: int, gate: Gate) -> str:
    uses = {"speed": "for speed", "energy": "for the least energy", "size": "for its size"}
    is_all = n_picks == 1 and "speed" in pick.purposes
    purpose = "" if is_all else " " + " and ".join(uses[each] for each in pick.purposes)
    name = pick.build.label
    return f"Use {_described(pick.build, _asked(gate), purpose, name)}"


def _asked(gate: Gate) -> str:
    """Say what is shown of a WER that passes."""
    whose = f" than that of {gate.reference}" if gate.reference else ""
    if gate.rule == "none":
        return "not limited (--gate none)"
    if gate.rule == "mlperf-99":
        return f"within MLPerf's 99 % of {gate.reference or 'the reference'}'s word accuracy"
    return f"shown to be at most {100 * gate.margin:g} point{'s' * (gate.margin != 0.01)} higher{whose}"


def _described(build: ComparedBuild, shown: str, purpose: str = "", name: str | None = None) -> str:
    """Name a build, and say what it is against its reference: ratios with their intervals, and what its WER costs."""
    shared, other = build.gains.student.shared, build.gains.teacher.shared
    its = "its teacher " if references.relation(shared, other) == "teacher" else ""
    parts = [part for part in (_speed(build), _size(build.size), _energy(build)) if part]
    against = f"Against {its}{compression.teacher(build.gains)}: {', '.join(parts) or 'nothing else is known'}."
    return f"{name or build.label}{purpose}. {against} {_wer(build, shown)}"


def _speed(build: ComparedBuild) -> str | None:
    gain = build.speed
    if gain.value is None:
        return None
    is_open = gain.low is not None and not choosing.is_shown(gain) and not choosing.is_loss(gain)
    return f"{_times(gain)}, which is not shown to be a difference" if is_open else _times(gain)


def _times(gain: Gain) -> str:
    interval = "(measured once)" if gain.low is None else f"[{_ratio(gain.low)}, {_ratio(gain.high)}]"
    return f"{_ratio(gain.value)} times as fast {interval}"


def _ratio(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _size(gain: Gain) -> str | None:
    return None if gain.value is None else _less(gain.value, "smaller", "larger", "of the same size")


def _less(gain: float, less: str, more: str, same: str) -> str:
    """Say a factor, reference / build, in percent of the reference; twice as much and above as a multiple."""
    percent = 100 * (1 - 1 / gain)
    if abs(percent) < 0.5:
        return same
    figure = f"{abs(percent):.0f}" if abs(percent) < 99 else f"{abs(percent):.3g}"
    return f"{figure} % {less if percent > 0 else more}"


def _energy(build: ComparedBuild) -> str | None:
    gain = build.energy
    if gain.value is None:
        return None
    said = _less(gain.value, "less energy", "more energy", "as much energy")
    if gain.low is not None and gain.high is not None:
        sign = 1 if gain.value > 1 else -1
        ends = sorted(sign * 100 * (1 - 1 / end) for end in (gain.low, gain.high))
        said += f" [{round(ends[0])}, {round(ends[1])}]"
    shared = build.gains.student.shared
    method = weakest(*(cell.shared["energy_method"] for cell in (build.gains.student, build.gains.teacher)))
    if method == "estimated":
        return f"{said} (estimated)"
    return f"{said} (measured, scope {shared['energy_scope']})" if method else f"{said} (origin not stated)"


def _wer(build: ComparedBuild, shown: str) -> str:
    found = compression.difference(build.gains)
    rate = build.gains.rate
    own = quantity(rate, build.median(rate)) if rate in build.gains.student.spreads else "not known"
    is_own = f"Its {METRICS[rate].label} is {own}"
    return f"{is_own}, {found} points: {shown}." if found else f"{is_own}."


# --- where no build has a reference ----------------------------------------------------------------------


def _unlinked(choice: Choice, content: Content) -> list[str]:
    """Say who makes the fewest errors and who is fastest where nothing is made from anything else here."""
    lines, rate = choice.setting.lines, choice.setting.rate
    best = next(iter(leaders.leaders(lines, rate, content.counted)), None)
    if len(lines) == 1:
        return [_alone(lines.iloc[0].to_dict(), rate)]
    if best is None:
        return [f"Nothing here can be ranked: each cell carries a flag, or has no {METRICS[rate].label}."]
    fastest = next(iter(leaders.leaders(lines, "rtfx")), None)
    unlinked = "No build here was measured together with the model that it was made from, so none is chosen."
    return [unlinked, _best(best), *([_quickest(fastest)] if fastest else [])]


def _alone(line: Mapping[Any, Any], rate: str) -> str:
    errors = _errors(line, rate) if pd.notna(line[rate]) else f"no {METRICS[rate].label}"
    speed = f", {quantity('rtfx', line['rtfx'])}" if pd.notna(line["rtfx"]) else ""
    return (
        f"{line['label']}: {errors}{speed}. Measure its builds in the same run to see whether a smaller one will do "
        "(--builds int8-dynamic, or `builds:` in the suite)."
    )


def _errors(line: Mapping[Any, Any], rate: str) -> str:
    """Return an error rate with its name and, where it is known, its interval."""
    said = f"{METRICS[rate].label} {quantity(rate, line[rate])}"
    if pd.isna(line[f"{rate}_ci_low"]):
        return said
    return f"{said} (95 % interval {number(rate, line[f'{rate}_ci_low'])}–{number(rate, line[f'{rate}_ci_high'])})"


def _best(leader: Leader) -> str:
    errors = _errors(leader.line, leader.metric)
    if leader.rivals or leader.n_ranked == 1:
        found = f"{leader.line['label']} has {errors}{sentences.rivals(leader)}"
        return f"No model is shown to make the fewest errors: {found}."
    return f"{leader.line['label']} makes the fewest errors: {errors}."


def _quickest(leader: Leader) -> str:
    line, speed = leader.line, quantity("rtfx", leader.line["rtfx"])
    if leader.rivals or leader.n_ranked == 1:
        return f"No model is shown to be fastest: {line['label']} has {speed}{sentences.rivals(leader)}."
    return f"{line['label']} is fastest: {speed}."


# --- what was not shown, and why -------------------------------------------------------------------------


def _lack(lack: Lack, gate: Gate) -> str:
    build = lack.build
    if lack.about == "speed":
        return f"that {build.label} is faster. It is {_times(build.speed)}; {_more_repeats(lack)}."
    found = f"Its {METRICS[build.gains.rate].label} differs by {compression.difference(build.gains)} points"
    margin = f"{100 * gate.margin:g} point{'s' * (gate.margin != 0.01)}"
    more = f"{lack.n} times as many {lack.unit}" if lack.n else f"more than {MOST_TIMES} times as many {lack.unit}"
    remedy = f"about {more} would show it" if lack.n else f"it would take {more}"
    if lack.unit == "speaker":
        return f"that {build.label} errs at most {margin} more. {found}, of one speaker only; measure several."
    return f"that {build.label} errs at most {margin} more. {found}; {remedy}, if the difference stays."


def _more_repeats(lack: Lack) -> str:
    step = "rounds" if lack.unit == "rounds" else "repeats"
    if lack.build.speed.low is None:
        return "measure several rounds (--protocol standard)"
    if lack.n is None:
        return f"not even {MOST_REPEATS} {lack.unit} would, so take both to be equally fast, or find a quieter machine"
    return f"about {lack.n} {lack.unit} would show that (--set protocol.{step}={lack.n})"


def _noise(noise: Noise, choice: Choice) -> str:
    line = next(line for line in choice.setting.lines.to_dict("records") if line["label"] == noise.label)
    what = "speed" if noise.metric == "rtfx" else "estimated energy" if summary.is_estimated(line) else "energy"
    number_of = "Two" if noise.n == 2 else str(noise.n)
    cells = "1 cell is" if noise.n_cells == 1 else f"{noise.n_cells} cells are"
    is_quick = str(choice.setting.lines["protocol"].iloc[0]).startswith("quick")
    remedy = "run on a quiet machine, or with --protocol standard" if is_quick else "run on a quiet machine"
    return (
        f"{number_of} repeats of {noise.label} differed by {100 * noise.share:.0f} % in {what}, "
        f"so that {cells} not ranked: {remedy}."
    )


def _flagged(choice: Choice) -> list[str]:
    """Name the cells that other flags than that of noise keep out."""
    lines = choice.setting.lines
    left = {
        str(label): [flag for flag in barring(flags) if flag != "spread"]
        for label, flags in zip(lines["label"], lines["flags"], strict=True)
    }
    named = [f"{label} ({', '.join(flags)})" for label, flags in left.items() if flags]
    more = f" and {len(named) - N_NAMED} more" if len(named) > N_NAMED else ""
    return [f"Left out for their flags: {', '.join(named[:N_NAMED])}{more}."] if named else []


def _no_energy(lines: pd.DataFrame) -> list[str]:
    if lines[summary.ENERGY].notna().any():
        return []
    return ["Energy is not known: no meter answered (--estimate-energy gives a labelled estimate)."]


def _nothing(lines: pd.DataFrame) -> str:
    """Say that nothing was measured, and the first reason."""
    counts = {"failed": int((lines["status"] == "error").sum()), "skipped": int((lines["status"] == "skipped").sum())}
    fates = " and ".join(f"{n} {fate}" for fate, n in counts.items() if n)
    reasons = list(dict.fromkeys(str(reason) for reason in lines["reason"].dropna()))
    more = f" ({len(reasons) - 1} more in the table)" if len(reasons) > 1 else ""
    first = f" The first reason: {reasons[0]}{more}." if reasons else ""
    return f"Nothing was measured: of {len(lines)} cell{'s' * (len(lines) != 1)}, {fates}.{first}"
