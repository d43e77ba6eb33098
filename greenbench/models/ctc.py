"""A loaded CTC model, a torch module or an exported one: how it turns waveforms into text, and what it weighs."""

import io
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from greenbench.errors import NotFiniteError
from greenbench.metrics import ratio
from greenbench.models import exported, hidden_states, shared
from greenbench.models.frames import frame_samples, n_frames, receptive_field
from greenbench.models.macs import count_macs, macs_after
from greenbench.models.precision import compute_dtype, stored_bits
from greenbench.models.spelling import speller
from greenbench.plugins import SAMPLE_RATE_HZ, EarlyExits, Footprint, Waveform


class CtcTranscriber:
    """A CTC model with its feature extractor and tokeniser; greedy decoding, no language model.

    Whether a batch gets an attention mask follows the model's own feature extractor. Models with layer norm in
    the front end have one and read a batch as they read each utterance alone (but data2vec, whose positional
    convolutions let padding into the last frames). Models with group norm (base-960h, large-960h) were trained
    without one and are padded with zeros. The statistics of their group norm then take in the padding, which no
    mask mends: a batch reads a little differently. That is what batching does to these models wherever they run,
    so it is measured as it is; in batches of 8 sorted by length WER stays within 0.01 of batch size 1, in batches
    of mixed lengths it need not. Frames that stand for padding are cut off before decoding in all cases.
    """

    batching = "padded"
    embedding_layer: int | None = None
    """The layer whose output ``embeddings`` takes the means of, from 1; None for the default."""

    def __init__(self, model: Any, extractor: Any, tokenizer: Any, device: str) -> None:
        """Take a model that is ready to run: a torch module on its device, or an exported one."""
        self.model, self.extractor, self.tokenizer, self.device = model, extractor, tokenizer, device
        elsewhere = isinstance(model, exported.Exported)
        weights = () if elsewhere else model.parameters()
        self.dtype = next((p.dtype for p in weights if p.is_floating_point()), None)
        self.footprint = model.footprint if elsewhere else footprint(model)
        self.min_samples = receptive_field(model.config)

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        """Transcribe a batch.

        Raises:
            NotFiniteError: as ``tokens``.
        """
        return self.decode(self.tokens(batch))

    @property
    def frame_samples(self) -> int:
        """Samples from the beginning of one frame to that of the next."""
        return frame_samples(self.model.config)

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each row of tokens, one a frame: repeated ones are collapsed, then blanks left out."""
        texts: list[str] = self.tokenizer.batch_decode(rows)
        return texts

    def tokens(self, batch: Sequence[Waveform]) -> list[list[int]]:
        """Return the best token of each frame; reading them back waits for the device.

        Raises:
            NotFiniteError: the best logit of a frame is NaN or infinite. That is looked for on the device, in the
                maxima that greedy decoding takes anyway, and comes back as a token of -1: a comparison and a choice a
                frame, beside the millions of multiplications that each frame took.
        """
        import torch

        inputs, lengths = self._inputs(batch)
        with torch.inference_mode():
            best = self.model(**inputs).logits.max(dim=-1)  # values and indices, each (n_utterances, n_frames)
            tokens = torch.where(torch.isfinite(best.values), best.indices, -1).cpu()
        rows = [row[:n].tolist() for row, n in zip(tokens, lengths, strict=True)]
        broken = [position for position, row in enumerate(rows) if -1 in row]
        if broken:
            raise NotFiniteError(broken)
        return rows

    def _inputs(self, batch: Sequence[Waveform]) -> tuple[Any, list[int]]:
        """Return the model's inputs on its device, and the frames of each waveform that do not stand for padding."""
        waveforms = [np.pad(w, (0, max(0, self.min_samples - len(w)))) for w in batch]
        inputs = self.extractor(waveforms, sampling_rate=SAMPLE_RATE_HZ, padding=True, return_tensors="pt")
        return inputs.to(self.device, self.dtype), [n_frames(self.model.config, len(w)) for w in waveforms]

    @property
    def blank(self) -> int:
        """The token that stands for no label."""
        token: int = self.model.config.pad_token_id
        return token

    def labels(self, text: str) -> list[int] | None:
        """Return the tokens that spell a text, without blanks; None where the vocabulary lacks a letter of it."""
        spelt = speller(self.tokenizer)(text)
        found: list[int] = self.tokenizer(spelt.text).input_ids if spelt.text else []
        return None if spelt.unknown or not found or self.tokenizer.unk_token_id in found else found

    def log_probs(self, batch: Sequence[Waveform]) -> list[npt.NDArray[np.float32]]:
        """Return for each waveform the natural logarithms of its tokens' probabilities, ``(n_frames, n_tokens)``.

        Raises:
            NotFiniteError: the best of a frame is NaN or infinite.
        """
        import torch

        inputs, lengths = self._inputs(batch)
        with torch.inference_mode():
            every = self.model(**inputs).logits.float().log_softmax(dim=-1).cpu().numpy()
        rows = [row[:n] for row, n in zip(every, lengths, strict=True)]
        broken = [position for position, row in enumerate(rows) if not np.isfinite(row.max(axis=-1)).all()]
        if broken:
            raise NotFiniteError(broken)
        return rows

    def embedding(self) -> str:
        """Say of what the vectors are made that stand for utterances: ``mean of hidden state 1 of 12``.

        Raises:
            UnansweredError: the model has no hidden states, or none of this layer for every utterance.
        """
        return f"mean of hidden state {self._embedding_layer()} of {hidden_states.n_layers(self.model)}"

    def embeddings(self, batch: Sequence[Waveform]) -> npt.NDArray[np.float32]:
        """Return a vector for each waveform, ``(n_utterances, width)``: the mean of a hidden state over its frames.

        The whole model runs, as it does where it writes texts, too.

        Raises:
            NotFiniteError: a vector has a number that is NaN or infinite.
            UnansweredError: as ``embedding``.
        """
        import torch

        (inputs, _), layer = self._inputs(batch), self._embedding_layer()
        lengths = [hidden_states.n_frames(self.model, layer, max(len(w), self.min_samples)) for w in batch]
        with torch.inference_mode(), hidden_states.captured(self.model) as states:
            self.model(**inputs)
            vectors: npt.NDArray[np.float32] = hidden_states.means(states[layer - 1], lengths).cpu().numpy()
        broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist()
        if broken:
            raise NotFiniteError(broken, "the embeddings")
        return vectors

    def _embedding_layer(self) -> int:
        return hidden_states.layer(self.model, self.embedding_layer)


