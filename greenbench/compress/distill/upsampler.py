"""What makes all frames of those that a reduction inside of a student left, to compare them with its teacher's."""

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Upsampler(nn.Module):
    """A transposed convolution, and a linear map to a teacher's width: the head of a layer of FitHuBERT.

    Lee et al., "FitHuBERT" (arXiv 2207.00555, 2022).
    """

    def __init__(self, width: int, wanted: int, factor: int) -> None:
        """Take the features of a student and a teacher, and how many frames become of one."""
        super().__init__()
        self.up = nn.ConvTranspose1d(width, width, factor, stride=factor)
        self.map = nn.Linear(width, wanted)

    def forward(self, frames: "Tensor") -> "Tensor":
        """Return ``(n, factor n_frames, wanted)`` of ``(n, n_frames, width)``."""
        longer: Tensor = self.map(self.up(frames.transpose(1, 2)).transpose(1, 2))
        return longer
