"""The PocketSphinx family: a streaming decoder of hidden Markov models, with the English models that it brings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from greenbench import extras
from greenbench.errors import MissingError
from greenbench.models import hub
from greenbench.models.packaged import Packaged
from greenbench.plugins import Footprint, Partial, Step, Variant, VariantInfo, Waveform
from greenbench.variants import cpu_only
from greenbench.variants.pcm import pcm16
from greenbench.variants.sequential import one_by_one

MODELS = {"en-us": Packaged("pocketsphinx", "pocketsphinx", "model/en-us")}
"""Models that a package brings."""

ACOUSTIC, LANGUAGE, WORDS = "en-us", "en-us.lm.bin", "cmudict-en-us.dict"
"""What a model's folder holds: Gaussian mixtures in a folder of their own, word trigrams, and pronunciations."""


@dataclass(frozen=True)
class PocketSphinx:
    """Settings of PocketSphinx, which decodes on one thread with the settings of its own.

    Attributes:
        model: ``en-us``, which the package brings.
    """

    model: Literal["en-us"] = "en-us"

    presets: ClassVar[Mapping[str, Any]] = {name: {"model": name} for name in MODELS}
    takes_builds: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The model, as part of a default name."""
        return self.model

    def __call__(self, name: str, chain: Sequence[tuple[str, Step]]) -> Variant:  # noqa: ARG002
        """Return the variant."""
        packaged = MODELS[self.model]
        return Variant(
            name=name,
            load=partial(_load, self.model),
            check=self._check,
            prepare=self._check,
            unsupported=partial(cpu_only.unsupported, "pocketsphinx", "PocketSphinx"),
            extras=("pocketsphinx",),
            identity=self._identity,
            decoding=lambda: "beam search and lattice, with its trigram language model",
            info=VariantInfo(licence="BSD-2-Clause", weights_package=str(packaged) if packaged.folder else None),
        )

    def _check(self) -> None:
        """Look at the files; what is not installed is said by ``unsupported``."""
        if not extras.missing(["pocketsphinx"]):
            _whole_folder(self.model)

    def _identity(self) -> tuple[str, ...]:
        folder = MODELS[self.model].folder
        if folder is None or _lost(folder):
            return ()
        return hub.identity_of(_files(folder))


def _files(folder: Path) -> list[Path]:
    """Return the files that are loaded."""
    return [*sorted((folder / ACOUSTIC).iterdir()), folder / LANGUAGE, folder / WORDS]


def _lost(folder: Path) -> list[str]:
    return [name for name in (ACOUSTIC, LANGUAGE, WORDS) if not (folder / name).exists()]


def _whole_folder(model: str) -> Path:
    """Return a model's folder, and refuse one that lacks a file."""
    folder = MODELS[model].folder
    lost = [model] if folder is None else _lost(folder)
    if folder is None or lost:
        remedy = "Install it again (`pip install --force-reinstall pocketsphinx`)."
        raise MissingError(f"model {model}: {', '.join(lost)} not in {MODELS[model]}. {remedy}")
    return folder


def _load(model: str, device: str) -> "_Recogniser":  # noqa: ARG001
    extras.need("pocketsphinx")
    return _Recogniser(_whole_folder(model))


class _Recogniser:
    """A loaded PocketSphinx; each utterance begins with the model's own cepstral mean, whatever was spoken before.

    A decoder holds one utterance at a time, so that there are as many as sessions were open at once.
    """

    batching = "sequential"

    def __init__(self, folder: Path) -> None:
        self.footprint = Footprint(model_bytes=sum(file.stat().st_size for file in _files(folder)))
        self._folder = folder
        self._idle = [self._decoder()]

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        return one_by_one(self._transcribe, batch)

    def open(self) -> "_DecoderSession":
        """Return a session for the next utterance."""
        return _DecoderSession(self._begun(), self._idle)

    def _transcribe(self, waveform: Waveform) -> str:
        session = self.open()
        session.take(waveform, whole=True)
        return session.finish()

    def _begun(self) -> Any:
        decoder = self._idle.pop() if self._idle else self._decoder()
        decoder.reinit_feat()  # else the mean would go on from the utterance before
        decoder.start_utt()
        return decoder

    def _decoder(self) -> Any:
        from pocketsphinx import Decoder

        hmm, lm, words = (str(self._folder / name) for name in (ACOUSTIC, LANGUAGE, WORDS))
        return Decoder(hmm=hmm, lm=lm, dict=words, loglevel="ERROR")


class _DecoderSession:
    """One utterance of a decoder, which goes back to the idle ones in the end.

    No word is final before the end: the best path may change from its first word on, and the words are searched a
    second time then.
    """

    def __init__(self, decoder: Any, idle: list[Any]) -> None:
        self.n_computed = 0
        self._decoder, self._idle, self._text = decoder, idle, ""

    def feed(self, chunk: Waveform) -> Partial | None:
        """Search on; None where the best path has the same words as before."""
        self.take(chunk)
        before, self._text = self._text, self._best()
        return None if self._text == before else Partial(self._text)

    def take(self, audio: Waveform, whole: bool = False) -> None:
        """Search on; ``whole``: this is all of the utterance, by which it is normalised."""
        self.n_computed += len(audio)
        if len(audio):
            self._decoder.process_raw(pcm16(audio), full_utt=whole)

    def finish(self) -> str:
        """Search all of it again among the words that were found, and then the lattice of these."""
        self._decoder.end_utt()
        self.n_computed *= 2
        text = self._best()
        self._idle.append(self._decoder)
        return text

    def _best(self) -> str:
        best = self._decoder.hyp()
        return "" if best is None else str(best.hypstr)
