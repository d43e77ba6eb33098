"""Normalisers: what each does to a text is pinned, and its identifier changes whenever that could."""

import json
import unicodedata
from importlib.metadata import version
from pathlib import Path

import pytest

from greenbench import registry
from greenbench.errors import InputError
from greenbench.text import normalizers, scorers
from greenbench.text import wer as text_wer

GOLDEN = Path(__file__).parent / "golden"
BUILT_IN = ("librispeech", "none", "whisper-basic", "whisper-english")


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
        ("whisper-english", f"whisper-english@2-whisper-normalizer-{version('whisper-normalizer')}"),
        ("whisper-basic", f"whisper-basic@1-whisper-normalizer-{version('whisper-normalizer')}"),
        ("librispeech", "librispeech@2"),
        ("none", "none@2"),
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
    """`librispeech` changes case only, and `none` nothing but Unicode's form."""
    assert normalizers.create(name)[1].apply("Mister O'Brien, um") == expected


def wer(name: str, reference: str, hypothesis: str) -> tuple[int, int]:
    """Return the word errors and the words of one pair."""
    how = scorers.create(name)
    counted = text_wer.total(text_wer.score([reference], [hypothesis], how.normalize, how.count_words).words)
    return counted.edits, counted.n


@pytest.mark.parametrize("name", [*registry.names("normalizers"), "none+compound", "whisper-basic+compound"])
@pytest.mark.parametrize(
    "text", ["déjà vu à Malmö", "안녕하세요 여러분", "tiếng Việt rất đẹp", "हिन्दी क़लम", "Å\u212b \u03a9\u2126"]
)
def test_the_form_in_which_letters_are_stored_is_no_error(name: str, text: str) -> None:
    """The same text composed and decomposed has no word and no character wrong, in either order."""
    how = scorers.create(name)
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")] + [text]
    for reference in forms:
        for hypothesis in forms:
            score = text_wer.score([reference], [hypothesis], how.normalize, how.count_words)
            assert [counts.edits for counts in (*score.words, *score.chars)] == [0, 0]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "words"),
    [
        ("Schön war der Baum.", "schon war der baum", 1, 4),
        ("वह किताब है", "वह कताब ह", 2, 3),
        ("वह किताब है।", "वह किताब है", 0, 3),
        ("Où est-il ?", "ou est il", 1, 3),
        ("L\u2019été, c'est DÉJÀ fini.", "l'été c\u2019est déjà fini", 0, 6),
        ("two nine eight one", "2981", 4, 4),
        ("Привет, мир!", "привет мир", 0, 2),
        ("สวัสดี ครับ", "สวัสดี ครบ", 1, 2),
    ],
)
def test_whisper_basic_keeps_marks_in_every_language(reference: str, hypothesis: str, errors: int, words: int) -> None:
    """Case and punctuation do not count, and every letter with its marks does; counted by hand."""
    assert wer("whisper-basic", reference, hypothesis) == (errors, words)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "words"),
    [
        ("I don\u2019t know what it\u2019s for", "I don't know what it's for", 0, 8),
        ("he said \u2018hello\u2019", "he said hello", 0, 3),
        ("They\u02bcre o\uff07clock", "they're o'clock", 0, 4),
        ("two nine eight one", "2981", 0, 1),
        ("schön", "schon", 0, 1),
    ],
)
def test_what_whisper_english_does_on_purpose(reference: str, hypothesis: str, errors: int, words: int) -> None:
    """Apostrophes are one character however they are set; spelt digits are one number; marks are taken off."""
    assert wer("whisper-english", reference, hypothesis) == (errors, words)


@pytest.mark.parametrize(
    ("name", "reference", "hypothesis", "errors", "words"),
    [
        ("german", "Zweihundert Gäste, drei Hunde.", "200 gäste 3 hunde", 0, 4),
        ("german", "Ein Haus für 1.500 Leute", "ein haus für tausendfünfhundert leute", 0, 5),
        ("german", "schön", "schon", 1, 1),
        ("dutch", "Vijfentwintig mensen", "25 mensen", 0, 2),
        ("italian", "Ventuno città", "21 città", 0, 2),
        ("italian", "città", "citta", 1, 1),
        ("portuguese", "vinte e um cães", "21 cães", 0, 2),
        ("french", "J\u2019ai vingt et un élèves.", "j'ai 21 élèves", 0, 4),
        ("french", "élève", "eleve", 1, 1),
        ("spanish", "Veintiún niños", "21 niños", 0, 2),
        ("arabic", "كَتَبَ أحمد ٣ كتب", "كتب احمد 3 كتب", 0, 4),
        ("russian", "Ёлка стоит 1 000 рублей", "елка стоит 1000 рублей", 0, 4),
        ("chinese", "二〇二六年", "2026年", 0, 1),
    ],
)  # fmt: skip
def test_rules_of_a_language(name: str, reference: str, hypothesis: str, errors: int, words: int) -> None:
    """Numbers are digits, and diacritics are what they are to readers of the language; counted by hand."""
    assert wer(name, reference, hypothesis) == (errors, words)


@pytest.mark.parametrize(
    ("texts", "share"),
    [
        (["abc", "d e"], 0.0),
        (["schön war der Baum"], 100 / 15),
        ([unicodedata.normalize("NFD", "schön war der Baum")], 100 / 15),
        (["Привет"], 100.0),
        (["वह"], 100.0),
        (["20 % … 3.5 €", ""], None),
        ([], None),
    ],
)
def test_the_share_of_letters_that_are_not_english(texts: list[str], share: float | None) -> None:
    """Letters and marks count, whatever form they are stored in; digits and signs do not."""
    found = normalizers.non_english_pct(texts)
    assert found == (None if share is None else pytest.approx(share))


@pytest.mark.parametrize(
    ("normalizer", "share", "warned"),
    [
        ("whisper-english@2-whisper-normalizer-0.1.15", 6.7, True),
        ("whisper-english@whisper-normalizer-0.1.15", 1.0, True),
        ("whisper-english", 0.1, False),
        ("whisper-english", None, False),
        ("whisper-basic@1-whisper-normalizer-0.1.15", 100.0, False),
        ("librispeech@2", 100.0, False),
    ],
)
def test_only_the_english_normaliser_warns_of_other_languages(
    normalizer: str, share: float | None, warned: bool
) -> None:
    """The sentence has the share and the normaliser that fits."""
    said = normalizers.misfit(normalizer, share)
    assert (said is not None) == warned
    if said:
        assert f"{share:.1f} %" in said
        assert "whisper-basic" in said


def test_an_unknown_normaliser_has_the_nearest_one() -> None:
    """A typo in the name is answered with the name that was meant."""
    with pytest.raises(InputError, match=r"unknown normalizer 'whisper-englsh'. Did you mean 'whisper-english'\?"):
        normalizers.create("whisper-englsh")
