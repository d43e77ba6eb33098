"""A published data set's name is held against what it is known to hold."""

import re

import pytest

from greenbench.datasets.corpus import Corpus
from greenbench.datasets.known import KNOWN, contradiction, is_pinned, meant
from greenbench.datasets.librispeech import ARCHIVES
from greenbench.datasets.quickstart import Quickstart

HASH = KNOWN["quickstart/unseen"].data_hash


@pytest.mark.parametrize(
    "data", [Quickstart(), Quickstart("seen"), Quickstart("unseen"), Quickstart("all", "unlabelled")]
)
def test_the_bundled_speech_is_the_one_that_is_pinned(data: Quickstart) -> None:
    """Passing over the package's files gives the pinned counts and hash, on every machine."""
    corpus = Corpus(data)
    texts = [u.reference for chunk in corpus.chunks() for u in chunk]
    assert corpus.stats is not None
    assert corpus.stats.data_hash == KNOWN[data.label].data_hash
    assert contradiction(data.label, corpus.stats.data_hash, texts) is None


def test_every_evaluation_split_of_librispeech_is_known() -> None:
    """The four splits that boards are about are there under the names that rows have; hashes are well-formed."""
    splits = {name for name in KNOWN if name.startswith("librispeech/")}
    assert splits == {f"librispeech/{part}" for part in ("dev-clean", "dev-other", "test-clean", "test-other")}
    assert splits <= {f"librispeech/{subset}" for subset in ARCHIVES}
    assert all(k.data_hash is None or re.fullmatch(r"v2-[0-9a-f]{16}", k.data_hash) for k in KNOWN.values())
    assert is_pinned("quickstart")
    assert not is_pinned("mine")


@pytest.mark.parametrize(
    ("name", "data_hash", "references", "told"),
    [
        ("librispeech/test-other", "v2-0123456789abcdef", ["A B"] * 60, "has 2939 utterances, this has 60"),
        ("librispeech/test-clean", "v2-0123456789abcdef", ["A"] * 2620, "has 52576 words, this has 2620"),
        ("quickstart/unseen", "v2-0123456789abcdef", ["a"] * 59 + ["a " * 480], f"is {HASH}, this is v2-0123"),
    ],
)
def test_other_data_under_the_name_is_told(name: str, data_hash: str, references: list[str], told: str) -> None:
    """Another number of utterances or words, or another hash, is no data of that name; both figures are said."""
    assert told in str(contradiction(name, data_hash, references))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LibriSpeech/test-clean", "librispeech/test-clean"),
        ("librisp\u0435ech/test-clean", "librispeech/test-clean"),
        ("quickstart-seen ", "quickstart/seen"),
        ("test-clean", None),
        ("librispeech/test-clean[:40]", None),
        ("mine/test-clean", None),
        ("\u8a9e\u97f3" * 5, None),
        ("quick", None),
    ],
)
def test_a_name_that_reads_like_a_published_one_means_it(name: str, expected: str | None) -> None:
    """Case, signs, what nobody sees and letters of other scripts make no other name; parts and one's own are others."""
    assert meant(name) == expected


def test_what_cannot_be_held_against_anything_is_not_refused() -> None:
    """Names of one's own, parts, and hashes of an older form say nothing against the data."""
    assert contradiction("mine", "v2-0123456789abcdef", ["A"]) is None
    assert contradiction("librispeech/test-other[:60]", "v2-0123456789abcdef", ["A"] * 60) is None
    assert contradiction("quickstart/unseen", "0123456789abcdef", ["a"] * 59 + ["a " * 480]) is None
