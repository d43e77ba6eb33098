"""Attention as wav2vec 2.0 has it: which layers these are, and how they get other heads.

Scores are products of queries and keys alone, with no term of positions between them; transformers views queries, keys
and values by one size of a head. HuBERT, data2vec, SEW and UniSpeech have the same.
"""

from collections.abc import Mapping
from typing import Any

from greenbench.errors import InputError
from greenbench.models import linears

PARTS = ("q_proj", "k_proj", "v_proj", "out_proj")

OTHERS = {
    "wavlm": "add a bias of positions to the scores of attention",
    **dict.fromkeys(
        ("sew-d", "wav2vec2-bert", "wav2vec2-conformer", "parakeet_ctc"),
        "have positions within the scores of attention",
    ),
}
"""Model types with another attention, and what it does."""


def check_type(method: str, model_type: str | None) -> None:
    """Refuse models whose attention is another one.

    Raises:
        InputError: naming the method, the type and what differs.
    """
    if model_type in OTHERS:
        raise InputError(f"{method}: models of the type {model_type} {OTHERS[model_type]}, so their heads must stay")


def attentions(model: Any) -> dict[str, Any]:
    """Return the attention layers of a model by path, in the order of its layers; {} for one with another attention."""
    if getattr(getattr(model, "config", None), "model_type", None) in OTHERS:
        return {}
    needed = (*PARTS, "head_dim", "scaling")
    return {path: module for path, module in model.named_modules() if all(hasattr(module, part) for part in needed)}


def projections(attention: Any) -> list[Any]:
    """Return its four Linear layers: of queries, keys and values, and that of the output."""
    return [getattr(attention, part) for part in PARTS]


def n_heads(attention: Any) -> int:
    """Return how many heads an attention layer has."""
    return int(attention.q_proj.out_features) // int(attention.head_dim)


def reshape(attention: Any, size: int, weights: Mapping[str, tuple[Any, Any]]) -> None:
    """Give an attention layer other heads; what scales its scores stays, since it belongs to the trained weights.

    Args:
        attention: one of ``attentions``.
        size: of each head, for queries, keys and values alike.
        weights: name of each of ``PARTS`` -> weight and bias; ``(number * size, hidden_size)`` of the first three,
            ``(hidden_size, number * size)`` of the last.
    """
    for part, (weight, bias) in weights.items():
        linears.replace(getattr(attention, part), weight, bias)
    attention.head_dim, attention.num_heads = size, len(weights["q_proj"][0]) // size
