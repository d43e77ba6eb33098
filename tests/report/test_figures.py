"""How numbers and variants look to people; what is drawn of them is tested in a browser."""

import pytest

from greenbench.analysis.summary import ENERGY
from greenbench.report import figures


def test_every_variant_has_its_own_look() -> None:
    """Seventy variants differ in colour or symbol, and the first seven in both."""
    given = figures.looks([f"v{i}" for i in range(70)])
    assert len({(look.colour, look.symbol) for look in given.values()}) == 70
    first = list(given.values())[:7]
    assert len({look.colour for look in first}) == len({look.symbol for look in first}) == 7


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("wer", 0.0342, "3.42 %"),
        ("rtfx", 14.0, "14.0 x real time"),
        ("peak_rss_bytes", 1_500_000_000, "1,500 MB"),
        ("load_s", 0.01234, "0.0123 s"),
        (ENERGY, None, "– J"),
    ],
)
def test_numbers_are_written_with_the_unit_they_are_shown_in(metric: str, value: float | None, text: str) -> None:
    """A number for people is scaled to its unit; a missing one is a dash and not a 0."""
    assert figures.quantity(metric, value) == text
