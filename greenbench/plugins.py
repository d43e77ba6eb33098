"""What a plug-in provides: the contracts between the harness and models, data sets, meters and methods.

Every plug-in but a normaliser is a *frozen dataclass of settings*: its fields are the keys that a suite file
may give it, checked strictly, and written back into ``run.json``. What it does is one or two methods.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, ValidationInfo

from greenbench.traces import Trace

SAMPLE_RATE_HZ = 16_000

LINEAGE = "greenbench.json"
"""What a student's folder says about where it comes from: parent, steps, speech, training seconds and joules."""

Waveform = npt.NDArray[np.float32]
"""Mono audio, shape ``(n_samples,)``, at ``SAMPLE_RATE_HZ``, nominally within -1..1."""


def _resolve(path: Path, info: ValidationInfo) -> Path:
    """Make a suite's path absolute: the suite file's folder wins where the path exists there."""
    base = (info.context or {}).get("base")
    if path.is_absolute() or base is None:
        return path
    beside_suite = Path(base) / path
    return (beside_suite if beside_suite.exists() else Path.cwd() / path).resolve()


def _resolve_folder(value: str, info: ValidationInfo) -> str:
    """Make a model's folder absolute and leave a hub id as it is."""
    resolved = _resolve(Path(value), info)
    return str(resolved) if resolved.exists() else value


SuitePath = Annotated[Path, AfterValidator(_resolve)]
"""A path in a suite file: relative to the suite file's folder if it exists there, else to the working directory."""

ModelRef = Annotated[str, AfterValidator(_resolve_folder)]
"""A folder (resolved like ``SuitePath``) or a hub id such as ``facebook/wav2vec2-base-960h``."""


# --- data ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clip:
    """One utterance that is not decoded yet; a data set yields these, so it never holds audio.

    Attributes:
        id: unique within the data set.
        read: decodes the audio; raises ``BadAudioError`` naming the file.
        reference: the transcript as the corpus gives it, not normalised.
        speaker: who speaks, where known.
        duration_s: seconds of audio, looked up without decoding (about: a header may be wrong); None where only
            decoding tells.
    """

    id: str
    read: Callable[[], Waveform]
    reference: str
    speaker: str | None = None
    duration_s: Callable[[], float] | None = None


@dataclass(frozen=True)
class Utterance:
    """One decoded utterance; ``audio`` is a ``Waveform``, ``reference`` is not normalised."""

    id: str
    audio: Waveform
    reference: str
    speaker: str | None = None

    @property
    def n_samples(self) -> int:
        """Length of the audio."""
        return len(self.audio)

    @property
    def duration_s(self) -> float:
        """Seconds of audio."""
        return self.n_samples / SAMPLE_RATE_HZ


class Spoken(Protocol):
    """An utterance whose audio is at hand or will be: what ``Utterance`` is, and what is decoded when it is heard."""

    @property
    def id(self) -> str:
        """Unique within the speech."""
        ...

    @property
    def audio(self) -> Waveform:
        """The waveform; asking may decode it."""
        ...

    @property
    def reference(self) -> str:
        """The transcript, empty where there is none."""
        ...

    @property
    def speaker(self) -> str | None:
        """Who speaks, where known."""
        ...

    @property
    def n_samples(self) -> int:
        """Length of the audio, known without decoding."""
        ...

    @property
    def duration_s(self) -> float:
        """Seconds of audio, known without decoding."""
        ...


class Dataset(Protocol):
    """Where utterances come from (group ``greenbench.datasets``)."""

    @property
    def label(self) -> str:
        """The default name of the data set in rows, e.g. ``librispeech/test-other``."""
        ...

    def prepare(self) -> None:
        """Make the data available, downloading if need be; raise ``MissingError`` with the remedy."""
        ...

    def __call__(self) -> Iterator[Clip]:
        """Yield the clips lazily, always in the same order."""
        ...


# --- models ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Footprint:
    """What a loaded model weighs.

    Attributes:
        n_params: parameters, quantised ones included; ``None`` where the engine does not tell.
        model_bytes: bytes of the serialised state of what runs; ``None`` where that is not known.
        macs: multiply-accumulates to transcribe one utterance of so many samples; ``None`` where not known.
        n_nonzero_params: counts the parameters that are not zero, once the model is loaded and timed; ``None`` where
            not known.
        compute_dtype: the precisions that its matrix products and convolutions run in, from ``roofline.PRECISIONS``
            and in that order: ``bf16``, ``fp32+int8``; ``None`` where not known.
    """

    n_params: int | None = None
    model_bytes: int | None = None
    macs: Callable[[int], float | None] = lambda _n_samples: None
    n_nonzero_params: Callable[[], int | None] = lambda: None
    compute_dtype: str | None = None


