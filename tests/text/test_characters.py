"""What cannot be seen makes no word another one; what an orthography needs stays."""

import unicodedata

import pytest

from greenbench import registry
from greenbench.text import scorers, wer
from greenbench.text.characters import as_read, holds_invisible, recount

MI_RAVAM = "\u0645\u06cc\u200c\u0631\u0648\u0645"
"""Persian "I go": one word with a zero-width non-joiner between its parts."""

INVISIBLE = [
    "\u200b", "\u200c", "\u200d", "\ufeff", "\u00ad", "\u200e", "\u200f", "\u061c", "\u202a", "\u202e", "\u2066",
    "\u2069", "\u2060", "\u2063", "\u206f", "\ufe0f", "\ufe00", "\u034f", "\u180e", "\U000e0101", "\U000e0065",
    "\ufff9", "\x00", "\x08", "\x7f",
]  # fmt: skip
SPACES = [
    "\u00a0",
    "\u202f",
    "\u2007",
    "\u2009",
    "\u3000",
    "\u205f",
    "\u1680",
    "\u2028",
    "\u2029",
    "\x85",
    "\x1f",
    "\u3164",
]


def errors(name: str, reference: str, hypothesis: str) -> list[int]:
    """Return the word and the character errors of a pair, and the words and characters of its reference."""
    how = scorers.create(name)
    score = wer.score([reference], [hypothesis], how.normalize, how.count_words)
    return [n for (counts,) in (score.words, score.chars) for n in (counts.edits, counts.n)]


@pytest.mark.parametrize("name", registry.names("normalizers"))
@pytest.mark.parametrize("char", INVISIBLE, ids=lambda char: f"{ord(char):04x}")
def test_invisible_characters_are_no_errors(name: str, char: str) -> None:
    """Within a word, at its edges and alone they change neither an error nor a count, on either side."""
    plain = "the cat sat"
    for odd in (f"the c{char}at sat", f"{char}the cat sat{char}", f"the cat{char} {char}sat", f"the {char} cat sat"):
        assert errors(name, plain, odd) == errors(name, odd, plain) == errors(name, plain, plain)


@pytest.mark.parametrize("name", registry.names("normalizers"))
@pytest.mark.parametrize("space", SPACES, ids=lambda char: f"{ord(char):04x}")
def test_every_space_divides_words(name: str, space: str) -> None:
    """A space that does not break, has no width of its own, or ends a line is one space."""
    for plain in ("the cat sat", "mr smith has 20 000 cats"):
        odd = plain.replace(" ", space)
        assert errors(name, plain, odd) == errors(name, odd, plain) == errors(name, plain, plain)


def test_letters_compose_across_what_is_left_out() -> None:
    """An accent behind a soft hyphen or a grapheme joiner is that of the letter before."""
    assert as_read("caf\u0065\u00ad\u0301") == as_read("caf\u0065\u034f\u0301") == "caf\u00e9"


@pytest.mark.parametrize(
    "text",
    [
        MI_RAVAM,  # between Arabic letters
        "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627",  # Persian "books"
        "\u0915\u094d\u200d\u0937",  # Devanagari: half form of ka before ssa
        "\u0915\u094d\u200c\u0937",  # the same with the virama shown
        "\u09b0\u200d\u09cd\u09af\u09be\u09ac",  # Bengali: ya-phala after ra, the joiner before the virama
        "\u0d05\u0d35\u0d28\u0d4d\u200d",  # Malayalam chillu at the end of a word, as it was stored before Unicode 5.1
        "\u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Sinhala "sri"
        "\u1828\u180b",  # Mongolian letter with the mark that chooses its form
        "\u0661\u0662 \u06dd \u0600",  # Arabic signs of category Cf that are seen
    ],
)
def test_joiners_stay_where_the_orthography_needs_them(text: str) -> None:
    """They distinguish what is read, so they are kept, and a text without them is another one."""
    assert as_read(text) == unicodedata.normalize("NFC", text)
    assert not holds_invisible(text)


