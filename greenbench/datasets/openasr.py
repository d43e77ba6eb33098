"""The Open ASR Leaderboard's sets of English speech, by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from greenbench.datasets.huggingface import HuggingFace
from greenbench.plugins import Clip, ModelRef
from greenbench.text.characters import as_read
from greenbench.text.normalizers import whisper_english

Subset = Literal[
    "ami",
    "ami_cleaned",
    "earnings22",
    "gigaspeech",
    "gigaspeech_cleaned",
    "librispeech.clean",
    "librispeech.other",
    "spgispeech",
    "tedlium",
    "voxpopuli",
    "voxpopuli_cleaned_aa",
]
"""Configurations of the hub's data set, as the leaderboard's scripts name them (`transformers/run_whisper.sh`,
`ctranslate2/run_whisper.sh`); LibriSpeech has two splits."""

_UNSCORED = ("", "ignore time segment in scoring")
"""Normalised references that the leaderboard leaves out (`is_target_text_in_range` in `normalizer/data_utils.py`)."""


@dataclass(frozen=True)
class OpenAsr:
    """A set of the Open ASR Leaderboard (hf-audio/open-asr-leaderboard on the hub), each under its own licence.

    Utterances that the leaderboard does not score are left out: those without a word after normalisation, and those
    marked to be ignored.

    Attributes:
        subset: which set, as the leaderboard names it; the cleaned ones are those that it uses since 2026.
        path: the data set on the hub, or a folder with a copy of it.
        revision: commit or tag of the hub's repository.
        streaming: read rows from the hub in each pass, rather than download the set once.
    """

    subset: Subset
    path: ModelRef = "hf-audio/open-asr-leaderboard"
    revision: str | None = None
    streaming: bool = False

    @property
    def label(self) -> str:
        """``open-asr/<subset>``."""
        return f"open-asr/{self.subset}"

    def to_fetch(self) -> str | None:
        """Say what would be downloaded."""
        return self._data().to_fetch()

    def prepare(self) -> None:
        """Open the set, downloading it if necessary.

        Raises:
            MissingError: the library is not installed, or the set cannot be opened.
        """
        self._data().prepare()

    def __call__(self) -> Iterator[Clip]:
        """Yield the clips that the leaderboard scores."""
        normalize = whisper_english().apply
        return (clip for clip in self._data()() if normalize(as_read(clip.reference)).strip() not in _UNSCORED)

    def _data(self) -> HuggingFace:
        config, _, part = self.subset.partition(".")
        split = f"test.{part}" if part else "test"
        return HuggingFace(self.path, config, split, revision=self.revision, streaming=self.streaming)
