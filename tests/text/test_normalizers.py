"""Normalisers: what each does to a text is pinned, and its identifier changes whenever that could."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from greenbench import registry
from greenbench.errors import InputError
from greenbench.text import normalizers

GOLDEN = Path(__file__).parent / "golden"
BUILT_IN = ("librispeech", "none", "whisper-english")


def golden(name: str) -> tuple[str, list[tuple[str, str]]]:
    """The identifier that a golden file was recorded with, and its pairs of a text and what it became."""
    head, *lines = map(json.loads, (GOLDEN / f"normalizer-{name}.jsonl").read_text(encoding="utf-8").splitlines())
    return head["id"], [(line["text"], line["normalised"]) for line in lines]


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_normaliser_is_as_it_was(name: str) -> None:
    """Each text comes out as recorded: a change without a new version would change every WER unseen."""
    recorded, pairs = golden(name)
    identifier, normalizer = normalizers.create(name)
    if identifier != recorded:
        pytest.skip(f"the golden file is of {recorded}, installed is {identifier}: record it anew")
    assert [(text, normalizer.apply(text)) for text, _ in pairs] == pairs


def test_the_golden_file_exercises_the_rules() -> None:
    """The golden file of Whisper's normaliser is not a list of texts that come out as they went in."""
    pairs = [(text, normalised) for text, normalised in golden("whisper-english")[1] if text]
    assert len(pairs) >= 30
    assert all(text.lower() != normalised for text, normalised in pairs)


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
