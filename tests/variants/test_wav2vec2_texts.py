"""How the wav2vec 2.0 family decodes, and what padding does to its texts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jiwer import wer

from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.variants.checkpoints import VOCABULARY

TOLERANCE = 0.01
"""What batching may change in the WER of a group-norm model, absolute; CtcTranscriber states it."""


def load(folder: Path) -> Any:
    """Load a model's folder on the CPU."""
    return build_variant(VariantEntry(use="wav2vec2", model=str(folder))).load("cpu")


# --- decoding --------------------------------------------------------------------------------------------


def test_decoding_is_greedy_ctc(tone_model: Path, tone_corpus: tuple[list[np.ndarray], list[str]]) -> None:
    """Texts equal the logits' best path with repeats merged, then blanks dropped, then ``|`` read as a space."""
    import torch

    model = load(tone_model)
    for waveform in tone_corpus[0][:20]:
        normed = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
        with torch.inference_mode():
            path = model.model(torch.tensor(normed)[None]).logits[0].argmax(-1).tolist()
        merged = [token for at, token in enumerate(path) if at == 0 or token != path[at - 1]]
        expected = "".join(VOCABULARY[token] for token in merged if token != 0).replace("|", " ").strip()
        assert model([waveform]) == [expected]


def test_a_doubled_letter_needs_a_blank_between(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``L L`` is one letter and ``L <pad> L`` two: dropping blanks before merging would lose it."""
    model = load(tiny_model)
    spelled = ["H", "H", "E", "<pad>", "L", "L", "<pad>", "L", "O", "|", "|", "<pad>", "A"]
    _answer(model, [[VOCABULARY.index(token) for token in spelled]], monkeypatch)
    assert model([np.zeros(16000, "float32")]) == ["HELLO A"]


def test_frames_of_padding_are_cut(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model says about the padded tail of a shorter clip is not part of its text."""
    model = load(tiny_model)
    waveforms = [np.zeros(16000, "float32"), np.zeros(400 + 320 * 3, "float32")]  # 49 frames and 4
    a, b = VOCABULARY.index("A"), VOCABULARY.index("B")
    _answer(model, [[a, 0] * 24 + [a], [a, 0, a, 0] + [b, 0] * 22 + [b]], monkeypatch)
    assert model(waveforms) == ["A" * 25, "AA"]


def _answer(model: Any, paths: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model's logits spell the given tokens."""
    import torch

    class Output:
        logits = torch.nn.functional.one_hot(torch.tensor(paths), len(VOCABULARY)).float()

    monkeypatch.setattr(model.model, "forward", lambda **_inputs: Output)


@pytest.mark.parametrize("n_samples", [1, 399, 400, 401, 719, 720])
def test_very_short_clips_give_text(n_samples: int, tiny_model: Path, noise: list[np.ndarray]) -> None:
    """A clip shorter than one frame's receptive field (400 samples) is text, alone and beside a long one."""
    model = load(tiny_model)
    assert model.min_samples == 400
    short = noise[0][:n_samples]
    assert len(model([short])) == 1
    assert len(model([short, noise[2]])) == 2


def test_the_order_of_a_batch_is_kept(tone_model: Path, tone_corpus: tuple[list[np.ndarray], list[str]]) -> None:
    """Reversing a batch reverses its texts."""
    model, waveforms = load(tone_model), tone_corpus[0][:4]
    assert model(waveforms[::-1]) == model(waveforms)[::-1]


# --- padding ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [True, False])
def test_group_norm_models_get_zeros_and_no_mask(
    masked: bool, save_model: Callable[..., Path], noise: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mask follows the model's own feature extractor: none with group norm, one up to each clip's end else."""
    model = load(
        save_model("Wav2Vec2", masked, **({"feat_extract_norm": "layer", "conv_bias": True} if masked else {}))
    )
    forward, seen = model.model.forward, {}
    monkeypatch.setattr(model.model, "forward", lambda **inputs: seen.update(inputs) or forward(**inputs))
    model(noise)
    assert seen["input_values"].shape == (len(noise), 32000)
    assert ("attention_mask" in seen) == masked
    if masked:
        assert seen["attention_mask"].sum(-1).tolist() == [len(waveform) for waveform in noise]


def test_batching_keeps_the_wer_of_a_group_norm_model(
    tone_model: Path, tone_corpus: tuple[list[np.ndarray], list[str]]
) -> None:
    """In batches of 8 sorted by length, as the harness forms them, WER stays within 0.01 of batch size 1; in
    batches of mixed lengths, which hold more padding, it does not."""
    from greenbench.harness.load import batches
    from greenbench.plugins import Utterance

    model = load(tone_model)
    utterances = [Utterance(str(i), w, text) for i, (w, text) in enumerate(zip(*tone_corpus, strict=True))]

    def error_rate(runs: list[list[Utterance]]) -> float:
        texts = {}
        for batch in runs:
            texts |= dict(zip([u.id for u in batch], model([u.audio for u in batch]), strict=True))
        return wer([u.reference for u in utterances], [texts[u.id] for u in utterances])

    alone = error_rate([[u] for u in utterances])
    mixed = error_rate([utterances[i : i + 8] for i in range(0, len(utterances), 8)])
    assert alone < 0.06, "the model reads, so that padding has something to spoil"
    assert abs(error_rate(batches("offline", utterances, 8)) - alone) <= TOLERANCE
    assert abs(mixed - alone) > TOLERANCE
