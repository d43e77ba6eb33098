"""The edit ``chunks``: an encoder whose frames see no further than their chunk and a look-ahead."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

TYPES = ("hubert", "unispeech", "unispeech-sat", "wav2vec2")
"""Model types with one positional convolution, attention without terms of positions, and a frame a step."""

_Frames = Annotated[int, Field(ge=0, le=2**16)]


@dataclass(frozen=True)
class Chunks:
    """What the frames of a model see of each other.

    Attributes:
        sizes: frames of a chunk; the model runs with the first of them, and each batch of a training draws one.
        left: frames before its chunk that a frame attends to.
        ahead: frames behind its chunk that the positional convolution sees.
        level: whether the waveform is normalised by what came before, and not by the whole utterance.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    sizes: Annotated[tuple[Annotated[int, Field(ge=1, le=2**16)], ...], Field(min_length=1)]
    left: _Frames
    ahead: _Frames
    level: bool
    edit: Literal["chunks"] = "chunks"

    @classmethod
    def find(cls, model: Any) -> "Chunks | None":
        """Return the chunks of a model; None where it has none."""
        from greenbench.models import chunks

        found: Chunks | None = chunks.of(model)
        return found

    def make(self, model: Any) -> None:
        """Let the frames of a model see no more than this.

        Raises:
            ValueError: the model is of another kind, or its positional convolution sees less far ahead.
        """
        from greenbench.models import chunks

        if model.config.model_type not in TYPES:
            raise ValueError(f"chunks: models of the type {model.config.model_type} have none")
        reach = chunks.reach(model)
        if self.ahead > reach:
            raise ValueError(f"chunks: ahead: the positional convolution sees {reach} frames ahead, not {self.ahead}")
        chunks.attach(model, self)
