"""Normalisers: what each does to a text is pinned, and its identifier changes whenever that could."""

import csv
from importlib.metadata import version
from pathlib import Path

import pytest

from greenbench import registry
from greenbench.errors import InputError
from greenbench.text import normalizers

GOLDEN = Path(__file__).parent / "golden" / "whisper_english.tsv"


def golden() -> list[list[str]]:
    """Pairs of a text and what the normaliser makes of it."""
    with GOLDEN.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]


@pytest.mark.parametrize(("text", "expected"), golden())
def test_whisper_english_is_as_it_was(text: str, expected: str) -> None:
    """Each text of the golden file comes out as recorded; a library that changes this changes every WER."""
    assert normalizers.create("whisper-english")[1].apply(text) == expected


def test_the_golden_file_exercises_the_rules() -> None:
    """The golden file is not a list of texts that come out as they went in."""
    pairs = golden()
    assert len(pairs) >= 25
    assert all(text.lower() != expected for text, expected in pairs)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("whisper-english", f"whisper-english@whisper-normalizer-{version('whisper-normalizer')}"),
        ("librispeech", "librispeech@1"),
        ("none", "none@1"),
    ],
)
def test_the_identifier_has_a_version(name: str, expected: str) -> None:
    """A row's normaliser is its name and version, and the version of a library's normaliser is the library's."""
    assert normalizers.create(name)[0] == expected


@pytest.mark.parametrize("name", registry.names("normalizers"))
def test_every_registered_normaliser_takes_any_text(name: str) -> None:
    """Every normaliser answers text with text, an empty one included."""
    _, normalizer = normalizers.create(name)
    assert normalizer.version
    assert normalizer.apply("") == ""
    assert isinstance(normalizer.apply("Un café, 20 % \u2026 \U0001f600"), str)


@pytest.mark.parametrize(("name", "expected"), [("librispeech", "MISTER O'BRIEN, UM"), ("none", "Mister O'Brien, um")])
def test_the_plain_normalisers(name: str, expected: str) -> None:
    """`librispeech` changes case only, and `none` nothing at all."""
    assert normalizers.create(name)[1].apply("Mister O'Brien, um") == expected


def test_an_unknown_normaliser_has_the_nearest_one() -> None:
    """A typo in the name is answered with the name that was meant."""
    with pytest.raises(InputError, match=r"unknown normalizer 'whisper-englsh'. Did you mean 'whisper-english'\?"):
        normalizers.create("whisper-englsh")
