"""The wav2vec 2.0 family: every CTC model that transformers' AutoModelForCTC loads, decoded greedily."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

from greenbench import cache
from greenbench.compress import exported
from greenbench.errors import InputError, MissingError
from greenbench.plugins import (
    BARE,
    Export,
    Method,
    ModelRef,
    Variant,
    VariantInfo,
)
from greenbench.variants import checkpoints, fit, folders, hub, outline, widths
from greenbench.variants.checkpoints import ARCHITECTURES, CHECKPOINTS, LICENCES, N_PARAMS, VOCABULARY
from greenbench.variants.ctc import CtcTranscriber


@dataclass(frozen=True)
class Wav2Vec2:
    """Settings of a wav2vec 2.0, HuBERT, WavLM, data2vec ... CTC model.

    Attributes:
        model: a folder or a hub id with trained weights.
        config: of random weights: a name from ``ARCHITECTURES``, or a folder or hub id with a config.
        weights: ``trained``; ``random`` for speed, memory and energy only; or ``available``: trained where ``model``
            is on this machine (a folder, or in the hub's cache), random by ``config`` where it is not.
        revision: hub revision of ``model``.
        seed: of random weights.
    """

    model: ModelRef | None = None
    config: ModelRef | None = None
    weights: Literal["trained", "random", "available"] = "trained"
    revision: str | None = None
    seed: int = 0

    presets: ClassVar[Mapping[str, Any]] = {name: {"model": m} for name, (m, _) in CHECKPOINTS.items()}
    takes_builds: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse settings that do not say which model is meant."""
        if self.weights == "trained" and (self.model is None or self.config is not None):
            raise ValueError("give `model` (a folder or hub id), or `config` with `weights: random`")
        if self.weights == "random" and (self.config is None or self.model is not None):
            raise ValueError("`weights: random` takes `config` and no `model`")
        if self.weights == "available" and (self.config is None or self.model is None):
            raise ValueError("`weights: available` takes `model`, and `config` for where that is not here")

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
        return self.model if self.model is not None else f"{self.config}-random"

    def prepare(self) -> None:
        """Fetch the weights (or the configuration) if they are not here."""
        settings = self.settled()
        if settings.model is not None:
            _folder(settings)
        elif settings.config not in ARCHITECTURES:
            label = str(settings.config)
            folders.check_type(label, _config_folder(settings))

    def open(self) -> tuple[Any, Any, Any]:
        """Return the torch module in float32 on the CPU, its feature extractor and its tokeniser."""
        settings = self.settled()
        return (_module(settings, (), "cpu").float(), *_fitting_processor(settings))

    def __call__(self, name: str, methods: Sequence[tuple[str, Method]]) -> Variant:
        """Return the variant with the methods chained on.

        Raises:
            InputError: something is to follow a build that another engine runs.
        """
        for (first, method), (second, _) in pairwise(methods):
            if isinstance(method, Export):
                raise InputError(f"builds: {second} cannot follow {first}, which another engine runs: put it before")
        base = name.removesuffix("".join(f"+{step}" for step, _ in methods))
        settings = self.settled()
        lineage = outline.lineage(settings.model)
        return Variant(
            name=name,
            load=partial(_load, settings, [method for _, method in methods]),
            to_fetch=partial(outline.to_fetch, settings),
            fetch=settings.prepare,
            check=partial(outline.check, settings, [method for _, method in methods]),
            to_make=partial(_to_make, settings, methods),
            prepare=partial(_prepare, settings, [method for _, method in methods]),
            unsupported=lambda device: next(filter(None, (m.unsupported(device) for _, m in methods)), None),
            identity=partial(_identity, settings),
            ancestors=partial(checkpoints.ancestors, lineage),
            parent=(base if base != name else f"wav2vec2:{self.label}") if methods else lineage.get("parent"),
            steps=(*(step["use"] for step in lineage.get("steps", ())), *(step for step, _ in methods)),
            decoding=lambda: "greedy, language model not used" if _language_model(settings) else "greedy",
            warnings=partial(_warnings, settings),
            info=settings._info(lineage),
        )

    def _info(self, lineage: Mapping[str, Any]) -> VariantInfo:
        architectures = dict(CHECKPOINTS.values())
        architecture = self.config if self.model is None else architectures.get(self.model)
        return VariantInfo(
            n_params=N_PARAMS.get(architecture or ""),
            licence=LICENCES.get(self.model or ""),
            revision=self.revision,
            synthetic=self.weights == "random",
            **{name: lineage.get(name) for name in ("training_s", "training_energy_j", "training_energy_method")},
        )


def _identity(settings: Wav2Vec2) -> tuple[str, ...]:
    """Return the digest of the weights, or of what random ones are drawn from."""
    if settings.model is not None:
        return hub.identity(settings.model, settings.revision)
    config = str(settings.config)
    if config not in ARCHITECTURES:
        config = hashlib.sha256((_config_folder(settings) / "config.json").read_bytes()).hexdigest()[:32]
    return (f"random:{config}:{settings.seed}",)


def _language_model(settings: Wav2Vec2) -> str | None:
    return settings.model and fit.language_model(hub.fetch(settings.model, settings.revision))


def _warnings(settings: Wav2Vec2) -> list[str]:
    found = _language_model(settings)
    told = "is not used: decoding is greedy, so WER is not what the two reach together"
    return [f"the language model that the checkpoint brings ({found}) {told}"] if found else []


# --- before it is loaded ---------------------------------------------------------------------------------


def _to_make(settings: Wav2Vec2, methods: Sequence[tuple[str, Method]]) -> str | None:
    """Say which export is not kept."""
    if not methods:
        return None
    label, build = methods[-1]
    if not isinstance(build, Export) or build.unsupported("cpu"):
        return None
    source = _source(settings, [method for _, method in methods[:-1]])
    return None if exported.are_kept(source, build) else f"export to {label.partition('(')[0]}"


def _folder(settings: Wav2Vec2) -> Path:
    """Return the folder of trained weights, fetched if need be and whole as far as can be seen without loading it."""
    folder = hub.fetch(str(settings.model), settings.revision)
    folders.check(str(settings.model), folder)
    return folder


def _prepare(settings: Wav2Vec2, methods: Sequence[Method]) -> None:
    """Fetch the weights, and export the model where another engine is to run it."""
    settings.prepare()
    if methods and isinstance(methods[-1], Export) and not methods[-1].unsupported("cpu"):
        exported.files(_source(settings, methods[:-1]), methods[-1])


def _load(settings: Wav2Vec2, methods: Sequence[Method], device: str) -> CtcTranscriber:
    """Load the model ready to run: a torch module on its device, or the files of an export."""
    extractor, tokenizer = _fitting_processor(settings)
    if methods and isinstance(methods[-1], Export):
        folder = exported.files(_source(settings, methods[:-1]), methods[-1])
        dtype = getattr(methods[-1], "compute_dtype", None)
        engine = exported.Exported(methods[-1].open(folder), _config(settings), folder, dtype)
        return CtcTranscriber(engine, extractor, tokenizer, device)
    return CtcTranscriber(_module(settings, methods, device), extractor, tokenizer, device)


def _source(settings: Wav2Vec2, methods: Sequence[Method]) -> exported.Source:
    """Describe the model to export by its weights, or by how random ones are drawn, and the methods before."""
    about: dict[str, Any] = {"config": settings.config, "seed": settings.seed}
    if settings.model is not None:
        folder = hub.fetch(settings.model, settings.revision)
        kinds = (*hub.BESIDE, *hub.WEIGHTS)  # the feature extractor's settings too: they decide what is calibrated on
        about = {file.name: cache.digest(file) for kind in kinds for file in sorted(folder.glob(kind))}
    elif settings.config not in ARCHITECTURES:
        about["config.json"] = cache.digest(_config_folder(settings) / "config.json")
    return exported.Source(partial(_to_export, settings, methods), {**about, "methods": [repr(m) for m in methods]})


def _to_export(settings: Wav2Vec2, methods: Sequence[Method]) -> tuple[Any, Any]:
    return _module(settings, methods, "cpu"), _processor(settings)[0]


def _module(settings: Wav2Vec2, methods: Sequence[Method], device: str) -> Any:
    """Load the model, move it to the device and apply the methods in order."""
    from transformers import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model = _random(settings) if settings.weights == "random" else _trained(settings)
    model = model.to(device).eval()
    for method in methods:
        model = method(model, BARE)
    return model


def _trained(settings: Wav2Vec2) -> Any:
    import torch
    from transformers import AutoModelForCTC

    folder = _folder(settings)
    # float32 whatever a file holds: the builds decide the precision, and for a student those in its lineage did
    chosen = [step["use"] for step in outline.lineage(settings.model).get("steps", ()) if step["use"] in outline.HALVES]
    dtype = getattr(torch, outline.HALVES[chosen[-1]]) if chosen else torch.float32
    with _named_failures(settings):
        model, found = AutoModelForCTC.from_pretrained(
            folder, dtype=dtype, ignore_mismatched_sizes=True, output_loading_info=True
        )
    misfits = sorted(widths.restore(model, folder, (name for name, *_ in found["mismatched_keys"])))
    if misfits:
        raise MissingError(
            f"model {settings.model}: {misfits[0]} has another shape than its config.json says ({len(misfits)} do not "
            "fit), so the folder is damaged or holds files of two models. Make or fetch it again."
        )
    # transformers fills what a file lacks with random numbers; the mask embedding is for training only
    untrained = sorted(name for name in found["missing_keys"] if not name.endswith("masked_spec_embed"))
    if untrained:
        raise MissingError(
            f"model {settings.model}: no weights for {untrained[0]} ({len(untrained)} missing), so it is not "
            "fine-tuned for CTC. Name a fine-tuned model."
        )
    return model


@contextmanager
def _named_failures(settings: Wav2Vec2) -> Iterator[None]:
    """Turn what transformers raises about a folder into one line that names the model."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, SafetensorError) as error:
        cause = " ".join(str(error).split())
        raise MissingError(
            f"model {settings.model}: does not load as a CTC model: {type(error).__name__}: {cause:.300}"
        ) from error


def _config_folder(settings: Wav2Vec2) -> Path:
    return hub.fetch(str(settings.config), settings.revision, kinds=("config.json",))


def _config(settings: Wav2Vec2) -> Any:
    """Return the configuration of the model."""
    from transformers import AutoConfig, Wav2Vec2Config

    if settings.config in ARCHITECTURES:
        return Wav2Vec2Config(**ARCHITECTURES[settings.config], vocab_size=len(VOCABULARY))
    if settings.weights == "random":
        folder = _config_folder(settings)
        folders.check_type(str(settings.config), folder)
        return AutoConfig.from_pretrained(folder)
    with _named_failures(settings):
        return AutoConfig.from_pretrained(_folder(settings))


def _random(settings: Wav2Vec2) -> Any:
    import torch
    from transformers import AutoModelForCTC

    torch.manual_seed(settings.seed)
    return AutoModelForCTC.from_config(_config(settings))


def _fitting_processor(settings: Wav2Vec2) -> tuple[Any, Any]:
    extractor, tokenizer = _processor(settings)
    fit.check(settings.label, _config(settings).vocab_size, extractor, tokenizer)
    return extractor, tokenizer


def _processor(settings: Wav2Vec2) -> tuple[Any, Any]:
    """Return the feature extractor and the tokeniser; random weights get those of the LibriSpeech checkpoints."""
    from transformers import AutoFeatureExtractor, AutoTokenizer, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor

    if settings.weights == "trained":
        folder = _folder(settings)
        with _named_failures(settings):
            return AutoFeatureExtractor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    masked = getattr(_config(settings), "feat_extract_norm", "layer") == "layer"
    with tempfile.TemporaryDirectory() as scratch:
        aside = Path(scratch)
        (aside / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(VOCABULARY)}), "utf-8")
        tokenizer = Wav2Vec2CTCTokenizer(str(aside / "vocab.json"))
    return Wav2Vec2FeatureExtractor(return_attention_mask=masked), tokenizer
