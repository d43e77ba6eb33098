"""Moonshine's own library: it looks for speech, and reads what was spoken since its beginning again and again."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from greenbench.plugins import SAMPLE_RATE_HZ, Footprint, Partial, Waveform
from greenbench.variants.sequential import one_by_one


class Library:
    """A tiny Moonshine that its package runs, which streams by itself.

    Attributes:
        footprint: of the files that it loads.
    """

    batching = "sequential"

    def __init__(self, folder: Path, options: Mapping[str, float], footprint: Footprint) -> None:
        """Load the model of a folder, with options by the library's own names."""
        from moonshine_voice import ModelArch, Transcriber

        given = {name: str(value) for name, value in options.items()}
        self.footprint = footprint
        self._transcriber = Transcriber(str(folder), ModelArch.TINY, options={**given, "return_audio_data": "false"})

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        """Return the text of each waveform."""
        return one_by_one(self._transcribe, batch)

    def open(self) -> "LibrarySession":
        """Return a session for the next utterance."""
        return LibrarySession(self._transcriber.create_stream(update_interval=math.inf))

    def _transcribe(self, waveform: Waveform) -> str:
        return _text(self._transcriber.transcribe_without_streaming(waveform.tolist()).lines)


class LibrarySession:
    """One utterance: what the library calls a stream, whose lines end at pauses, and stay as they are then.

    It reads the line that is spoken now from the line's beginning, whenever enough of it is new.

    Attributes:
        n_computed: samples of the lines, as often as each was read.
    """

    def __init__(self, stream: Any) -> None:
        """Start a stream, which reads when it is asked to, and not by itself."""
        self.n_computed, self._stream, self._shown = 0, stream, ""
        stream.start()

    def feed(self, chunk: Waveform) -> Partial | None:
        """Hand over the next samples; None where the lines have the same text as before."""
        self._stream.add_audio(chunk.tolist())
        lines, before = self._read(), self._shown
        self._shown = _text(lines)
        if self._shown == before:
            return None
        return Partial(self._shown, len(_text(line for line in lines if line.is_complete).split()))

    def finish(self) -> str:
        """Read what is left, however short it is: by itself the library would leave it out."""
        from moonshine_voice import Transcriber

        self._read(Transcriber.MOONSHINE_FLAG_FORCE_UPDATE)
        text = _text(self._stream.stop().lines)
        self._stream.close()
        return text

    def _read(self, flags: int = 0) -> Sequence[Any]:
        lines: Sequence[Any] = self._stream.update_transcription(flags).lines
        self.n_computed += sum(round(line.duration * SAMPLE_RATE_HZ) for line in lines if line.is_updated)
        return lines


def _text(lines: Iterable[Any]) -> str:
    return " ".join(filter(None, (line.text.strip() for line in lines)))
