"""Layer after layer: what enters each layer of an encoder, for methods that fit one layer at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greenbench.errors import InputError
from greenbench.models import shared
from greenbench.models.hooks import attached
from greenbench.models.macs import fewer_frames

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Entry:
    """What a layer is called with beside the hidden states: masks, positions.

    Attributes:
        arguments: by place.
        keywords: by name.
    """

    arguments: Sequence[Any]
    keywords: Mapping[str, Any]


def layers_of(model: Any) -> Any:
    """Return the layers of a CTC model's encoder, a ``ModuleList``.

    Raises:
        InputError: it has no such list.
    """
    found = shared.layers(model)
    if not found:
        raise InputError(f"models of the type {model.config.model_type} have no list of encoder layers")
    return found


def places(model: Any) -> list[int]:
    """Return for each layer its place, from 0, in the model that it was taken from (``layer-drop`` notes it)."""
    return [getattr(layer, "place", index) for index, layer in enumerate(layers_of(model))]


def entering(model: Any, speech: "Sequence[Mapping[str, Tensor]]") -> "tuple[list[Tensor], list[list[Entry]]]":
    """Run a model, and return what goes into its layers.

    Args:
        model: a transformers CTC model in ``eval``.
        speech: named inputs for each utterance alone.

    Returns:
        The hidden states that enter the first layer, ``(1, n_frames, width)`` for each utterance; and for each layer
        and utterance what else it is called with, none of which depends on the layers before.

    Raises:
        InputError: some layers of the model have fewer frames, which a layer by itself does not get again.
    """
    import torch

    if fewer_frames(model):
        raise InputError(
            "layers cannot be fitted one by one after reduce-frames: put reduce-frames after the method that fits them"
        )
    layers = layers_of(model)
    first: list[Tensor] = []
    entries: list[list[Entry]] = [[] for _ in layers]

    def keep(layer: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        index = next(index for index, one in enumerate(layers) if one is layer)
        entries[index].append(Entry(arguments[1:], keywords))
        if index == 0:
            first.append(arguments[0])

    with attached(layer.register_forward_pre_hook(keep, with_kwargs=True) for layer in layers), torch.no_grad():
        for inputs in speech:
            model(**inputs)
    return first, entries


def run(layer: Any, hidden: "Tensor", entry: Entry) -> "Tensor":
    """Return the hidden states that a layer makes of those that enter it, ``(1, n_frames, width)`` both."""
    found = layer(hidden, *entry.arguments, **entry.keywords)
    states: Tensor = found[0] if isinstance(found, tuple) else found
    return states


def advance(layer: Any, hidden: "Sequence[Tensor]", entries: Sequence[Entry]) -> "list[Tensor]":
    """Return what a layer makes of the hidden states of all utterances, without gradients."""
    import torch

    with torch.no_grad():
        return [run(layer, one, entry) for one, entry in zip(hidden, entries, strict=True)]
