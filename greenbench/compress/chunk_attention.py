"""The method that lets a model stream: its frames see chunks, and nothing waits for the end of the utterance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field

from greenbench.errors import InputError
from greenbench.models.convolutions import group_normed
from greenbench.models.edits.chunks import TYPES, Chunks
from greenbench.models.frames import frame_samples
from greenbench.models.macs import fewer_frames
from greenbench.plugins import BARE, SAMPLE_RATE_HZ, Context, Outline

Seconds = Annotated[float, Field(gt=0, le=600)]


@dataclass(frozen=True)
class ChunkAttention:
    """Let frames see their chunk, some frames before it and a look-ahead, so that the model streams by itself.

    The second stage of DistillW2V2 (arXiv 2303.09278, 2023), of which only the abstract was read: all that follows is a
    reconstruction. Attention sees the chunk and ``left_s`` before it. The positional convolution sees the look-ahead,
    too, and zeros behind it (Li et al., "Dynamic Chunk Convolution", ICASSP 2023); in attention a look-ahead would add
    up over the layers, or be computed twice. Group norm of the front end, or else the normalisation of the waveform,
    has the statistics of all audio that is there when a chunk is computed; a quiet beginning is amplified by that,
    which costs words. A chunk as long as the utterance is the plain model. In the scenario `streaming` nothing is
    computed twice: keys, values and what convolutions see before a chunk are kept. Whole utterances are computed with
    a mask, which saves nothing. Without training many words are wrong: name ``distill`` after it in a recipe. A model
    that has chunks gets other ones, so that one that was trained with several lengths runs with each. ``onnx`` and its
    builds in integers follow: their graphs take the states in and give them out, and read whole utterances chunk by
    chunk. No ``openvino`` or ``compile`` follows.

    Attributes:
        chunk_s: seconds of a chunk, for which texts have to wait, rounded to whole frames; of several, such as
            ``[0.64, 0.32, 60]``, the model runs with the first, and each batch of a training draws one.
        left_s: seconds before its chunk that a frame attends to.
        look_ahead_s: seconds behind its chunk, for which texts have to wait, too; at most the half of the positional
            convolution's kernel that is ahead: 1.26 s in the published models.
    """

    chunk_s: Seconds | Annotated[Sequence[Seconds], Field(min_length=1)] = 0.64
    left_s: Annotated[float, Field(ge=0, le=600)] = 2.56
    look_ahead_s: Annotated[float, Field(ge=0, le=60)] = 0.3

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse models of other encoders, and what could not be streamed."""
        if before.model_type is not None and before.model_type not in TYPES:
            raise InputError(
                f"chunk-attention: models of the type {before.model_type} have another encoder; use one of "
                f"{', '.join(TYPES)}"
            )
        if before.adapter:
            raise InputError("chunk-attention: the model has an adapter behind its layers, which would look ahead")
        if before.exits:
            raise InputError(
                "chunk-attention cannot follow early-exit, which decides by whole utterances: leave one out"
            )
        if before.integers or before.compiled:
            raise InputError(f"chunk-attention cannot follow {before.integers or 'compile'}: put it before")
        return replace(before, chunked=True)

    def __call__(self, model: Any, context: Context = BARE) -> Any:
        """Let the frames of the model see no more than that.

        Raises:
            InputError: the model is of another kind; a chunk is shorter than half a frame, or the look-ahead longer
                than what the positional convolution sees.
        """
        from greenbench.compress.steps import outline

        self.follow(outline(model))
        if fewer_frames(model):
            raise InputError(
                "chunk-attention cannot follow reduce-frames, whose layers have fewer frames: leave one out"
            )
        if getattr(model.config, "conv_pos_batch_norm", False):
            raise InputError("chunk-attention: the model has batch norm before its positional convolution")
        sizes, left, ahead = self._frames(model)
        earlier, plain = Chunks.find(model), group_normed(model) is None
        level = earlier.level if earlier else plain and getattr(context.extractor, "do_normalize", True)
        Chunks(sizes, left, ahead, level).make(model)
        return model

    def _frames(self, model: Any) -> tuple[tuple[int, ...], int, int]:
        """Return chunks, left context and look-ahead in frames of a model."""
        from greenbench.models import chunks

        frame_s = frame_samples(model.config) / SAMPLE_RATE_HZ
        given = [self.chunk_s] if isinstance(self.chunk_s, float | int) else self.chunk_s
        sizes, ahead = tuple(round(chunk_s / frame_s) for chunk_s in given), round(self.look_ahead_s / frame_s)
        if min(sizes) < 1:
            raise InputError(f"chunk-attention: chunk_s: {min(given):g} is less than half a frame of {frame_s:g} s")
        if ahead > (reach := chunks.reach(model)):
            raise InputError(
                f"chunk-attention: look_ahead_s: the positional convolution sees {reach * frame_s:g} s ahead: give no "
                "more, and a longer `chunk_s` instead"
            )
        return sizes, round(self.left_s / frame_s), ahead
