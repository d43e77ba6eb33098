"""Word times of an utterance by a CTC model, whose labels are aligned with the frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from greenbench.models.frames import frame_samples, n_frames, receptive_field
from greenbench.models.spelling import speller
from greenbench.plugins import SAMPLE_RATE_HZ, Waveform, WordTime
from greenbench.streaming.forced_alignment import LabelFrames, align

LACKS, LONG = "with letters that its vocabulary lacks", "with more labels than frames, or none"
"""Why an utterance cannot be aligned."""


class CtcAligner:
    """Aligns transcripts by a CTC model; the resolution is a frame."""

    def __init__(self, model: Any, extractor: Any, tokenizer: Any) -> None:
        """Take a torch module on the CPU, its feature extractor and its tokeniser."""
        self._model, self._extractor, self._tokenizer = model.eval(), extractor, tokenizer

    def words(self, audio: Waveform, reference: str) -> list[WordTime] | str:
        """Return when each word of a transcript was spoken, or why it cannot be aligned.

        A word lasts from the beginning of its first label's first frame to the end of its last label's last one;
        frame i stands for the samples from i times the model's stride on. A word that is all marks has no times.

        Args:
            audio: shape ``(n_samples,)``.
            reference: the transcript.

        Raises:
            InputError: the model's log-probabilities are not finite.
        """
        spelt = self._labels(reference)
        if spelt is None:
            return LACKS
        words, labels, places = spelt
        spans = align(self._log_probs(audio), labels, self._model.config.pad_token_id)
        if not spans:
            return LONG
        return [self._timed(w, spans[first:end], len(audio)) for w, (first, end) in zip(words, places, strict=True)]

    def _timed(self, word: str, spans: Sequence[LabelFrames], n_samples: int) -> WordTime:
        stride = frame_samples(self._model.config)
        first, end = (min(frame * stride, n_samples) / SAMPLE_RATE_HZ for frame in (spans[0][0], spans[-1][1]))
        return WordTime(word, first, end)

    def _labels(self, reference: str) -> tuple[list[str], list[int], list[LabelFrames]] | None:
        """Return the words that have labels, all labels, and where each word's are; None where a letter has none."""
        tokenizer, spell = self._tokenizer, speller(self._tokenizer)
        delimiter = tokenizer.get_vocab().get(getattr(tokenizer, "word_delimiter_token", None) or " ")
        between = [] if delimiter is None else [delimiter]
        words, labels, places = list[str](), list[int](), list[LabelFrames]()
        for word in reference.split():
            spelt = spell(word)
            of_word = tokenizer(spelt.text).input_ids if spelt.text else []
            if spelt.unknown or tokenizer.unk_token_id in of_word:
                return None
            if of_word:
                labels += between if labels else []
                words.append(word)
                places.append((len(labels), len(labels) + len(of_word)))
                labels += of_word
        return words, labels, places

    def _log_probs(self, audio: Waveform) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the log-probabilities of each frame, shape ``(n_frames, n_tokens)``."""
        import torch

        padded = np.pad(audio, (0, max(0, receptive_field(self._model.config) - len(audio))))
        inputs = self._extractor([padded], sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        with torch.inference_mode():
            logits = self._model(**inputs).logits[0, : n_frames(self._model.config, len(padded))]
        found: np.ndarray[Any, np.dtype[np.float64]] = logits.double().log_softmax(-1).numpy()
        return found
