"""Word times by a CTC model: the bundled teacher, whose own best path is the oracle where it spells the transcript."""

from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

from greenbench.datasets.quickstart import Quickstart
from greenbench.errors import InputError
from greenbench.harness.ctc_aligner import LACKS, LONG, CtcAligner
from greenbench.plugins import SAMPLE_RATE_HZ
from greenbench.suite.entries import VariantEntry, build_family


@pytest.fixture(scope="module")
def opened() -> tuple:
    """The bundled teacher, its feature extractor and its tokeniser."""
    return build_family(VariantEntry(use="wav2vec2/quickstart")).open()


def ends_by_greedy(opened: tuple, audio: np.ndarray) -> tuple[str, list[float]]:
    """Return the greedy text and when its words end: with the last frame of the label before a delimiter or the end."""
    import torch

    model, extractor, tokenizer = opened
    with torch.inference_mode():
        best = model(**extractor([audio], sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")).logits[0].argmax(-1)
    labels = [(frame, token) for frame, token in enumerate(best.tolist()) if token != tokenizer.pad_token_id]
    delimiter = tokenizer.convert_tokens_to_ids("|")
    pairs = zip(labels, [*labels[1:], (None, delimiter)], strict=True)
    ends = [frame for (frame, token), (_, later) in pairs if token != delimiter and later == delimiter]
    return tokenizer.decode(best), [(frame + 1) * 320 / SAMPLE_RATE_HZ for frame in ends]


def test_where_the_greedy_text_is_right_its_path_is_the_alignment(opened: tuple) -> None:
    """No path is better than the best token of every frame, so that the ends of words are those of the greedy path."""
    n_right, aligner = 0, CtcAligner(*opened)
    for clip in islice(Quickstart(voices="seen")(), 6):
        text, ends_s = ends_by_greedy(opened, clip.read())
        if text == clip.reference:
            n_right += 1
            words = aligner.words(clip.read(), clip.reference)
            assert [word.word for word in words] == clip.reference.split()
            assert [word.end_s for word in words] == pytest.approx(ends_s)
    assert n_right


def test_marks_and_case_cost_no_times_and_unknown_letters_do(opened: tuple) -> None:
    """Words keep their spelling, what is all marks has no times, and what cannot be aligned says why."""
    clip, aligner = next(Quickstart()()), CtcAligner(*opened)
    plain = aligner.words(clip.read(), clip.reference)
    marked = aligner.words(clip.read(), clip.reference.capitalize().replace(" ", " - ", 1) + ".")
    assert [(word.start_s, word.end_s) for word in marked] == [(word.start_s, word.end_s) for word in plain]
    assert (marked[0].word, marked[-1].word) == ("The", "attic.")
    assert aligner.words(clip.read(), "room 4") == LACKS
    assert aligner.words(clip.read(), "") == LONG
    assert aligner.words(clip.read()[:1_600], clip.reference) == LONG


def test_a_model_that_overflows_aligns_nothing(opened: tuple) -> None:
    """Log-probabilities that are not finite are an error."""
    import torch

    model, extractor, tokenizer = opened

    class Broken:
        config = model.config

        def eval(self) -> "Broken":
            return self

        def __call__(self, **_: object) -> SimpleNamespace:
            return SimpleNamespace(logits=torch.full((1, 99, 30), torch.nan))

    with pytest.raises(InputError, match="not finite"):
        CtcAligner(Broken(), extractor, tokenizer).words(np.zeros(32_000, np.float32), "one")
