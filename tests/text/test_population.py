"""The population of an interval: named speakers, one speaker, or utterances whose speakers are unknown."""

import pytest

from greenbench.text.population import n_speakers, population


@pytest.mark.parametrize(
    ("speakers", "unit", "n"),
    [
        (["a", "b", "c", "d", "e"] * 2, "speakers like these 5", 5),
        (["a", "b", "c", "d"] * 2, "speakers like these 4, conservative", 4),
        (["a", "b", "c", "d", None], "speakers like these 5, those not known as one", 5),
        (["a", "b", None, None], "speakers like these 3, those not known as one, conservative", 3),
        (["a", "a"], "utterances of this 1 speaker", 1),
        ([None, None, None], "utterances like these 3, speakers unknown", None),
    ],
)
def test_the_unit_names_the_speakers_and_below_five_says_conservative(
    speakers: list[str | None], unit: str, n: int | None
) -> None:
    """Five speakers are enough, four are not; unknown ones count as one more; the unit gives their number back."""
    assert population(speakers).unit == unit
    assert n_speakers(unit) == n


def test_utterances_of_unknown_speakers_are_one_block() -> None:
    """All utterances without a speaker are resampled together, and none of them with a speaker of that name."""
    blocks = population(["a", None, "", None]).blocks
    assert blocks is not None
    assert blocks[1] == blocks[3]
    assert len(set(blocks)) == 3
