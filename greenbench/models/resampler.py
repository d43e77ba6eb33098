"""Fewer frames from the signal on: a front end hears a lower sampling rate, and the output has all frames again.

Zaiem et al., "Fine-tuning Strategies for Faster Inference using Speech Self-Supervised Models" (arXiv 2303.06740, 2023)
call it signal downsampling. The modules and hooks use nothing but the module that they are given, as in ``reducer``.
"""

from math import ceil, pi, prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import conv1d, pad

from greenbench.models.frames import front_end, lengths, receptive_field
from greenbench.models.reducer import expanded, spread

if TYPE_CHECKING:
    from torch import Tensor

N_CROSSINGS, ROLLOFF = 6, 0.99
"""Zero crossings of the low pass on each side, and its cut-off as a share of half of the new rate."""


class Resampler(nn.Module):
    """Makes a waveform of fewer samples, of which the front end makes a frame for each ``factor`` frames, rounded up.

    Sample k is the low-passed waveform at factor k - (factor - 1) (field - 1 - stride) / 2, with receptive field and
    stride of the front end in samples: so the middle of each frame is the middle of those that it stands for.

    Attributes:
        factor: of the sampling rates.
        kernel: of the low pass, ``(1, 1, n)``.
    """

    kernel: "Tensor"

    def __init__(self, config: Any, factor: int) -> None:
        """Take the transformers configuration, whose front end reads waveforms, and the factor."""
        super().__init__()
        self.factor, self.layers = factor, front_end(config)
        self.field, self.stride = receptive_field(config), prod(stride for _, stride, _ in self.layers)
        self.register_buffer("kernel", low_pass(factor)[None, None])

    def n_frames(self, n_samples: Any) -> Any:
        """Return the frames of samples at the rate before; of numbers, or of a tensor of them."""
        return lengths(n_samples, self.layers)[-1]

    def n_samples(self, n_frames: Any) -> Any:
        """Return the samples after, for so many frames before."""
        return ((n_frames + self.factor - 1) // self.factor - 1) * self.stride + self.field

    def forward(self, waveform: "Tensor") -> "Tensor":
        """Return ``(n, fewer samples)`` of ``(n, n_samples)``; zeros stand before and behind."""
        width, lead = self.kernel.shape[-1] // 2, (self.factor - 1) * (self.field - 1 - self.stride) // 2
        n_taken = self.factor * (self.n_samples(self.n_frames(waveform.shape[1])) - 1) + 2 * width + 1
        whole = pad(waveform, (lead + width, self.factor * self.field + width))[:, :n_taken]
        return conv1d(whole[:, None], self.kernel, stride=self.factor)[:, 0]

    def valid(self, mask: "Tensor", n_samples: int) -> "Tensor":
        """Return the mask of samples after, ``(n, n_samples)``, of one before: 1 where a sample is none of padding."""
        n_valid = self.n_samples(self.n_frames(mask.sum(-1)))
        valid: Tensor = (torch.arange(n_samples, device=mask.device) < n_valid[:, None]).to(mask)
        return valid


class Expander(nn.Module):
    """Makes several frames of one, at the end of a model whose front end hears a lower sampling rate.

    Attributes:
        factor: frames that one becomes.
        n_frames: of the output, from ``_lower`` to ``_expand``.
    """

    n_frames: Any = None

    def __init__(self, width: int, factor: int, up: str) -> None:
        """Take the width of frames, and what ``edits.reduce.Reduction`` says."""
        super().__init__()
        self.factor, self.up_by = factor, up
        self.up = spread(width, factor) if up == "linear" else None

    def forward(self, frames: "Tensor") -> "Tensor":
        """Return ``(n, n_frames, width)`` of fewer frames."""
        return expanded(frames, self.factor, self.up, self.n_frames)


def low_pass(factor: int) -> "Tensor":
    """Return a low pass for every ``factor``-th sample, ``(n,)``, n odd: a sinc under a Hann window.

    h(t) = c sinc(c t) cos^2(pi c t / (2 Z)) where |c t| < Z, with t in samples, c = 0.99 / factor and Z = 6 (Smith,
    "Digital Audio Resampling", https://ccrma.stanford.edu/~jos/resample/); torchaudio's ``Resample``, which the
    authors' code uses, has the same by default.
    """
    cutoff = ROLLOFF / factor
    width = ceil(N_CROSSINGS / cutoff)
    crossings = (torch.arange(-width, width + 1, dtype=torch.float64) * cutoff).clamp(-N_CROSSINGS, N_CROSSINGS)
    window = torch.cos(crossings * pi / (2 * N_CROSSINGS)).square()
    return (torch.sinc(crossings) * window * cutoff).float()


def lowered(model: Any, waveform: "Tensor") -> "Tensor":
    """Return what a CTC model's front end hears of a waveform, ``(n, n_samples)`` each."""
    resampler = getattr(model.base_model.feature_extractor, "resampler", None)
    return waveform if resampler is None else resampler(waveform)


def attach(base: Any, factor: int, up: str) -> None:
    """Let a base model hear every waveform at a lower sampling rate, and give all frames again."""
    like = next(base.feature_extractor.parameters())
    base.feature_extractor.resampler = Resampler(base.config, factor).to(like)
    base.expander = Expander(base.config.hidden_size, factor, up).to(like)
    base.register_forward_pre_hook(_lower, with_kwargs=True)
    base.register_forward_hook(_expand)


def _lower(base: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Give a base model its waveform, and its mask of samples, at the lower rate."""
    resampler, mask = base.feature_extractor.resampler, named.get("attention_mask")
    base.expander.n_frames = resampler.n_frames(given[0].shape[1])
    waveform = resampler(given[0])
    if mask is not None:
        named = named | {"attention_mask": resampler.valid(mask, waveform.shape[1])}
    return (waveform, *given[1:]), named


def _expand(base: Any, _given: Any, output: Any) -> Any:
    output.last_hidden_state = base.expander(output.last_hidden_state)
    base.expander.n_frames = None
    return output
