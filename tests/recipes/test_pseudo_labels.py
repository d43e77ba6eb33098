"""Pseudo labels: which texts of a teacher are learned as transcripts, and what the lineage says of the others."""

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from greenbench.errors import InputError
from greenbench.models import lineage
from greenbench.models.lineage import Training
from greenbench.plugins import Clip, Context, Utterance
from greenbench.plugins.events import Event, Phase
from greenbench.recipes import recipe
from greenbench.recipes.pseudo_labels import (
    PseudoLabels,
    TeacherText,
    error_rates,
    frames_needed,
    histogram,
    objection,
    relabelled,
    teacher_text,
)
from greenbench.recipes.speech import OnDemand, with_reference
from greenbench.recipes.student import make_student
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(
    ("settings", "said", "error_rate", "why"),
    [
        ({}, TeacherText("A", 0.5, True), 0.0, None),
        ({}, TeacherText("A", 0.5, True), 0.0999, None),
        ({}, TeacherText("A", 0.5, True), 0.1, "wer"),
        ({"max_wer": 0.5}, TeacherText("A", 0.5, True), 0.4, None),
        ({"max_wer": None}, TeacherText("A", 0.5, True), 7.0, None),
        ({}, TeacherText("A", 0.5, True), None, None),
        ({"empty_references": "drop"}, TeacherText("A", 0.5, True), None, "no_reference"),
        ({"min_confidence": 0.5}, TeacherText("A", 0.5, True), None, None),
        ({"min_confidence": 0.6}, TeacherText("A", 0.5, True), 0.0, "confidence"),
        ({}, TeacherText("", 0.0, True), None, "silent"),
        ({"max_wer": None}, TeacherText("A", 0.9, False), 0.0, "too_long"),
    ],
)
def test_an_utterance_is_trained_on_or_the_reason_is_said(
    settings: dict[str, Any], said: TeacherText, error_rate: float | None, why: str | None
) -> None:
    """The limit of WER is excluded, that of confidence included; what has no WER is not held against it."""
    assert objection(PseudoLabels(**settings), said, error_rate) == why


def test_error_rates_are_of_normalised_texts() -> None:
    """What is equal once it is normalised is no error; a transcript without a word has no rate."""
    references = ["Mr. Smith isn't here!", "red green blue black", "", " - "]
    texts = ["mister smith is not here", "red grin blue", "a", "a"]
    assert error_rates(references, texts, "whisper-english") == [0.0, 0.5, None, None]


def test_a_teachers_text_is_its_best_path(tiny_model: Path) -> None:
    """A letter that stays is one, with a blank between it is two; blanks count for nothing in the confidence."""
    tokenizer = Wav2Vec2(model=str(tiny_model)).open()[2]
    a, b, blank = (tokenizer.convert_tokens_to_ids(token) for token in ("A", "B", tokenizer.pad_token))
    path, shares = [a, a, blank, a, b], [0.9, 0.8, 0.6, 0.7, 0.5]
    probabilities = torch.full((5, len(tokenizer)), 0.0)
    for frame, (token, share) in enumerate(zip(path, shares, strict=True)):
        probabilities[frame] = (1 - share) / (len(tokenizer) - 1)
        probabilities[frame, token] = share
    found = teacher_text(probabilities.log(), tokenizer)
    assert (found.text, found.fits) == ("AAB", True)
    assert found.confidence == pytest.approx((0.9 + 0.8 + 0.7 + 0.5) / 4, rel=1e-5)
    silent = teacher_text(probabilities.log()[2:3], tokenizer)
    assert silent == TeacherText("", 0.0, True)


@pytest.mark.parametrize("n", range(4))
def test_frames_needed_are_those_of_the_shortest_path(n: int) -> None:
    """Of all paths of up to seven frames over two labels and the blank."""

    def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(token for token, _ in itertools.groupby(path) if token)

    shortest: dict[tuple[int, ...], int] = {}
    for length in range(8):
        for path in itertools.product(range(3), repeat=length):
            shortest.setdefault(collapsed(path), length)
    for labels in itertools.product((1, 2), repeat=n):
        assert frames_needed(labels) == shortest[labels]


def test_the_histogram_has_tenths_and_what_is_beyond() -> None:
    """Each rate is in the tenth that it begins or is within; 1 and above are one count, and no rate is in none."""
    found = histogram([0.0, 0.05, 0.1, 0.3, 0.7, 0.99, 1.0, 2.5, None])
    assert found == (2, 1, 0, 1, 0, 0, 0, 1, 0, 1, 2)


