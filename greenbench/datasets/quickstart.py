"""The bundled evaluation speech: synthetic, small, and free to ship, so that a first run needs no network."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from greenbench.assets import QUICKSTART
from greenbench.datasets.audio import read_audio
from greenbench.datasets.manifest import Manifest
from greenbench.plugins import Clip, Waveform


@dataclass(frozen=True)
class Quickstart:
    """The bundled synthetic speech, 270 utterances in nine voices (how it was made stands beside it).

    Attributes:
        voices: ``seen``: those the bundled teacher was trained on, with sentences it was not; ``unseen``: the others.
    """

    voices: Literal["all", "seen", "unseen"] = "all"

    @property
    def label(self) -> str:
        """The default name of the data set in rows."""
        return "quickstart" if self.voices == "all" else f"quickstart/{self.voices}"

    def prepare(self) -> None:
        """Check that the package is whole."""
        self._manifest().prepare()

    def __call__(self) -> Iterator[Clip]:
        """Yield the clips in the order of the manifest."""
        wanted = self._wanted()
        return (clip for clip in self._manifest()() if clip.speaker in wanted)

    def _manifest(self) -> Manifest:
        return Manifest(QUICKSTART / "evaluation" / "manifest.jsonl")

    def _wanted(self) -> set[str]:
        """Return the voices asked for."""
        seen = {True: "seen", False: "unseen"}
        with self._manifest().path.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        return {row["speaker"] for row in rows if self.voices in ("all", seen[row["seen"]])}


def unlabelled() -> list[Waveform]:
    """Return the bundled speech without transcripts, 600 utterances of the voices that the teacher knows."""
    folder = QUICKSTART / "unlabelled"
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [read_audio(folder / json.loads(line)["audio_filepath"]) for line in lines]
