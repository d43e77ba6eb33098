"""The table of metrics: units in the names, and formulas that agree with physics."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import greenbench
from greenbench.meters.energy import PARTS, part_column
from greenbench.metrics import (
    BY_ORTHOGRAPHY,
    BY_SLICE,
    BY_TERM,
    DETECTION,
    METRICS,
    co2e_g,
    cost_per_audio_hour,
    energy_net_j,
    padding_pct,
    ratio,
)
from greenbench.provenance import PROVENANCE
from greenbench.results.record import KEYS

UNITS = {
    "s": "s", "j": "J", "w": "W", "g": "g", "bytes": "bytes", "bits": "bit", "hz": "Hz", "pct": "%", "c": "°C",
    "macs": "1", "cost": "currency",
}  # fmt: skip
PURE = {
    "wer", "wer_ci_low", "wer_ci_high", "cer", "cer_ci_low", "cer_ci_high", "rtfx", "stream_rtf", "revisions_per_word",
    "recompute_factor", "max_streams", "mean_layers", *BY_SLICE, *BY_TERM,
    *BY_ORTHOGRAPHY, *DETECTION,
}  # fmt: skip

positive = st.floats(0.001, 1e6)


def declared_unit(name: str) -> str:
    """The unit that a column's name states, of the numerator where it is a rate."""
    if name.startswith("n_") or name in PURE:
        return "1"
    return UNITS[name.partition("_per_")[0].rpartition("_")[2]]


@pytest.mark.parametrize("name", METRICS)
def test_the_unit_ends_the_name(name: str) -> None:
    """Every metric's name states the unit that the table declares; counts begin with n_."""
    assert METRICS[name].unit.split("/")[0] == declared_unit(name)


@pytest.mark.parametrize("name", METRICS)
def test_names_are_identifiers_of_their_own(name: str) -> None:
    """A metric is usable as a keyword and is not taken for a key or provenance column."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert name not in (*KEYS, *PROVENANCE, "status", "reason", "flags")


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_tells_what_it_is(name: str) -> None:
    """Every metric has a direction, a label of its own and a sentence."""
    metric = METRICS[name]
    assert metric.better in ("lower", "higher", "neither")
    assert metric.about
    assert [m.label for m in METRICS.values()].count(metric.label) == 1


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [(1, 4, 0.25), (0, 4, 0.0), (0.0, 0.0, None), (1, 0, None), (None, 1, None), (1, None, None)],
)
def test_a_ratio_of_the_unknown_is_unknown(numerator, denominator, expected) -> None:
    """A ratio is None where a part is unknown or the denominator is 0, and 0 only where the numerator is 0."""
    assert ratio(numerator, denominator) == expected


@given(watts=positive, seconds=positive, idle=positive)
def test_joules_are_watts_times_seconds(watts: float, seconds: float, idle: float) -> None:
    """Net energy at constant power is (power - idle power) x time, negative where idling took more."""
    net = energy_net_j(watts * seconds, idle, seconds)
    assert net == pytest.approx((watts - idle) * seconds, abs=1e-9 * (watts + idle) * seconds)


@given(kilowatts=positive, hours=positive, factor=positive)
def test_a_kilowatt_for_an_hour_is_a_kilowatt_hour(kilowatts: float, hours: float, factor: float) -> None:
    """CO2e of W x s converted to kWh is kWh x grid factor, with no thousand or 3600 lost on the way."""
    joules = (kilowatts * 1000) * (hours * 3600)
    assert co2e_g(joules, factor) == pytest.approx(kilowatts * hours * factor)
    assert co2e_g(joules, factor, pue=1.5) == pytest.approx(1.5 * kilowatts * hours * factor)


@pytest.mark.parametrize("known", [(None, 1.0, 1.0), (1.0, None, 1.0), (1.0, 1.0, None)])
def test_net_energy_needs_every_part(known) -> None:
    """Net energy is None, never gross, where the idle power or the time is unknown."""
    assert energy_net_j(*known) is None


def test_no_grid_factor_no_co2() -> None:
    """Without joules or without a grid factor there is no CO2 figure; a factor of 0 gives 0."""
    assert co2e_g(1.0, None) is None
    assert co2e_g(None, 56.0) is None
    assert co2e_g(1.0, 0.0) == 0


@given(price=positive, rtfx=positive, hours=positive)
def test_the_machine_is_paid_for_the_hours_that_it_computes(price: float, rtfx: float, hours: float) -> None:
    """The cost of so many hours of audio is the price of an hour x the hours that the machine takes for them."""
    assert cost_per_audio_hour(price, rtfx) * hours == pytest.approx(price * (hours / rtfx))


def test_no_price_no_cost() -> None:
    """Without a price or a speed there is no cost, rather than one of 0."""
    assert cost_per_audio_hour(None, 10.0) is None
    assert cost_per_audio_hour(0.5, None) is None


@pytest.mark.parametrize(("audio_s", "padded_s", "pct"), [(7.5, 10.0, 25.0), (10.0, 10.0, 0.0), (0.0, 0.0, None)])
def test_padding_is_the_share_that_is_no_audio(audio_s: float, padded_s: float, pct: float | None) -> None:
    """Of 10 s computed for 7.5 s of audio a quarter is padding; of nothing computed there is no share."""
    assert padding_pct(audio_s, padded_s) == pct


@pytest.mark.parametrize("name", PROVENANCE)
def test_a_provenance_column_holds_what_its_name_says(name: str) -> None:
    """A name that ends in a unit holds numbers, a count whole ones, ``_utc`` times; two columns are true or false."""
    ends = {
        "number": ("_s", "_j", "_c", "_pct", "_kwh", "_rtfx", "_j_per_audio_s", "_pue", "_per_hour"),
        "whole": ("_batches", "_year", "_index", "threads", "schema"),
        "time": ("_utc",),
        "flag": ("synthetic", "exclusive"),
    }
    stated = next((kind for kind, endings in ends.items() if name.endswith(endings)), "text")
    assert PROVENANCE[name].kind == ("whole" if name.startswith("n_") else stated)


def test_columns_of_energy_are_composed_in_one_place() -> None:
    """All parts have joules and an origin in the tables, and only one function puts such a name together."""
    assert {part_column(part) for part in PARTS} <= set(METRICS)
    assert {part_column(part, what) for part in PARTS for what in ("method", "source", "note")} <= set(PROVENANCE)
    package = Path(greenbench.__file__).parent
    composed = [path.name for path in package.rglob("*.py") for _ in re.findall(r"energy_\{", path.read_text("utf-8"))]
    assert composed == ["energy.py"]