def footprint(model: Any) -> Footprint:
    """Count a torch module's parameters, quantised ones included, and the bytes of its serialised state."""
    import torch

    from greenbench.models import exits

    buffer, layers = _ByteCounter(), exits.of(model)
    torch.save(shared.state(model), buffer)  # type: ignore[arg-type]
    tensors = _tensors(model)
    n_params = sum(tensor.numel() for tensor in tensors)
    return Footprint(
        n_params=n_params,
        model_bytes=buffer.n_bytes,
        macs=partial(count_macs, model) if layers is None else lambda _n_samples: None,
        n_nonzero_params=partial(_n_nonzero, model),
        bits_per_weight=ratio(sum(map(stored_bits, tensors)), n_params),
        compute_dtype=compute_dtype(model),
        exits=None if layers is None else EarlyExits(layers.layers_run, cache(partial(macs_after, model))),
    )


def _tensors(model: Any) -> list[Any]:
    """Return a torch module's parameters, those of dynamically quantised layers and of packed ones included."""
    from torch.ao.nn.quantized import Linear

    from greenbench.models.packed import packed_layers

    quantized: list[Any] = [module for module in model.modules() if isinstance(module, Linear)]
    of_quantized = (t for m in quantized for t in (m.weight(), m.bias()) if t is not None)
    return [*model.parameters(), *of_quantized, *packed_layers(model).values()]


def _n_nonzero(model: Any) -> int | None:
    """Count the parameters that are not zero, an integer weight by its integers; None where they are packed."""
    import torch

    plain = (torch.Tensor, torch.nn.Parameter)
    try:
        tensors = [t.detach() if type(t) in plain and not t.is_quantized else t.dequantize() for t in _tensors(model)]
    except (AttributeError, NotImplementedError, TypeError):
        return None
    return sum(int(torch.count_nonzero(tensor)) for tensor in tensors)


class _ByteCounter(io.RawIOBase):
    """A file that counts what is written to it, so that sizing a large model takes no disk."""

    n_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.n_bytes += len(data)
        return len(data)
