"""Transcripts are spelt in the model's vocabulary, or refused where it cannot write them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from greenbench.compress.distill.spelling import check
from greenbench.errors import InputError
from greenbench.models.spelling import speller
from greenbench.plugins import Context, Utterance

pytest.importorskip("transformers")

LOWER, UPPER = "abcdefghijklmnopqrstuvwxyz'", "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
SILENCE = np.zeros(16_000, np.float32)


def tokenizer_of(folder: Path, letters: str, delimiter: str = "|", **settings: object) -> object:
    from transformers import Wav2Vec2CTCTokenizer

    tokens = ["<pad>", "<s>", "</s>", "<unk>", *([delimiter] if delimiter else []), *letters]
    path = folder / "vocab.json"
    path.write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    return Wav2Vec2CTCTokenizer(str(path), **settings)


@pytest.mark.parametrize(
    ("letters", "text", "spelt", "unknown"),
    [
        (LOWER, "THE FULL DUCK", "the full duck", ""),
        (UPPER, "the full duck", "THE FULL DUCK", ""),
        (LOWER, "Don\u2019t \u2013 say: \u201cyes\u201d!", "don't say yes", ""),
        (LOWER, "twenty-one|two  three\n", "twenty onetwo three", ""),
        (LOWER + "-.", "Twenty-one.", "twenty-one.", ""),
        (LOWER + UPPER[:26], "The Duck", "The Duck", ""),
        (LOWER + "\u00e9", "CAF\u00c9 cafe\u0301", "caf\u00e9 caf\u00e9", ""),
        (LOWER, "caf\u00e9 7", "caf", "\u00e97"),
        (UPPER, "stra\u00dfe", "STRASSE", ""),
        (LOWER, "\u043c\u0438\u0440", "", "\u043c\u0438\u0440"),
    ],
)
def test_texts_are_written_as_the_vocabulary_can(
    tmp_path: Path, letters: str, text: str, spelt: str, unknown: str
) -> None:
    """Case, composed accents, apostrophes and dashes follow the vocabulary; letters that it lacks are named."""
    tokenizer = tokenizer_of(tmp_path, letters)
    found = speller(tokenizer)(text)
    assert (found.text, found.unknown) == (spelt, unknown)
    assert tokenizer.unk_token_id not in tokenizer(found.text).input_ids


@pytest.mark.parametrize("piece", ["ch", "[MUSIC]"])
def test_a_token_of_several_letters_does_not_hide_the_case(tmp_path: Path, piece: str) -> None:
    """Capitals before a vocabulary of small letters are folded, and what it lacks is counted, whatever else it has."""
    plain = tokenizer_of(tmp_path, LOWER)
    vocabulary = plain.get_vocab()
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary | {piece: len(vocabulary)}))
    tokenizer = type(plain)(
        str(tmp_path / "vocab.json"),
        pad_token=plain.pad_token, unk_token=plain.unk_token, word_delimiter_token=plain.word_delimiter_token,
    )  # fmt: skip
    found = speller(tokenizer)("THE FULL DUCK")
    assert (found.text, found.n_letters, found.unknown) == ("the full duck", 11, "")
    assert len(speller(tokenizer)("\u043c\u0438\u0440 a").unknown) == 3


def test_a_vocabulary_without_a_delimiter_has_no_spaces(tmp_path: Path) -> None:
    """Where words are not separated in the vocabulary, a space is no unknown token."""
    tokenizer = tokenizer_of(tmp_path, LOWER, delimiter="")
    found = speller(tokenizer)("The full")
    assert found.text == "thefull"
    assert tokenizer.unk_token_id not in tokenizer(found.text).input_ids


def test_tokenizers_that_fold_themselves_agree(tmp_path: Path) -> None:
    """``do_lower_case`` of transformers turns letters to capitals, which is what the vocabulary has then."""
    tokenizer = tokenizer_of(tmp_path, UPPER, do_lower_case=True)
    assert tokenizer.unk_token_id not in tokenizer(speller(tokenizer)("the full duck").text).input_ids


def context(tmp_path: Path, train: str, validation: str = "a", letters: str = LOWER) -> tuple[Context, list[str]]:
    told: list[str] = []
    spoken = [Utterance(str(i), SILENCE, text) for i, text in enumerate((train, validation))]
    return Context(
        tokenizer=tokenizer_of(tmp_path, letters), train=spoken[:1], validation=spoken[1:], folder=tmp_path,
        observe=lambda event: told.append(event.text),
    ), told  # fmt: skip


@pytest.mark.parametrize(
    ("train", "validation", "losses", "message"),
    [
        (
            "\u043c\u0438\u0440 a",
            "a",
            {"ctc": 1.0},
            r"75 % of the letters of the training transcripts .*\('\u043c' 1 times, ",
        ),
        ("room 1984", "a", {"ctc": 1.0, "kl": 1.0}, r"50 % of the letters of the training .*numbers as words"),
        ("a", "\u4f60\u597d", {"kl": 1.0}, r"100 % of the letters of the validation transcripts"),
    ],
)
def test_transcripts_that_the_model_cannot_write_are_refused(
    tmp_path: Path, train: str, validation: str, losses: dict, message: str
) -> None:
    """Before a step is taken, the share of unknown letters is said with the commonest of them."""
    given, _ = context(tmp_path, train, validation)
    with pytest.raises(InputError, match=message):
        check(given, "ctc" in losses)


def test_a_few_unknown_letters_are_left_out_and_told(tmp_path: Path) -> None:
    """Under one in a hundred they are named once and left out; transcripts that no loss looks at do not matter."""
    given, told = context(tmp_path, "a" * 199 + "\u00e9")
    check(given, needs_transcripts=True)
    assert told == ["0.5 % of the letters of the training transcripts are not in the model's vocabulary and left out "
                    "('\u00e9' 1 times)"]  # fmt: skip
    check(replace(given, train=[Utterance("x", SILENCE, "\u043c\u0438\u0440")]), needs_transcripts=False)
