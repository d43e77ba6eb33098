"""Pseudo labels: the teacher's texts become the transcripts of the training speech, where they can be trusted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from greenbench.errors import InputError
from greenbench.metrics import ratio
from greenbench.models.lineage import PseudoLabelling, Training
from greenbench.plugins import Context, Spoken
from greenbench.plugins.events import Phase
from greenbench.recipes.speech import with_reference
from greenbench.text import scorers, wer

if TYPE_CHECKING:
    from torch import Tensor

N_BINS = 11
"""Of the histogram of WER: tenths from 0, and one for 1 and above."""


class PseudoLabels(BaseModel):
    """Which of the teacher's texts are learned as transcripts.

    Attributes:
        from: whose texts: ``teacher``.
        max_wer: an utterance is trained on only if the WER of the teacher's text against its transcript is below this,
            a fraction; null for any.
        min_confidence: and only if the mean probability of the teacher's best tokens, over the frames where they are
            not blank, is at least this.
        normalizer: of both texts before their WER is counted; the teacher's own text is what is learned.
        empty_references: ``keep`` or ``drop`` utterances without a transcript, whose WER is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["teacher"] = Field("teacher", alias="from")
    max_wer: float | None = Field(0.1, gt=0, allow_inf_nan=False)
    min_confidence: float = Field(0.0, ge=0, le=1)
    normalizer: str = "whisper-english"
    empty_references: Literal["keep", "drop"] = "keep"

    @field_validator("normalizer")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if wrong := scorers.unknown([name]):
            raise ValueError(wrong)
        return name


@dataclass(frozen=True)
class TeacherText:
    """What a teacher says of an utterance.

    Attributes:
        text: by greedy decoding; empty where it says nothing.
        confidence: mean probability of its best tokens over the frames where they are not blank; 0 without any.
        fits: whether the labels of the text have a path through the frames.
    """

    text: str
    confidence: float
    fits: bool


def teacher_text(logits: "Tensor", tokenizer: Any) -> TeacherText:
    """Return what a teacher says of an utterance.

    Args:
        logits: its own, ``(n_frames, n_tokens)``.
        tokenizer: its tokeniser, whose token of padding is the CTC blank.
    """
    from greenbench.models.spelling import speller

    best = logits.float().softmax(-1).max(-1)
    spoken = best.indices != tokenizer.pad_token_id
    text: str = tokenizer.decode(best.indices.tolist()).strip()
    labels = tokenizer(speller(tokenizer)(text).text).input_ids
    confidence = float(best.values[spoken].mean()) if bool(spoken.any()) else 0.0
    return TeacherText(text, confidence, frames_needed(labels) <= len(logits))


def frames_needed(labels: Sequence[int]) -> int:
    """Return the fewest frames through which labels have a CTC path: a blank stands between two that are equal."""
    return len(labels) + sum(first == second for first, second in pairwise(labels))


def objection(how: PseudoLabels, said: TeacherText, error_rate: float | None) -> str | None:
    """Say why an utterance is not trained on, in a word; None where it is.

    Distil-Whisper's filter (Gandhi, von Platen and Rush, arXiv 2311.00430, 2023, section 4; the comparison is strict in
    their code); silence, confidence and frames are ours, for CTC and for speech without transcripts.

    Args:
        how: the filter.
        said: by the teacher.
        error_rate: WER of that against the transcript; None where there is no transcript.
    """
    if not said.text:
        return "silent"
    if not said.fits:
        return "too_long"
    if said.confidence < how.min_confidence:
        return "confidence"
    if error_rate is None:
        return None if how.empty_references == "keep" else "no_reference"
    return None if how.max_wer is None or error_rate < how.max_wer else "wer"


def error_rates(references: Sequence[str], texts: Sequence[str], normalizer: str) -> list[float | None]:
    """Return the WER of each utterance; None where its transcript is empty, as given or once it is normalised."""
    how = scorers.create(normalizer)
    counted = wer.score(references, texts, how.normalize, how.count_words).words
    return [ratio(counts.edits, counts.n) for counts in counted]


def relabelled(spoken: Sequence[Spoken], how: PseudoLabels, context: Context) -> tuple[list[Spoken], PseudoLabelling]:
    """Let the teacher transcribe speech; return what is trained on, with its texts, and what the lineage says of it.

    The teacher's logits are kept as those of a training are: the same speech and teacher take them from the cache.

    Args:
        spoken: the training speech.
        how: which texts are learned.
        context: with the teacher, its extractor and its tokeniser.

    Raises:
        InputError: nothing is left.
    """
    from greenbench.compress.distill.teacher import Teacher
    from greenbench.meters import select

    teacher = Teacher(context.teacher.to(context.device), context)
    cost = teacher.keep(spoken, select(context.estimate_energy))
    context.teacher.cpu()
    said = [teacher_text(teacher.kept[utterance.id], context.tokenizer) for utterance in spoken]
    rates = error_rates([u.reference for u in spoken], [one.text for one in said], how.normalizer)
    reasons = [objection(how, one, rate) for one, rate in zip(said, rates, strict=True)]
    kept = [with_reference(u, one.text) for u, one, why in zip(spoken, said, reasons, strict=True) if why is None]
    dropped = Counter(why for why in reasons if why is not None)
    told = ", ".join(f"{why} {n}" for why, n in dropped.most_common()) or "none"
    if not kept:
        raise InputError(
            f"pseudo_labels: none of {len(spoken)} utterances is kept (dropped: {told}): raise `max_wer` or lower "
            "`min_confidence`"
        )
    context.observe(Phase(f"pseudo labels: {len(kept)} of {len(spoken)} utterances kept (dropped: {told})"))
    settings = how.model_dump(by_alias=True)
    return kept, PseudoLabelling(settings, len(kept), dict(dropped), histogram(rates), Training(**asdict(cost)))


def histogram(rates: Sequence[float | None]) -> tuple[int, ...]:
    """Return how many utterances have a WER in each tenth from 0, the last count for 1 and above; None is in none."""
    counts = Counter(min(int(round(10 * rate, 9)), N_BINS - 1) for rate in rates if rate is not None)
    return tuple(counts[number] for number in range(N_BINS))
