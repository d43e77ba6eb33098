"""Calibration speech: the data set by which a method or a build chooses and fits, and the digest of what it takes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import WithJsonSchema

from greenbench.datasets.audio import samples_digest
from greenbench.datasets.corpus import N_HASH
from greenbench.datasets.nested import NamedSpeech, dataset
from greenbench.errors import InputError
from greenbench.models.frames import receptive_field
from greenbench.plugins import SAMPLE_RATE_HZ, CalibrationData, Clip, Context, Fetched, Waveform

if TYPE_CHECKING:
    from torch import Tensor

BUNDLED: Mapping[str, Any] = {"use": "quickstart", "part": "unlabelled"}
"""The default: synthetic English in nine voices, without transcripts."""


def to_fetch(speech: Mapping[str, Any]) -> str | None:
    """Say what of a setting's data set would be downloaded; None where it is here.

    Raises:
        InputError: its list is wrong.
        MissingError: it is not here, and is not downloaded.
    """
    source = dataset(speech)
    if isinstance(source, Fetched):
        return source.to_fetch()
    next(iter(source()), None)
    return None


def clips(speech: Mapping[str, Any], n: int, n_others: int = 0) -> tuple[Sequence[Clip], Sequence[Clip]]:
    """Return clips to calibrate on, and others to validate on, each spread over the whole data set.

    Args:
        speech: the setting.
        n: clips to calibrate on; all where there are fewer.
        n_others: clips to validate on; the same ones where no others are left.

    Raises:
        InputError: there is none.
        MissingError: the data set is not here.
    """
    source = dataset(speech)
    source.prepare()
    found = list(source())
    if not found:
        raise InputError(f"calibration: {source.label} has no utterance: name another data set")
    chosen = _spread(found, n)
    ids = {clip.id for clip in chosen}
    others = [clip for clip in found if clip.id not in ids] or chosen
    return chosen, _spread(others, n_others) if n_others else ()


def _spread(found: Sequence[Clip], n: int) -> Sequence[Clip]:
    """Return ``n`` of the clips at equal distances, so that all voices of an ordered data set are among them."""
    return found[:: max(1, len(found) // n)][:n]


def inputs(extractor: Any, clips: Sequence[Clip], n_least: int = 0) -> list[dict[str, Any]]:
    """Return a model's inputs for each utterance alone, as numpy arrays, so that no frame is padding.

    Args:
        extractor: the model's transformers feature extractor.
        clips: the utterances.
        n_least: samples to which shorter ones are filled up with zeros.
    """

    def one(waveform: Waveform) -> dict[str, Any]:
        filled = np.pad(waveform, (0, max(0, n_least - len(waveform))))
        return dict(extractor(filled, sampling_rate=SAMPLE_RATE_HZ, return_tensors="np"))

    return [one(clip.read()) for clip in clips]


def speech_for(model: Any, context: Context, speech: Mapping[str, Any], n: int) -> list[dict[str, Any]]:
    """Return the inputs of calibration speech as tensors for a model, on its device and in its precision.

    Args:
        model: a transformers CTC model.
        context: with its feature extractor.
        speech: the setting.
        n: utterances to take, spread over the whole; all where there are fewer.

    Returns:
        Named inputs of the model for each utterance alone.

    Raises:
        InputError: there is no speech, or the context has no feature extractor.
        MissingError: the data set is not here.
    """
    import torch

    if context.extractor is None:
        raise InputError(
            "calibration: speech is read by the model's feature extractor: give `extractor` in the context"
        )
    weight = next(p for p in model.parameters() if p.is_floating_point())

    def fitting(array: Any) -> Any:
        tensor = torch.from_numpy(array).to(weight.device)
        return tensor.to(weight.dtype) if tensor.is_floating_point() else tensor

    found = inputs(context.extractor, clips(speech, n)[0], receptive_field(model.config))
    return [{name: fitting(array) for name, array in one.items()} for one in found]


def described(speech: Mapping[str, Any], n: int, n_others: int = 0) -> CalibrationData:
    """Return the name of the data set, and the digest of the clips that are taken from it.

    Raises:
        InputError: as ``clips`` does.
        MissingError: as there.
    """
    return _described(json.dumps(speech, sort_keys=True), n, n_others)


@lru_cache
def _described(speech: str, n: int, n_others: int) -> CalibrationData:
    """Describe speech once a process: rows of all variants ask for it."""
    given = json.loads(speech)
    digest = hashlib.sha256()
    for part in clips(given, n, n_others):
        for clip in part:
            content = (clip.digest and clip.digest()) or samples_digest(clip.read())
            digest.update(f"{len(clip.id)} {clip.id} {content}\n".encode())
        digest.update(b"\n")
    return CalibrationData(dataset(given).label, digest.hexdigest()[:N_HASH])


NUtterances = Annotated[int, WithJsonSchema({"type": "integer", "minimum": 1})]
"""A number of utterances; ``SpeechSettings`` refuses 0, from Python too, and editors are told by the schema."""


@dataclass(frozen=True, kw_only=True)
class SpeechSettings:
    """The settings of a method that chooses or fits by calibration speech, and what is said of that speech.

    Attributes:
        calibration: the data set, in the form of a suite's.
        n_calibration: number of its utterances to use, spread over the whole data set.
    """

    calibration: NamedSpeech = field(default_factory=lambda: dict(BUNDLED))
    n_calibration: NUtterances = 64

    def __post_init__(self) -> None:
        """Refuse to look at nothing."""
        if self.n_calibration < 1:
            raise ValueError("n_calibration: give at least 1")

    @property
    def needs_speech(self) -> bool:
        """Whether the other settings ask for speech at all."""
        return True

    def to_fetch(self) -> str | None:
        """Say what of the calibration speech would be downloaded; None where none is needed."""
        return to_fetch(self.calibration) if self.needs_speech else None

    def calibrated_on(self) -> CalibrationData | None:
        """Return the name of the speech and the digest of what is taken from it; None where none is needed."""
        return described(self.calibration, self.n_calibration) if self.needs_speech else None

    def speech(self, model: Any, context: Context) -> "list[dict[str, Tensor]]":
        """Return the speech as ``speech_for`` does; none where none is needed."""
        return speech_for(model, context, self.calibration, self.n_calibration) if self.needs_speech else []
