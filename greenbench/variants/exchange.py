"""What a recogniser in another process is sent and answers: one JSON object a request, with the audio as WAV."""

import base64
import io
import json
import os
import shutil
import wave
import weakref
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal

from greenbench.errors import AnswerError
from greenbench.files.unicode import from_json, visible
from greenbench.plugins import SAMPLE_RATE_HZ, Waveform
from greenbench.variants.pcm import pcm16

Audio = Literal["path", "base64"]
"""How audio is handed over: the paths of WAV files, or their content."""

CONTRACT = 'an answer is {"id": the request\'s, "texts": [one text for each utterance]}'

RAM, ROOM_BYTES = Path("/dev/shm"), 2**28  # noqa: S108 (a folder of its own is made there)
"""The files of a request lie in memory where there is such a folder with so much room, else among temporary files."""

MAX_ANSWER_BYTES = 2**28
"""An answer is shorter: texts of thousands of hours are."""


def wav(waveform: Waveform) -> bytes:
    """Return a WAV file of 16-bit PCM, mono, 16 kHz, of a float32 waveform of shape ``(n_samples,)``."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(pcm16(waveform))
    return buffer.getvalue()


class Requests:
    """Makes requests, and reads the answer to each.

    Attributes:
        n: requests so far.
        folder: with the files of the latest request; removed with this object. None where no files are handed over.
    """

    def __init__(self, audio: Audio) -> None:
        self.n = 0
        self.folder = Path(mkdtemp(prefix="greenbench-", dir=_ram())) if audio == "path" else None
        if self.folder is not None:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def request(self, batch: Sequence[Waveform]) -> bytes:
        """Return a request in one line: ``{"id": 1, "wav_paths": [...]}`` or ``{"id": 1, "wav_base64": [...]}``."""
        self.n += 1
        files = map(wav, batch)
        if self.folder is None:
            handed = {"wav_base64": [base64.b64encode(content).decode() for content in files]}
        else:
            handed = {"wav_paths": [self._written(place, content) for place, content in enumerate(files)]}
        return json.dumps({"id": self.n, **handed}).encode() + b"\n"

    def _written(self, place: int, content: bytes) -> str:
        assert self.folder is not None
        aside = self.folder / f"{place}.wav"
        aside.write_bytes(content)
        return str(aside)

    def texts(self, answer: bytes, n_waveforms: int) -> list[str]:
        """Return the texts of the answer to the latest request; keys that are not asked for are ignored.

        Raises:
            AnswerError: it is not of that form, or answers another request.
        """
        content = read(answer)
        if not isinstance(content, dict) or not isinstance(content.get("texts"), list) or "id" not in content:
            raise AnswerError(excerpt(answer), CONTRACT)
        number, texts = content["id"], list[str](content["texts"])
        if number != self.n:
            raise AnswerError(f"an answer to request {visible(str(number))[:60]} where {self.n} was asked", CONTRACT)
        if len(texts) != n_waveforms or not all(isinstance(text, str) for text in texts):
            raise AnswerError(f"{len(texts)} texts for a batch of {n_waveforms}: {excerpt(answer)}", CONTRACT)
        return texts


def read(line: bytes) -> object:
    """Return what a line of JSON holds; None where it is none."""
    try:
        content: object = from_json(line)
    except (ValueError, RecursionError):
        return None
    return content


def excerpt(line: bytes) -> str:
    """Quote the beginning of what another process sent."""
    return json.dumps(visible(line[:60].decode(errors="replace"))) + (" ..." if len(line) > 60 else "")


def _ram() -> Path | None:
    return RAM if os.access(RAM, os.W_OK) and shutil.disk_usage(RAM).free > ROOM_BYTES else None
