"""The bundled evaluation speech: synthetic, small, and free to ship, so that a first run needs no network."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from greenbench.assets import QUICKSTART
from greenbench.datasets.audio import audio_digest, read_audio
from greenbench.datasets.manifest import Manifest
from greenbench.plugins import Clip


@dataclass(frozen=True)
class Quickstart:
    """The bundled synthetic speech, 270 utterances in nine voices (a README in its folder says how it was made).

    Attributes:
        voices: ``all``; ``seen``: those that the teacher was trained on, in other sentences; ``unseen``: the others.
        part: ``evaluation``, or ``unlabelled``: 600 utterances of seen voices without transcripts, for distillation.
    """

    voices: Literal["all", "seen", "unseen"] = "all"
    part: Literal["evaluation", "unlabelled"] = "evaluation"

    @property
    def label(self) -> str:
        """The default name of the data set in rows."""
        chosen = [*([self.part] if self.part != "evaluation" else []), *([self.voices] if self.voices != "all" else [])]
        return "/".join(["quickstart", *chosen])

    def prepare(self) -> None:
        """Check that the package is whole."""
        Manifest(self._path(), transcribed=self.part == "evaluation").prepare()

    def __call__(self) -> Iterator[Clip]:
        """Yield the clips in the order of the manifest."""
        known = {"all": (True, False), "seen": (True,), "unseen": (False,)}[self.voices]
        return (_clip(line, self._path().parent) for line in self._lines() if line["seen"] in known)

    def _path(self) -> Path:
        return QUICKSTART / self.part / "manifest.jsonl"

    def _lines(self) -> Iterator[dict[str, Any]]:
        with self._path().open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _clip(line: Mapping[str, Any], folder: Path) -> Clip:
    name = line["audio_filepath"]
    audio, clip_id = folder / name, name.rpartition(".")[0]
    digest = partial(audio_digest, audio)
    slices = {key: line[key] for key in ("kind", "engine", "noise") if key in line}
    slices["voices"] = "seen" if line["seen"] else "unseen"
    return Clip(clip_id, partial(read_audio, audio), line.get("text", ""), line["speaker"], None, digest, slices)