def test_a_persian_word_is_another_without_its_joiner() -> None:
    """Written as two words, or as one without the joiner, it is a word error, as people who read it would say."""
    assert errors("none", MI_RAVAM, MI_RAVAM)[:2] == [0, 1]
    assert errors("none", MI_RAVAM, MI_RAVAM.replace("\u200c", ""))[:2] == [1, 1]
    assert errors("none", MI_RAVAM, MI_RAVAM.replace("\u200c", " "))[0] == 2


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"{MI_RAVAM}\u200c", MI_RAVAM),
        (f"\u200d{MI_RAVAM} \u200c.", f"{MI_RAVAM} ."),
        ("\u0645\u06cc\u200c\u200c\u0631", "\u0645\u06cc\u200c\u0631"),
        ("\u0645\u06cc\u00ad\u0631", "\u0645\u06cc\u0631"),
        ("\u0915\u094d\u200c ", "\u0915\u094d "),
        ("a\u200cb \u0645\u200cb", "ab \u0645b"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\U0001f469"),
    ],
)
def test_joiners_elsewhere_are_left_out(text: str, read: str) -> None:
    """At the edge of a word, twice in a row, or beside letters of other scripts a joiner is not seen."""
    assert as_read(text) == read
    assert holds_invisible(text)


def test_a_zero_width_space_divides_words_where_nothing_else_does() -> None:
    """Khmer and Thai are written without spaces and divided by it; elsewhere it is not seen."""
    assert as_read("\u1781\u17d2\u1798\u17c2\u179a\u200b\u1785\u17b6") == "\u1781\u17d2\u1798\u17c2\u179a \u1785\u17b6"
    assert as_read("one\u200bword") == "oneword"


@pytest.mark.parametrize("name", ["librispeech", "none", "whisper-basic"])
@pytest.mark.parametrize(
    ("reference", "hypothesis", "n_errors", "n_chars"),
    [
        # Chinese, "the weather is fine today", and with another last character
        ("\u4eca\u5929 \u5929\u6c14 \u5f88 \u597d", "\u4eca\u5929\u5929\u6c14\u5f88\u597d", 0, 6),
        ("\u4eca\u5929 \u5929\u6c14 \u5f88 \u597d", "\u4eca\u5929\u5929\u6c14\u5f88\u574f", 1, 6),
        # Japanese, with the sign of a long vowel before a space
        ("\u6771\u4eac \u30bf\u30ef\u30fc \u3067\u3059", "\u6771\u4eac\u30bf\u30ef\u30fc\u3067\u3059", 0, 7),
        # Thai, by a space and by one of no width
        ("\u0e27\u0e31\u0e19 \u0e14\u0e35", "\u0e27\u0e31\u0e19\u0e14\u0e35", 0, 5),
        ("\u0e27\u0e31\u0e19\u200b\u0e14\u0e35", "\u0e27\u0e31\u0e19\u0e14\u0e35", 0, 5),
        # the space between Latin words counts, and so do Korean ones
        ("\u6211 \u7528 big data \u4e86", "\u6211\u7528big data\u4e86", 0, 11),
        ("\uc624\ub298 \ub0a0\uc528", "\uc624\ub298\ub0a0\uc528", 1, 5),
    ],
)
def test_a_script_without_spaces_has_none_to_get_wrong(
    name: str, reference: str, hypothesis: str, n_errors: int, n_chars: int
) -> None:
    """References are often cut into words, which their orthography does not write: CER does not count these spaces."""
    assert errors(name, reference, hypothesis)[2:] == [n_errors, n_chars]
    assert errors(name, hypothesis, reference)[2] == n_errors


def test_older_counts_of_segmented_texts_are_explained() -> None:
    """A row whose spaces were counted is told from one that was changed."""
    assert "spaces in a script that writes none" in str(recount(["\u4eca\u5929 \u5f88", "today"]))
    assert recount(["today it", "\uc624\ub298 \ub0a0"]) is None


def test_a_text_of_a_million_joiners_is_read_at_once() -> None:
    """Time grows with the length: neighbours are looked at, and no copies are made of what is before them."""
    assert as_read("a\u200b" * 500_000) == "a" * 500_000