def test_audio_that_is_decoded_on_demand_gets_its_transcript_too() -> None:
    """The clip stays as it is, and so does an utterance in memory, but for its text."""
    clip = Clip("a", lambda: np.zeros(16_000, np.float32), "WAS")
    found = with_reference(OnDemand("d/a", clip, 16_000), "IS")
    assert (found.reference, found.id, found.n_samples, clip.reference) == ("IS", "d/a", 16_000, "WAS")
    spoken = Utterance("a", np.zeros(16_000, np.float32), "WAS", "speaker")
    assert with_reference(spoken, "IS") == replace(spoken, reference="IS")


@pytest.fixture
def says_a(tiny_model: Path, tmp_path: Path) -> Path:
    """A teacher that says the letter A of whatever it hears."""
    folder = Path(shutil.copytree(tiny_model, tmp_path / "teacher"))
    model, _, tokenizer = Wav2Vec2(model=str(folder)).open()
    with torch.no_grad():
        model.lm_head.bias[tokenizer.convert_tokens_to_ids("A")] += 100
    model.save_pretrained(folder)
    return folder


def test_texts_become_the_transcripts_and_the_same_speech_is_heard_once(says_a: Path) -> None:
    """Three of four are kept with the teacher's text; the second time its logits are in the cache."""
    model, extractor, tokenizer = Wav2Vec2(model=str(says_a)).open()
    rng, told = np.random.default_rng(0), list[Event]()
    audio = [0.1 * rng.standard_normal(8_000 + 100 * n).astype("float32") for n in range(4)]
    spoken = [Utterance(text or "none", a, text) for text, a in zip(("A", "a", "", "B"), audio, strict=True)]
    context = Context(teacher=model, extractor=extractor, tokenizer=tokenizer, observe=told.append)
    for _ in range(2):
        kept, about = relabelled(spoken, PseudoLabels(), context)
        assert [(u.id, u.reference) for u in kept] == [("A", "A"), ("a", "A"), ("none", "A")]
        assert (about.n_kept, about.dropped, about.wer_histogram) == (3, {"wer": 1}, (2, *[0] * 9, 1))
    phases = [event.text for event in told if isinstance(event, Phase)]
    assert [text.startswith("the teacher transcribes") for text in phases] == [True, False, False]
    assert phases[-1] == "pseudo labels: 3 of 4 utterances kept (dropped: wer 1)"
    with pytest.raises(InputError, match=r"pseudo_labels: none of 1 utterances is kept \(dropped: wer 1\): raise"):
        relabelled(spoken[3:], PseudoLabels(), context)


def written(folder: Path, teacher: Path, manifest: Path, **change: Any) -> Path:
    """Write a recipe that takes a layer away."""
    content = {
        "name": "student",
        "teacher": {"use": "wav2vec2", "model": str(teacher), "name": "tiny"},
        "train": [{"use": "manifest", "path": str(manifest)}],
        "validation_share": 0.25,
        "steps": [{"use": "layer-drop", "keep": 1}],
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content | change))
    return path


def test_the_lineage_says_what_was_kept_and_what_it_cost(says_a: Path, manifest: Path, tmp_path: Path) -> None:
    """Settings, counts and WER of six utterances, which count as trained on; the teacher's pass is training time."""
    made = recipe.load(written(tmp_path, says_a, manifest, pseudo_labels={"from": "teacher", "max_wer": None}))
    known = lineage.read(str(make_student(made, tmp_path / "student")))
    about = known.data.pseudo_labels
    assert about is not None
    assert about.settings.items() >= {"from": "teacher", "max_wer": None, "empty_references": "keep"}.items()
    assert (about.n_kept, about.dropped, sum(about.wer_histogram)) == (6, {}, 6)
    assert known.data.n_utterances == 6
    assert known.training_s == about.cost.wall_s > 0
    assert about.cost != Training()
    plain = recipe.load(written(tmp_path, says_a, manifest))
    assert lineage.read(str(make_student(plain, tmp_path / "plain"))).data.pseudo_labels is None
    content = json.loads((tmp_path / "student" / "greenbench.json").read_text())
    assert content["recipe_hash"] != json.loads((tmp_path / "plain" / "greenbench.json").read_text())["recipe_hash"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pseudo_labels": {"normalizer": "whisper-englsh"}}, "pseudo_labels.normalizer: unknown normalizer 'whisper"),
        ({"pseudo_labels": {"max_wer": 0}}, "pseudo_labels.max_wer: more than 0 is expected"),
        ({"pseudo_labels": {"from": "student"}}, "pseudo_labels.from: 'teacher' is expected"),
        ({"pseudo_labels": {"max_were": 1}}, "pseudo_labels.max_were: "),
        ({"pseudo_labels": {}, "train": []}, "pseudo_labels: there is no speech to label: give `train`"),
    ],
)
def test_a_mistake_in_pseudo_labels_is_one_line(
    tiny_model: Path, manifest: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """The key is named by its path, as any other."""
    with pytest.raises(InputError, match=message) as caught:
        recipe.load(written(tmp_path, tiny_model, manifest, **change))
    assert "\n" not in str(caught.value)