class Transcriber(Protocol):
    """A loaded model: waveforms in, text out.

    Attributes:
        footprint: its size.
        batching: how the engine runs a batch: ``padded`` (together) or ``sequential`` (one after the other).
    """

    footprint: Footprint
    batching: str

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        """Transcribe a batch; return only when the device has finished. One text a waveform, in order."""
        ...


@dataclass(frozen=True)
class VariantInfo:
    """What is known about a variant before it is loaded.

    Attributes:
        n_params: published parameter count.
        licence: SPDX identifier of the weights' licence.
        revision: the hub revision asked for.
        synthetic: the weights are random: speed, memory and energy mean something, WER does not.
        training_s: seconds that a student's training took; None where nothing was trained here, or it is not known.
        training_energy_j: gross joules of that training.
        training_energy_method: ``counter``, ``sampled`` or ``estimated``.
    """

    n_params: int | None = None
    licence: str | None = None
    revision: str | None = None
    synthetic: bool = False
    training_s: float | None = None
    training_energy_j: float | None = None
    training_energy_method: str | None = None


@dataclass(frozen=True)
class Context:
    """What a method may need beside the model; a build that is chained onto a variant gets the bare one.

    Attributes:
        teacher: the model before the first method, for those that train.
        extractor: its transformers feature extractor.
        tokenizer: its tokeniser.
        train: speech to train on; ``reference`` is empty where there is no transcript.
        validation: speech to choose by, with transcripts.
        folder: where a training keeps its checkpoints and its log.
        device: ``cpu``, ``cuda:0`` ...
        estimate_energy: use an estimate where no counter answers.
        observe: told a row of the log, as ``training``, and what else begins, as ``phase``.
        report: told what a training took, at its end.
    """

    teacher: Any = None
    extractor: Any = None
    tokenizer: Any = None
    train: Sequence[Spoken] = ()
    validation: Sequence[Utterance] = ()
    folder: Path | None = None
    device: str = "cpu"
    estimate_energy: bool = False
    observe: Callable[[str, Mapping[str, Any]], None] = lambda _kind, _content: None
    report: Callable[[Any], None] = lambda _progress: None


BARE = Context()


class Method(Protocol):
    """A compression method or build *is* its settings (group ``greenbench.methods``)."""

    def unsupported(self, device: str) -> str | None:
        """Say why this build cannot run on ``device`` (``cpu``, ``cuda:0``), or return None."""
        ...

    def __call__(self, model: Any, context: Context) -> Any:
        """Return the compressed ``torch.nn.Module``; the argument may be changed in place."""
        ...


@runtime_checkable
class Export(Protocol):
    """A build that ends a chain: another engine runs the model, from files that are written once.

    It may have an attribute ``compute_dtype``, as ``Footprint`` has, where it knows what the engine multiplies in.
    """

    def unsupported(self, device: str) -> str | None:
        """Say why this build cannot run on ``device``, or return None."""
        ...

    def versions(self) -> dict[str, str]:
        """Return the versions of what writes the files, by package."""
        ...

    def export(self, model: Any, extractor: Any, folder: Path) -> None:
        """Write the files of a torch module on the CPU; ``extractor`` is its transformers feature extractor."""
        ...

    def open(self, folder: Path) -> Callable[[Mapping[str, Any]], Any]:
        """Return what runs them: named numpy inputs in, numpy logits ``(n_utterances, n_frames, n_tokens)`` out."""
        ...


@dataclass(frozen=True)
class Variant:
    """One thing to measure: a model as one build.

    Attributes:
        name: unique within a suite; the ``variant`` column.
        load: takes a device (``cpu``, ``cuda:0``) and returns the ready model.
        prepare: fetches the weights if need be; raises ``MissingError`` with the remedy.
        unsupported: says why the variant cannot run on a device, or returns None.
        parent: the variant it was made from.
        steps: names of the methods applied, in order: the compression lineage.
        info: licence, parameters, revision.
    """

    name: str
    load: Callable[[str], Transcriber]
    prepare: Callable[[], None] = lambda: None
    unsupported: Callable[[str], str | None] = lambda _device: None
    parent: str | None = None
    steps: tuple[str, ...] = ()
    info: VariantInfo = field(default_factory=VariantInfo)


