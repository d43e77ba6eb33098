"""A loaded sequence-to-sequence model of transformers: how it turns waveforms into text, and what it weighs."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from greenbench.errors import InputError, NotFiniteError
from greenbench.models import ctc
from greenbench.plugins import SAMPLE_RATE_HZ, Footprint, Waveform

Decode = Callable[[Any], list[str]]
"""Turns tokens of shape ``(n_utterances, n_tokens)`` into a text each."""


class Seq2SeqTranscriber:
    """A model that writes one token after the other, the most likely each time.

    Whisper reads windows of 30 s: shorter utterances are padded with silence to that length, which is how it was
    trained, so that a batch reads as each of its utterances alone. Longer ones are read one after the other by the
    sequential algorithm of Radford et al., "Robust speech recognition via large-scale weak supervision" (2022),
    section 3.8, as transformers has it: the model's own time stamps say where the next window begins. Nothing is
    sampled: temperature stays 0, and no window is decoded twice.

    Moonshine takes waveforms of any length; a batch is padded to the longest with a mask. Its first layer normalises
    over the time axis with the padding in it, so that a batch of mixed lengths may read a little differently.
    """

    batching = "padded"

    def __init__(self, model: Any, extractor: Any, decode: Decode, device: str, options: Mapping[str, Any]) -> None:
        """Take a model that is ready to run.

        Args:
            model: on its device.
            extractor: its transformers feature extractor.
            decode: of its tokeniser.
            device: ``cpu``, ``cuda:0`` ...
            options: of transformers' ``generate``, such as ``language``.
        """
        self.model, self.extractor, self.decode, self.device = model, extractor, decode, device
        self.options = {"do_sample": False, "num_beams": 1, **options}
        self.dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
        self.footprint = replace(ctc.footprint(model), macs=Footprint().macs)  # its tokens are not known beforehand
        self.min_samples = _receptive_field(model)
        self.has_windows = hasattr(extractor, "chunk_length")
        self.window_samples = extractor.n_samples if self.has_windows else sys.maxsize

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        """Transcribe a batch.

        Raises:
            InputError: an utterance is longer than a window, and the model has no time stamps to go on by.
            NotFiniteError: the best logit of a token is NaN or infinite.
        """
        together = [position for position, w in enumerate(batch) if len(w) <= self.window_samples]
        alone = [[position] for position, w in enumerate(batch) if len(w) > self.window_samples]
        texts = [""] * len(batch)
        for positions in filter(None, [together, *alone]):
            tokens, is_finite = self._tokens([batch[position] for position in positions])
            if not is_finite:  # transformers may drop utterances that are done, so that rows are not positions
                broken = [position for position in positions if not self._tokens([batch[position]])[1]]
                raise NotFiniteError(broken or positions)
            for position, text in zip(positions, self.decode(tokens), strict=True):
                texts[position] = text.strip()
        return texts

    def _tokens(self, waveforms: Sequence[Waveform]) -> tuple[Any, bool]:
        """Return the tokens of waveforms within a window, or of one that is longer; and whether all logits are finite.

        That is looked for on the device, at the best logit of each token, which greedy decoding takes anyway.
        """
        import torch

        is_long = len(waveforms[0]) > self.window_samples
        if is_long and not hasattr(self.model.generation_config, "no_timestamps_token_id"):
            raise InputError(_NO_STAMPS)
        padding = {"padding": "max_length" if self.has_windows and not is_long else "longest", "truncation": False}
        samples = [np.pad(w, (0, max(0, self.min_samples - len(w)))) for w in waveforms]
        inputs = self.extractor(
            samples, sampling_rate=SAMPLE_RATE_HZ, return_attention_mask=True, return_tensors="pt", **padding
        ).to(self.device, self.dtype)
        finite = _Finite()
        stamps = {"return_timestamps": is_long} if self.has_windows else {}
        with torch.inference_mode():
            tokens = self.model.generate(**inputs, **self.options, **stamps, logits_processor=[finite]).cpu()
        return tokens, bool(finite)


_NO_STAMPS = (
    "an utterance is longer than the model's window, and its generation_config.json, if it has one, names no time "
    "stamps (no_timestamps_token_id): leave long utterances out, or take that file from the model it was trained from"
)


def _receptive_field(model: Any) -> int:
    """Return how many inputs give a model's encoder one frame: Moonshine takes no fewer samples."""
    import torch

    n = 1
    for module in reversed([m for m in model.get_encoder().modules() if isinstance(m, torch.nn.Conv1d)]):
        n = (n - 1) * module.stride[0] + module.kernel_size[0]
    return n


class _Finite:
    """Whether the best logit of each token was finite; transformers calls it as it does a ``LogitsProcessor``."""

    def __init__(self) -> None:
        self._all: Any = True

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002
        self._all = scores.max(dim=-1).values.isfinite().all() & self._all
        return scores

    def __bool__(self) -> bool:
        return bool(self._all)
