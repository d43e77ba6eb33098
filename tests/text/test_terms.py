"""Terms: which are said, and which of them were recognised, counted by hand."""

from pathlib import Path

import pytest

from greenbench.datasets.quickstart import Quickstart
from greenbench.errors import InputError
from greenbench.suite.entries import DatasetEntry, corpus_of, resolve_dataset
from greenbench.text import scorers, terms
from greenbench.text.scorers import TextPair
from greenbench.text.terms import TermCounts, count, spoken


@pytest.mark.parametrize(
    ("listed", "reference", "hypothesis", "expected"),
    [
        (["paris"], "from paris to rome", "from paris to roam", (1, 1)),
        (["paris", "rome"], "from paris to rome", "from paris to roam", (2, 1)),
        (["new york"], "in new york now", "in new york now", (1, 1)),
        (["new york"], "in new york now", "in new pork now", (1, 0)),
        (["new york"], "in new york now", "in new old york now", (1, 0)),
        (["new york"], "in new york now", "in a new york is now", (1, 1)),
        (["new york"], "new york is not new york city", "new york is not newark city", (2, 1)),
        (["new york", "york city"], "new york city", "new york city", (2, 2)),
        (["a a"], "a a a", "a a a", (2, 2)),
        (["b"], "a b c", "", (1, 0)),
        (["b"], "a c", "b", (0, 0)),
        (["b"], "b", "x b", (1, 1)),
    ],
)
def test_recall_by_hand(listed: list[str], reference: str, hypothesis: str, expected: tuple[int, int]) -> None:
    """Each occurrence counts once, and is recognised where every word of it is, with nothing in between."""
    assert count(listed, reference, hypothesis) == TermCounts(*expected)


def test_terms_are_found_whatever_their_case_and_punctuation() -> None:
    """A list is written as people write, a transcript as its corpus does; parts of words are no terms."""
    assert spoken(["New York", "Rome", "art"], "IN NEW YORK, PARTLY") == ("New York",)
    assert spoken(["", "--"], "a b") == ()


def test_a_corpus_has_its_recall_with_an_interval() -> None:
    """3 of 4 occurrences are 75 %; the interval holds it; without a term each column is null."""
    heard = ["paris", "paris", "paris", "bares"]
    texts = [TextPair("go to PARIS", f"go to {text}", None, (), ("Paris",)) for text in heard]
    figures, _ = scorers.accuracy(texts, scorers.create("whisper-english"))
    assert (figures["term_recall"], figures["n_ref_terms"], figures["n_terms_recognised"]) == (0.75, 4, 3)
    assert 0 <= figures["term_recall_ci_low"] < 0.75 < figures["term_recall_ci_high"] < 1
    figures, _ = scorers.accuracy([text._replace(terms=()) for text in texts], scorers.create("none"))
    names = ("term_recall", "term_recall_ci_low", "n_ref_terms", "n_terms_recognised")
    assert {figures[name] for name in names} == {None}
    assert terms.metrics([], [])["term_recall"] is None


def test_an_entry_lists_terms_by_file_or_by_name(tmp_path: Path) -> None:
    """A file has a term a line, and the resolved suite the terms themselves, so that it says what was asked for."""
    first, second, *_, last = next(Quickstart()()).reference.split()
    (tmp_path / "terms.txt").write_text(f"# what it is about\n{last.upper()}\n\n {first}  {second.title()} \n")
    (resolved,) = resolve_dataset(DatasetEntry(use="quickstart", limit=1, terms="terms.txt"), tmp_path)
    assert resolved["terms"] == [last.upper(), f"{first} {second.title()}"]
    (utterances,) = corpus_of(DatasetEntry(**resolved)).chunks()
    assert utterances[0].terms == (last.upper(), f"{first} {second.title()}")
    with pytest.raises(InputError, match="cannot be read"):
        resolve_dataset(DatasetEntry(use="quickstart", terms="nowhere.txt"), tmp_path)
