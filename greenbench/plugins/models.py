"""Models: the protocols and types of variants, of loaded models, and of the methods that change them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from greenbench.plugins.events import Observer, unobserved
from greenbench.plugins.footprint import Footprint
from greenbench.plugins.meters import Origin
from greenbench.plugins.speech import Spoken, Utterance, Waveform

LINEAGE = "greenbench.json"
"""The file in a student's folder with its lineage: parent, steps, speech, training seconds and joules."""


class Inapplicable(str):
    """A permanent reason why a build does not run on a device: it is not made for it.

    Any other reason can be removed, by installing an extra or a tool; a run with such a cell is incomplete.
    """

    __slots__ = ()


@runtime_checkable
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
        weights_package: the installed package that brings the weights, with its version (``moonshine-voice 0.0.73``);
            None where they are a folder's or the hub's.
        synthetic: the weights are random: speed, memory and energy mean something, WER does not.
        training_s: seconds of a student's training; None where nothing was trained, or it is unknown.
        training_energy_j: gross joules of that training.
        training_energy_method: ``counter``, ``sampled`` or ``estimated``.
    """

    n_params: int | None = None
    licence: str | None = None
    revision: str | None = None
    weights_package: str | None = None
    synthetic: bool = False
    training_s: float | None = None
    training_energy_j: float | None = None
    training_energy_method: Origin | None = None


@dataclass(frozen=True)
class Context:
    """What a method may need in addition to the model; a build that is chained onto a variant gets ``extractor``.

    Attributes:
        teacher: the model before the first method, for those that train or compare (``NeedsTeacher``).
        teachers: further models for a training to learn from, each with its feature extractor and its tokeniser.
        extractor: the first teacher's transformers feature extractor.
        tokenizer: its tokeniser.
        train: speech to train on; ``reference`` is empty where there is no transcript.
        validation: speech to choose by, with transcripts.
        folder: where a training keeps its checkpoints and its log.
        device: ``cpu``, ``cuda:0`` ...
        estimate_energy: use an estimate where no counter answers.
        observe: receives ``TrainingLogged`` for a row of the log, and ``Phase`` when another part begins.
        report: receives the cost of a training at its end.
    """

    teacher: Any = None
    teachers: Sequence[tuple[Any, Any, Any]] = ()
    extractor: Any = None
    tokenizer: Any = None
    train: Sequence[Spoken] = ()
    validation: Sequence[Utterance] = ()
    folder: Path | None = None
    device: str = "cpu"
    estimate_energy: bool = False
    observe: Observer = unobserved
    report: Callable[[Any], None] = lambda _progress: None


BARE = Context()


class Method(Protocol):
    """A compression method or build *is* its settings (group ``greenbench.methods``)."""

    def unsupported(self, device: str) -> str | None:
        """Say why this build cannot run on ``device`` (``cpu``, ``cuda:0``), or return None.

        A permanent reason is ``Inapplicable``: a suite of several devices then plans no such cell.
        """
        ...

    def __call__(self, model: Any, context: Context) -> Any:
        """Return the compressed ``torch.nn.Module``; the argument may be changed in place."""
        ...


@runtime_checkable
class Export(Protocol):
    """A build at the end of a chain: another engine runs the model, from files that are written once.

    Like a method it is registered in ``greenbench.methods``, and its settings are a frozen dataclass.
    """

    def unsupported(self, device: str) -> str | None:
        """Say why this build cannot run on ``device``, or return None."""
        ...

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages that write the files, by name."""
        ...

    def export(self, model: Any, extractor: Any, folder: Path) -> int | None:
        """Write the files of a torch module on the CPU, and return the bits of its weights in them.

        Args:
            model: the torch module.
            extractor: its transformers feature extractor.
            folder: where the files go.

        Returns:
            The bits of all weights, scales and zeros of integers included; None where unknown.
        """
        ...

    def open(self, folder: Path) -> Any:
        """Return what runs them.

        Returns:
            A callable: named numpy inputs in, numpy logits ``(n_utterances, n_frames, n_tokens)`` out. Of a model with
            chunks its steps, ``models.chunk_steps.ChunkSteps``.
        """
        ...


Step: TypeAlias = Method | Export
"""A step of a chain: a method, or the one export that may end the chain."""


@runtime_checkable
class KnownPrecision(Protocol):
    """An export that knows the precision of its engine (optional); without it ``compute_dtype`` is empty."""

    @property
    def compute_dtype(self) -> str | None:
        """The precisions in which the engine computes, as in ``Footprint``; None where unknown."""
        ...


