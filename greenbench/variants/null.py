"""The null family: a fixed text after a known delay, which calibrates the harness and shows its overhead."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from greenbench.plugins import SAMPLE_RATE_HZ, Footprint, Step, Variant, VariantInfo, Waveform


@dataclass(frozen=True)
class Null:
    """Settings of a null variant.

    Attributes:
        rtfx: sleep a ``1/rtfx`` of the audio's length, so that the harness must read back this RTFx.
        delay_s: sleep so many seconds more for each utterance.
        text: what it answers.
    """

    rtfx: float | None = None
    delay_s: float = 0.0
    text: str = ""

    presets: ClassVar[Mapping[str, Any]] = {
        "instant": {},
        "rtfx-20": {"rtfx": 20.0},
        "rtfx-100": {"rtfx": 100.0},
    }
    takes_builds: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse delays that cannot be."""
        if self.delay_s < 0 or (self.rtfx is not None and self.rtfx <= 0):
            raise ValueError("delay_s is at least 0 and rtfx above 0")

    @property
    def label(self) -> str:
        """The delay, as part of a default name."""
        parts = [f"rtfx-{self.rtfx:g}"] if self.rtfx else []
        return "-".join([*parts, f"delay-{self.delay_s:g}s"] if self.delay_s else parts) or "instant"

    def __call__(self, name: str, chain: Sequence[tuple[str, Step]]) -> Variant:  # noqa: ARG002
        """Return the variant."""
        return Variant(
            name=name, load=lambda _device: _Sleeper(self), info=VariantInfo(n_params=0, licence="Apache-2.0")
        )


class _Sleeper:
    """Sleeps for as long as the settings say, then answers the fixed text."""

    footprint = Footprint(n_params=0, model_bytes=0)
    batching = "sequential"

    def __init__(self, settings: Null) -> None:
        self.settings = settings

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        delay_s = self.settings.delay_s * len(batch)
        if self.settings.rtfx:
            delay_s += sum(len(waveform) for waveform in batch) / SAMPLE_RATE_HZ / self.settings.rtfx
        if delay_s:
            time.sleep(delay_s)
        return [self.settings.text] * len(batch)
