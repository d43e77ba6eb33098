"""Audio as 16-bit samples, the form of WAV files and of engines that take integers."""

import numpy as np

from greenbench.plugins import Waveform

FULL_SCALE = 2**15


def pcm16(waveform: Waveform) -> bytes:
    """Return 16-bit samples, the low byte first: 16-bit sources exactly; others rounded, and clipped at full scale.

    Args:
        waveform: float32, shape ``(n_samples,)``.
    """
    return np.clip(np.rint(waveform * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype("<i2").tobytes()
