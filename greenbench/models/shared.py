"""Modules that are one object under several names: stored, counted and trained once, and run under each of them.

Of torch's own, ``named_modules`` and ``named_parameters`` name an object once, by the first of its paths, so that what
is done to each of them is done once; ``state_dict`` has all of its names.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def layers(model: Any) -> Sequence[Any]:
    """Return the layers of a CTC model's encoder; none where it has no list of them."""
    return getattr(getattr(getattr(model, "base_model", None), "encoder", None), "layers", ())


def parts(layer: Any) -> dict[str, Any]:
    """Return the modules with weights of an encoder's layer by name, without what belongs to its place."""
    children = {name: part for name, part in layer.named_children() if name not in ("reducer", "exit")}
    return {name: part for name, part in children.items() if part.state_dict()}


def owners(model: Any) -> dict[str, tuple[int, ...]]:
    """Return which layer's parts are which other's.

    Returns:
        Name of a part that layers share -> for each layer the first one that has the same object, both from 0. A layer
        whose part is its own, or that has none of this name, has itself.
    """
    of_layers = [parts(layer) for layer in layers(model)]
    names = dict.fromkeys(name for of_layer in of_layers for name in of_layer)
    found = {name: _firsts([of_layer.get(name) for of_layer in of_layers]) for name in names}
    return {name: firsts for name, firsts in found.items() if firsts != tuple(range(len(firsts)))}


def _firsts(modules: Sequence[Any]) -> tuple[int, ...]:
    """Return for each module where the same object is first; None is the same as nothing."""
    first: dict[int, int] = {}
    return tuple(
        index if module is None else first.setdefault(id(module), index) for index, module in enumerate(modules)
    )


def n_runs(model: Any) -> Mapping[int, int]:
    """Return under how many names a module is, by its ``id``: an encoder runs it as often."""
    return Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))


def again(model: Any) -> tuple[str, ...]:
    """Return how names of tensors begin that a module has once more, beside those by its first path."""
    first = {id(module): path for path, module in model.named_modules()}
    every = model.named_modules(remove_duplicate=False)
    return tuple(f"{path}." for path, module in every if first[id(module)] != path)


def state(model: Any) -> dict[str, Any]:
    """Return the ``state_dict`` of a model with each tensor under its first name alone."""
    state: dict[str, Any] = model.state_dict()
    forget_again(model, state)
    return state


def forget_again(model: Any, state: dict[str, Any]) -> None:
    """Take the tensors of a model's ``state_dict`` out that it has under an earlier name, too."""
    others = again(model)
    for name in [name for name in state if name.startswith(others)]:
        del state[name]
