"""What a wav2vec 2.0 model's settings and files tell of it before it is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from greenbench.models import edits, folders, hub, lineage
from greenbench.plugins import Outline
from greenbench.plugins.precisions import Floats
from greenbench.variants import languages
from greenbench.variants.checkpoints import ARCHITECTURES, CHECKPOINTS


class ModelSettings(Protocol):
    """The settings of the family, which say which model is meant."""

    @property
    def model(self) -> str | None:
        """A folder, or an id on the hub; None where ``config`` is trained from nothing."""

    @property
    def config(self) -> str | None:
        """An architecture, or the folder or id of its configuration."""

    @property
    def revision(self) -> str | None:
        """Of what the hub has."""

    @property
    def weights(self) -> str:
        """``trained``, ``random`` or ``available``."""

    @property
    def seed(self) -> int:
        """Of random weights."""

    @property
    def target_lang(self) -> str | None:
        """Language whose adapter is taken."""

    @property
    def label(self) -> str:
        """The model, as part of a default name."""


def to_fetch(settings: ModelSettings) -> str | None:
    """Say what of a model would be downloaded; None where it is here."""
    if settings.model is not None:
        adapter = languages.files(settings.target_lang)
        return hub.to_fetch(settings.model, settings.revision) or (
            hub.to_fetch(settings.model, settings.revision, adapter) if adapter else None
        )
    config = str(settings.config)
    return None if config in ARCHITECTURES else hub.to_fetch(config, settings.revision, kinds=("config.json",))


def of(settings: ModelSettings) -> Outline:
    """Say of a model without its builds what its configuration and its lineage do; its folder is looked into.

    Raises:
        MissingError: a file is missing or damaged.
        InputError: it is a model of another kind.
    """
    return described(_config(settings), lineage.read(settings.model).precision, _structure(settings))


def described(config: Mapping[str, Any], precision: Floats | None, structure: edits.Structure | None) -> Outline:
    """Return the outline of a model without builds.

    Args:
        config: its configuration, as far as it is known.
        precision: of its weights; None where unknown.
        structure: its edits.
    """
    return Outline(
        config.get("model_type"),
        n_layers(config),
        precision,
        shared=structure is not None and structure.is_shared,
        exits=structure is not None and structure.has_exits,
        chunked=structure is not None and structure.has_chunks,
        adapter=bool(config.get("add_adapter")),
        group_norm=_group_norm(config, structure),
    )


def _group_norm(config: Mapping[str, Any], structure: edits.Structure | None) -> bool | None:
    """Say whether a front end normalises each channel over the utterance; None where its configuration does not."""
    if structure is not None and structure.has_frozen_norm:
        return False
    return {"group": True, "layer": False}.get(str(config.get("feat_extract_norm")))


def n_layers(config: Mapping[str, Any]) -> int | None:
    """Return the transformer layers that a configuration has; None where it does not say so."""
    encoder = config.get("encoder_config")
    n = (encoder if isinstance(encoder, dict) else config).get("num_hidden_layers")
    return n if isinstance(n, int) else None


def _config(settings: ModelSettings) -> Mapping[str, Any]:
    """Return the configuration of a model as far as it is known here; empty where it is still to be fetched."""
    if settings.config in ARCHITECTURES:
        return _published(settings.config)
    label, trained = str(settings.model or settings.config), settings.model is not None
    folder = hub.here(label, settings.revision, folders.WEIGHTS if trained else ("config.json",))
    if folder is None:
        return _published(dict(CHECKPOINTS.values()).get(label))
    if not trained:
        return folders.check_type(label, folder)
    config = folders.check(label, folder)
    if settings.target_lang is not None:
        languages.check(label, folder, config, settings.target_lang)
        if Path(label).is_dir():
            languages.check_adapter(label, folder, settings.target_lang)
    return config


def _structure(settings: ModelSettings) -> edits.Structure | None:
    """Return the edits of a model, as far as its folder is here."""
    label = str(settings.model or settings.config)
    folder = None if label in ARCHITECTURES else hub.here(label, settings.revision, ("config.json",))
    return folders.parted(label, folder)[1] if folder else None


def _published(architecture: str | None) -> Mapping[str, Any]:
    return {"model_type": "wav2vec2", "num_hidden_layers": 12, **ARCHITECTURES[architecture]} if architecture else {}