@runtime_checkable
class Calibrated(Protocol):
    """A method or export whose result depends on speech, too (optional); the speech is a part of what was measured."""

    def calibrated_on(self) -> "CalibrationData | None":
        """Return the speech, None where the settings need none; raise ``MissingError`` where it is not here."""
        ...


@dataclass(frozen=True)
class CalibrationData:
    """The speech that a build was calibrated on.

    Attributes:
        name: of the data set, as it would stand in rows.
        digest: of the utterances that were taken, by their content.
    """

    name: str
    digest: str

    def __str__(self) -> str:
        """Return what stands in a row: ``quickstart/unlabelled:9f86d081884c7d65``."""
        return f"{self.name}:{self.digest}"


@runtime_checkable
class NeedsExtra(Protocol):
    """A method that does not run without one of greenbench's own extras, such as ``onnx`` (optional)."""

    extra: ClassVar[str]


@runtime_checkable
class NeedsTeacher(Protocol):
    """A method that compares with the model before the first method, its teacher (optional).

    Attributes:
        needs_teacher: True; a chain of builds then keeps a copy of the model for it, as ``Context.teacher``.
    """

    needs_teacher: ClassVar[bool]


@dataclass(frozen=True)
class Variant:
    """One thing to measure: a model as one build.

    Attributes:
        name: unique within a suite; the ``variant`` column.
        load: takes a device (``cpu``, ``cuda:0``) and returns the ready model.
        to_fetch: describes what ``fetch`` would download; None where nothing is missing.
        fetch: downloads weights that are not on this machine; raises ``MissingError`` with the remedy.
        check: raises ``InputError`` or ``MissingError`` where settings and local files show that the variant cannot
            run; loads, downloads and exports nothing, and ignores what is still to be fetched.
        to_make: describes what ``prepare`` would make from the weights; None where it is in the cache.
        prepare: makes what takes long once the weights are on this machine, such as an export; raises ``MissingError``.
        unsupported: says why the variant cannot run on a device, or returns None.
        precision: returns the one that it multiplies in on the CPU, as its settings state it: ``bf16``, ``fp16`` or
            ``int8``; None for any other, and where an engine chooses its own.
        extras: extras of greenbench that it needs, such as ``torch``.
        identity: returns what is measured, independent of its name: the digest of the weights' content, then what the
            settings do to them, such as ``int8``; chained builds are appended to it. Empty where the weights are not on
            this machine. None, where a family does not state it, stands for its settings.
        parent: the variant that it was made from, by the name that it had there.
        ancestors: returns the identities of the models that it was made from, the nearest first, as far as its own
            files state them; one of which only the name is known is ``("name:NAME",)``.
        steps: names of the methods applied, in order: the compression lineage.
        decoding: returns how a loaded model's output becomes text: ``greedy``, or ``beam 5`` with its language and
            language model; None where the family does not state it.
        calibration: returns the speech that each of its builds was calibrated on, in order; empty where none was.
        unmeasured: by metric, why no meter here reads it of this model, such as the memory of a server; the metric is
            then null, and the row says why. Of joules all parts are unmeasured, or none.
        warnings: returns what a user should know of a loaded model before relying on its figures, a sentence each.
        info: licence, parameters, revision.
    """

    name: str
    load: Callable[[str], Transcriber]
    to_fetch: Callable[[], str | None] = lambda: None
    fetch: Callable[[], None] = lambda: None
    check: Callable[[], None] = lambda: None
    to_make: Callable[[], str | None] = lambda: None
    prepare: Callable[[], None] = lambda: None
    unsupported: Callable[[str], str | None] = lambda _device: None
    precision: Callable[[], str | None] = lambda: None
    extras: tuple[str, ...] = ()
    identity: Callable[[], tuple[str, ...]] | None = None
    parent: str | None = None
    ancestors: Callable[[], Sequence[tuple[str, ...]]] = tuple
    steps: tuple[str, ...] = ()
    decoding: Callable[[], str | None] = lambda: None
    calibration: Callable[[], Sequence[CalibrationData]] = tuple
    unmeasured: Mapping[str, str] = field(default_factory=dict)
    warnings: Callable[[], Sequence[str]] = tuple
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
        """The part of a default name that identifies these settings, e.g. the hub id."""
        ...

    def __call__(self, name: str, chain: Sequence[tuple[str, Step]]) -> Variant:
        """Return the variant of these settings with a chain of methods, each with its label.

        Raises:
            InputError: the chain is impossible (see ``plugins.parted``).
        """
        ...


@runtime_checkable
class NamesProgram(Protocol):
    """A family whose settings name code or a server (optional): `leaderboard verify` does not run it for an entry.

    Attributes:
        names_program: True; a suite of this family runs what its author wrote, as a script does.
    """

    names_program: ClassVar[bool]
