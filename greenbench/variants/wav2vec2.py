"""The wav2vec 2.0 family: every CTC model that transformers' AutoModelForCTC loads, decoded greedily."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from greenbench import cache, extras, registry
from greenbench.errors import MissingError
from greenbench.models import exported, folders, hub, lineage
from greenbench.models.ctc import CtcTranscriber
from greenbench.models.lineage import Lineage
from greenbench.plugins import (
    Calibrated,
    CalibrationData,
    Export,
    Fetched,
    KnownPrecision,
    Method,
    ModelRef,
    NeedsExtra,
    Outline,
    Step,
    Variant,
    VariantInfo,
    follow,
    parted,
)
from greenbench.variants import checkpoints, fit, languages, loading, outline
from greenbench.variants.checkpoints import ARCHITECTURES, CHECKPOINTS, LICENCES, N_PARAMS


@dataclass(frozen=True)
class Wav2Vec2:
    """Settings of a wav2vec 2.0, HuBERT, WavLM, data2vec ... CTC model.

    Attributes:
        model: a folder or a hub id with trained weights.
        config: of random weights: ``base``, ``large`` or ``large-lv60``, or a folder or hub id with a config.
        weights: ``trained``; ``random`` for speed, memory and energy only; or ``available``: trained where ``model``
            is on this machine (a folder, or in the hub's cache), random by ``config`` where it is not.
        revision: hub revision of ``model``.
        seed: of random weights.
        target_lang: language of an MMS checkpoint (``fra``), whose adapter and vocabulary are taken; None is its own.
        embedding_layer: the layer, counted from 1, the mean of whose output is an utterance's embedding in the task
            ``verify``; None is the first. What layers hold of a speaker differs between models: choose it on other
            speech than the trials are of.
    """

    model: ModelRef | None = None
    config: ModelRef | None = None
    weights: Literal["trained", "random", "available"] = "trained"
    revision: str | None = None
    seed: int = 0
    target_lang: str | None = None
    embedding_layer: Annotated[int, Field(ge=1)] | None = None

    presets: ClassVar[Mapping[str, Any]] = {name: {"model": m} for name, (m, _) in CHECKPOINTS.items()}
    takes_builds: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse settings that do not say which model is meant."""
        loading.check_source(self.weights, self.model, self.config)
        if self.weights == "available" and (self.config is None or self.model is None):
            raise ValueError("`weights: available` takes `model`, and `config` for where that is not here")
        if self.target_lang is not None and self.weights != "trained":
            raise ValueError("`target_lang` takes trained weights: give `model` alone")

    def settled(self) -> "Wav2Vec2":
        """Decide what ``available`` comes to on this machine."""
        if self.weights != "available":
            return self
        if hub.is_here(str(self.model), self.revision):
            return replace(self, weights="trained", config=None)
        return replace(self, weights="random", model=None)

    @property
    def label(self) -> str:
        """The model, as part of a default name."""
        if self.model is None:
            return f"{self.config}-random"
        return self.model if self.target_lang is None else f"{self.model}-{self.target_lang}"

    def prepare(self) -> None:
        """Fetch the weights (or the configuration) if they are not here."""
        settings = self.settled()
        if settings.model is not None:
            loading.trained_folder(settings)
        elif settings.config not in ARCHITECTURES:
            label = str(settings.config)
            folders.check_type(label, loading.config_folder(settings))

    def open(self) -> tuple[Any, Any, Any]:
        """Return the torch module in float32 on the CPU, its feature extractor and its tokeniser.

        Random weights have no tokens of their own, but those of the teacher that they learn from: the tokeniser that
        they get here need not fit.

        Raises:
            MissingError: torch, or the model, is not here.
        """
        settings = self.settled()
        extras.need("torch")
        processor = loading.processor if settings.weights == "random" else loading.fitting_processor
        return (loading.module(settings, (), "cpu").float(), *processor(settings))

    def outline(self) -> Outline:
        """Return what the configuration and the lineage say of the model, as far as they are here."""
        return outline.of(self.settled())

    def __call__(self, name: str, chain: Sequence[tuple[str, Step]]) -> Variant:
        """Return the variant with methods chained on.

        Raises:
            InputError: something is to follow a build that another engine runs.
        """
        base, labels = name.removesuffix("".join(f"+{label}" for label, _ in chain)), [label for label, _ in chain]
        settings = self.settled()
        known = lineage.read(settings.model)
        build = _ChainedModel(settings, *parted(chain))
        return Variant(
            name=name,
            load=build.load,
            to_fetch=build.to_fetch,
            fetch=build.fetch,
            check=build.check,
            to_make=build.to_make,
            prepare=build.prepare,
            unsupported=build.unsupported,
            precision=build.precision,
            extras=build.extras,
            identity=partial(_identity, settings),
            ancestors=partial(checkpoints.ancestors, known),
            parent=(base if base != name else f"wav2vec2:{self.label}") if chain else known.parent,
            steps=(*(step.use for step in known.steps), *labels),
            decoding=partial(_decoding, settings),
            calibration=build.calibration,
            warnings=partial(_warnings, settings),
            info=settings._info(known),
        )

    def _info(self, lineage: Lineage) -> VariantInfo:
        architectures = dict(CHECKPOINTS.values())
        architecture = self.config if self.model is None else architectures.get(self.model)
        return VariantInfo(
            n_params=N_PARAMS.get(architecture or ""),
            licence=LICENCES.get(self.model or ""),
            revision=self.revision,
            synthetic=self.weights == "random",
            training_s=lineage.training_s,
            training_energy_j=lineage.training_energy_j,
            training_energy_method=lineage.training_energy_method,
        )


def _identity(settings: Wav2Vec2) -> tuple[str, ...]:
    """Return the digest of the weights, or of what random ones are drawn from."""
    if settings.model is not None:
        adapter = languages.files(settings.target_lang)
        of_language = hub.identity(settings.model, settings.revision, adapter) if adapter else ()
        return tuple(filter(None, ["+".join((*hub.identity(settings.model, settings.revision), *of_language))]))
    config = str(settings.config)
    if config not in ARCHITECTURES:
        config = hashlib.sha256((loading.config_folder(settings) / "config.json").read_bytes()).hexdigest()[:32]
    return (f"random:{config}:{settings.seed}",)


def _decoding(settings: Wav2Vec2) -> str:
    language = settings.target_lang and f"language {settings.target_lang}"
    return ", ".join(filter(None, ["greedy", language, _language_model(settings) and "language model not used"]))


def _language_model(settings: Wav2Vec2) -> str | None:
    return settings.model and fit.language_model(hub.fetch(settings.model, settings.revision))


def _warnings(settings: Wav2Vec2) -> list[str]:
    found = _language_model(settings)
    effect = "is not used: decoding is greedy, so WER is not what the two reach together"
    return [f"the language model that the checkpoint brings ({found}) {effect}"] if found else []


# --- as a build ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ChainedModel:
    """A model with what is chained on.

    Attributes:
        settings: of the model.
        methods: applied in order.
        export: what another engine runs then, or None.
    """

    settings: Wav2Vec2
    methods: Sequence[Method]
    export: Export | None

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras that it does not run without."""
        return ("torch", *(build.extra for build in self._chain if isinstance(build, NeedsExtra)))

    def check(self) -> None:
        """Look at the files that are here, and whether each build can follow what is before it."""
        follow(outline.of(self.settings), self._chain)

    def unsupported(self, device: str) -> str | None:
        """Say what is not installed, or why one of the builds cannot run on a device."""
        return extras.missing(self.extras) or next(
            filter(None, (build.unsupported(device) for build in self._chain)), None
        )

    def precision(self) -> str | None:
        """Return what torch multiplies in: int8 where activations are quantised too, else the floats of the chain."""
        if self.export is not None:
            return None
        known = follow(outline.of(self.settings), self.methods)
        return "int8" if known.integers == "int8-dynamic" else known.floats

    def to_fetch(self) -> str | None:
        """Say what of the model, and of the speech that a build is calibrated on, would be downloaded."""
        of_builds = (build.to_fetch() for build in self._chain if isinstance(build, Fetched))
        return ", and ".join(filter(None, [outline.to_fetch(self.settings), *of_builds])) or None

    def fetch(self) -> None:
        """Fetch both."""
        self.settings.prepare()
        self.calibration()

    def to_make(self) -> str | None:
        """Say which export is not kept."""
        if self.export is None or self.export.unsupported("cpu"):
            return None
        with suppress(MissingError):  # of calibration speech, of which ``fetch`` says how to get it
            if exported.are_kept(_source(self.settings, self.methods), self.export):
                return None
        return f"export to {registry.name_of('methods', self.export)}"

    def prepare(self) -> None:
        """Fetch the weights, and export the model where another engine is to run it."""
        self.settings.prepare()
        if self.export is not None and not self.export.unsupported("cpu"):
            exported.files(_source(self.settings, self.methods), self.export)

    def load(self, device: str) -> CtcTranscriber:
        """Load the model ready to run: a torch module on its device, or the files of an export."""
        loaded = self._loaded(device)
        loaded.embedding_layer = self.settings.embedding_layer
        return loaded

    def _loaded(self, device: str) -> CtcTranscriber:
        extras.need("torch")
        extractor, tokenizer = loading.fitting_processor(self.settings)
        if self.export is None:
            model = loading.module(self.settings, self.methods, device)
            return loading.transcriber(model)(model, extractor, tokenizer, device)
        folder = exported.files(_source(self.settings, self.methods), self.export)
        dtype = self.export.compute_dtype if isinstance(self.export, KnownPrecision) else None
        engine = exported.Exported(self.export.open(folder), loading.configuration(self.settings), folder, dtype)
        return loading.transcriber(engine)(engine, extractor, tokenizer, device)

    def calibration(self) -> list[CalibrationData]:
        """Name the speech that its builds were calibrated on, each once."""
        return list(dict.fromkeys(_speech(self._chain)))

    @property
    def _chain(self) -> list[Step]:
        return [*self.methods, *filter(None, [self.export])]


def _speech(chain: Sequence[Step]) -> list[CalibrationData]:
    """Return what the calibrated ones of some builds were calibrated on, in order."""
    found = (build.calibrated_on() for build in chain if isinstance(build, Calibrated))
    return [data for data in found if data is not None]


def _source(settings: Wav2Vec2, methods: Sequence[Method]) -> exported.ExportSource:
    """Describe the model to export by its weights, or by how random ones are drawn, and the methods before."""
    about: dict[str, Any] = {"config": settings.config, "seed": settings.seed}
    if settings.model is not None:
        folder = hub.fetch(settings.model, settings.revision)
        beside = (*hub.BESIDE, *languages.files(settings.target_lang))  # they decide what is calibrated on
        kinds = (*folders.WEIGHTS, *beside)
        about = {file.name: cache.digest(file) for kind in kinds for file in sorted(folder.glob(kind))}
    elif settings.config not in ARCHITECTURES:
        about["config.json"] = cache.digest(loading.config_folder(settings) / "config.json")
    about["methods"] = [repr(method) for method in methods]
    if speech := _speech(methods):
        about["speech"] = [data.digest for data in speech]
    if settings.target_lang is not None:
        about["target_lang"] = settings.target_lang
    return exported.ExportSource(partial(_to_export, settings, methods), about)


def _to_export(settings: Wav2Vec2, methods: Sequence[Method]) -> tuple[Any, Any]:
    return loading.module(settings, methods, "cpu"), loading.processor(settings)[0]