class VariantFamily(Protocol):
    """A family of models that load alike (group ``greenbench.variants``).

    Attributes:
        presets: registered names of the family: ``large-960h`` makes ``wav2vec2/large-960h``.
        takes_builds: whether methods can be chained on (the family's models are torch modules).
    """

    presets: ClassVar[Mapping[str, Any]]
    takes_builds: ClassVar[bool]

    @property
    def label(self) -> str:
        """What identifies these settings in a default name, e.g. the hub id."""
        ...

    def __call__(self, name: str, methods: Sequence[tuple[str, Method]]) -> Variant:
        """Return the variant of these settings with the named methods applied in order."""
        ...


# --- meters ----------------------------------------------------------------------------------------------


Origin = Literal["counter", "sampled", "estimated"]
METHODS: tuple[Origin, ...] = get_args(Origin)
"""How a value came about, the strongest first: what is combined of two is as weak as the weaker."""


@dataclass(frozen=True)
class Quantity:
    """One measured value with its origin.

    Attributes:
        value: in the unit of its metric; ``None`` where the meter could not tell.
        method: one of ``METHODS``.
        source: ``rapl``, ``nvml-total-energy``, ``vmhwm`` ...
        note: what else a reader must know, e.g. the TDP behind an estimate or why the value is None.
        shared: it takes in what others use of the same thing, e.g. of the board of which the model has a slice.
    """

    value: float | None
    method: Origin
    source: str
    note: str | None = None
    shared: bool = False


@dataclass(frozen=True)
class SampledPower:
    """A power without a counter, which the poller's samples are integrated for.

    Attributes:
        names: of the values in W that the meter's ``sample`` gives; their sum is the power.
        source: of the quantity.
        note: what else a reader must know.
        shared: as of the quantity.
    """

    names: tuple[str, ...]
    source: str
    note: str | None = None
    shared: bool = False


@dataclass
class Reading:
    """What the meters read, by metric name; one reading may span several windows.

    Attributes:
        quantities: what was read so far.
        trace: what the poller sees meanwhile, for meters that need more than the window's edges; None where no
            poller runs.
        device: what the model runs on (``cpu``, ``cuda:1``), for meters that must know which GPU is meant.
        absent: by metric, why no meter here answers it.
        segments: start and end of each window so far, on ``time.perf_counter``.
        sampled: powers by metric (``energy_system_j``) that are integrated once all meters have closed.
    """

    quantities: dict[str, Quantity] = field(default_factory=dict)
    trace: Trace | None = None
    device: str | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
    segments: list[tuple[float, float]] = field(default_factory=list)
    sampled: dict[str, SampledPower] = field(default_factory=dict)

    def add(self, metric: str, quantity: Quantity) -> None:
        """Add to what earlier windows of this reading gave; an unknown part makes the whole unknown."""
        self._merge(metric, quantity, lambda a, b: a + b)

    def peak(self, metric: str, quantity: Quantity) -> None:
        """Keep the larger of this and what earlier windows of this reading gave."""
        self._merge(metric, quantity, max)

    def first(self, metric: str, quantity: Quantity) -> None:
        """Keep what the first window of this reading gave."""
        self.quantities.setdefault(metric, quantity)

    def last(self, metric: str, quantity: Quantity) -> None:
        """Keep what the latest window of this reading gave."""
        self.quantities[metric] = quantity

    def value(self, metric: str) -> float | None:
        """Return the value read, or None where no meter answered."""
        return self.quantities[metric].value if metric in self.quantities else None

    def _merge(self, metric: str, new: Quantity, combine: Callable[[float, float], float]) -> None:
        old = self.quantities.get(metric)
        if old is None or old.value is None or new.value is None:
            unknown = old if old is not None and old.value is None else new
            self.quantities[metric] = unknown
            return
        weaker = max(old, new, key=lambda quantity: METHODS.index(quantity.method))
        self.quantities[metric] = replace(weaker, value=combine(old.value, new.value))


class Meter(Protocol):
    """Reads one kind of quantity over a window (group ``greenbench.meters``).

    Attributes:
        metrics: names from METRICS that it answers.
        estimates: it models rather than measures, so it runs only when asked for.
    """

    metrics: ClassVar[tuple[str, ...]]
    estimates: ClassVar[bool]

    def unavailable(self) -> str | None:
        """Say why it cannot measure here and what to do about it, or return None."""
        ...

    def window(self, reading: Reading) -> AbstractContextManager[None]:
        """Measure what happens inside the ``with`` block; write it into ``reading`` on leaving."""
        ...


@runtime_checkable
class Polled(Protocol):
    """A meter that also answers between a window's edges: the poller's process asks it at a steady pace.

    One that needs a faster pace here than the run's says so by a number ``period_s``, in seconds.
    """

    def sample(self) -> Mapping[str, float]:
        """Return what can be seen this moment, named ``<source>.<part>.<quantity>_<unit>``; {} where nothing can."""
        ...
