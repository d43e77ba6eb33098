"""Scorers: what each counts is pinned, and a scoring is found by the name of its normaliser and scorer."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from greenbench import registry
from greenbench.errors import InputError
from greenbench.text import scorers

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", ["words", "compound"])
def test_a_scorer_counts_as_it_did(name: str) -> None:
    """Each pair has the counts recorded: a change without a new version would change every WER unseen."""
    head, *pairs = map(json.loads, (GOLDEN / f"scorer-{name}.jsonl").read_text(encoding="utf-8").splitlines())
    scoring = scorers.create(f"none+{name}")
    if scoring.scorer != head["id"]:
        pytest.skip(f"the golden file is of {head['id']}, installed is {scoring.scorer}: record it anew")
    found = [scoring.count_words(pair["reference"], pair["hypothesis"]) for pair in pairs]
    assert [[c.n, c.substitutions, c.deletions, c.insertions] for c in found] == [pair["counts"] for pair in pairs]


def test_the_two_differ_where_it_matters() -> None:
    """The same golden pairs are counted by both, and differ in a good part of them."""
    files = [(GOLDEN / f"scorer-{name}.jsonl").read_text().splitlines()[1:] for name in ("words", "compound")]
    pairs = [[(line["reference"], line["hypothesis"]) for line in map(json.loads, lines)] for lines in files]
    assert pairs[0] == pairs[1]
    assert sum(a != b for a, b in zip(*files, strict=True)) >= 15


def test_a_scoring_has_both_identifiers() -> None:
    """A row says normaliser and scorer, each with its version; plain word counting needs no name."""
    plain, tolerant = scorers.create("librispeech"), scorers.create("librispeech+compound")
    jiwer = version("jiwer")
    assert (plain.normalizer, plain.scorer) == ("librispeech@2", f"words@jiwer-{jiwer}")
    assert (tolerant.normalizer, tolerant.scorer) == ("librispeech@2", f"compound@1-jiwer-{jiwer}")
    assert plain.normalize("a") == tolerant.normalize("a") == "A"


@pytest.mark.parametrize("name", scorers.names())
def test_every_name_makes_a_scoring_and_comes_back_from_a_row(name: str) -> None:
    """Each name that a suite may give can be created, and is found again from the identifiers in a row."""
    scoring = scorers.create(name)
    assert scorers.name_of(scoring.normalizer, scoring.scorer) == name
    assert scoring.count_words("a b", "a b").edits == 0


def test_names_are_every_normaliser_with_every_scorer() -> None:
    """Each normaliser goes with each scorer."""
    n_scorers = len(registry.names("scorers"))
    assert len(scorers.names()) == len(registry.names("normalizers")) * n_scorers
    assert n_scorers >= 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("whisper-english+compund", "unknown scorer 'compund'. Did you mean 'compound'?"),
        ("libri+compound", "unknown normalizer 'libri'."),
    ],
)
def test_a_typo_has_the_nearest_name(name: str, message: str) -> None:
    """A typo in either half is answered with the name that was meant, by creating and by checking alike."""
    with pytest.raises(InputError) as raised:
        scorers.create(name)
    assert str(raised.value).startswith(message)
    assert scorers.unknown(["none", name]).startswith(f"unknown normalizer '{name}'.")
    assert scorers.unknown(["none", "none+compound"]) is None
