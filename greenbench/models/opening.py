"""How a CTC model's folder is opened and saved, whatever of its structure transformers' configuration cannot say."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from greenbench.errors import MissingError
from greenbench.files import whole
from greenbench.models import edits, feed_forward, folders, shared


def configuration(label: str, folder: Path) -> tuple[Any, edits.Structure | None]:
    """Return the transformers configuration of a folder's model, and its edits.

    Raises:
        InputError: as ``folders.check_type`` does.
        MissingError: as there.
    """
    from transformers import AutoConfig

    folders.check_type(label, folder)
    config, structure = folders.parted(label, folder)
    if structure is None:
        return AutoConfig.from_pretrained(folder), None
    return type(AutoConfig.for_model(structure.base)).from_dict(config), structure


def built(config: Any, structure: edits.Structure | None) -> Any:
    """Return a CTC model with random weights and a structure of edits."""
    return _class(config, structure, {})(config)


def opened(label: str, folder: Path, dtype: Any) -> Any:
    """Return the CTC model of a folder: every weight that its structure has is from there.

    transformers builds the structure on torch's meta device, edits and widths of the feed-forward layers included,
    and fills it.

    Args:
        label: names the model in messages.
        folder: that ``folders.check`` has found whole.
        dtype: of torch, in which it is loaded.

    Raises:
        MissingError: weights and structure do not fit each other; one line with the first that does not.
        OSError, ValueError, KeyError, TypeError, RuntimeError: of transformers, about a damaged folder.
    """
    config, structure = configuration(label, folder)
    kind = _class(config, structure, _shapes(folder))
    model, found = kind.from_pretrained(
        folder, config=config, dtype=dtype, ignore_mismatched_sizes=True, output_loading_info=True
    )
    model.__class__ = kind.__base__
    _check_weights(label, found, strict=structure is not None)
    return model


def _class(config: Any, structure: edits.Structure | None, stored: Mapping[str, Sequence[int]]) -> Any:
    """Return the model class of a configuration whose models are built with widths as stored, and edits."""
    from transformers import MODEL_FOR_CTC_MAPPING

    plain = MODEL_FOR_CTC_MAPPING[type(config)]

    def begin(self: Any, config: Any, *given: Any, **named: Any) -> None:
        plain.__init__(self, config, *given, **named)
        feed_forward.fit(self, stored)
        edits.make(self, structure)

    return type(plain.__name__, (plain,), {"__init__": begin})


def _shapes(folder: Path) -> dict[str, Sequence[int]]:
    """Return the shape of each stored tensor by name; none of pickles, which are not opened here."""
    from safetensors import safe_open

    found: dict[str, Sequence[int]] = {}
    for path in folders.weights(folder):
        if path.suffix == ".safetensors":
            with safe_open(path, framework="np") as tensors:
                found |= {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
    return found


def _check_weights(label: str, found: Mapping[str, Any], strict: bool) -> None:
    """Refuse a folder whose weights are not those of its structure, as transformers reports it.

    Args:
        label: of the model.
        found: transformers' loading info.
        strict: whether weights that have no place are refused, too.
    """
    misfits = sorted(name for name, *_ in found["mismatched_keys"])
    if misfits:
        raise MissingError(
            f"model {label}: {misfits[0]} has another shape than its config.json says ({len(misfits)} do not fit), so "
            "the folder is damaged or holds files of two models. Make or fetch it again."
        )
    # transformers fills what a file lacks with random numbers; the mask embedding is for training only
    untrained = sorted(name for name in found["missing_keys"] if not name.endswith("masked_spec_embed"))
    if untrained:
        raise MissingError(
            f"model {label}: no weights for {untrained[0]} ({len(untrained)} missing), so it is not "
            "fine-tuned for CTC. Name a fine-tuned model."
        )
    if strict and (left := sorted(found["unexpected_keys"])):
        raise MissingError(
            f"model {label}: its config.json has no place for {left[0]} ({len(left)} are left), so the folder is "
            "damaged or holds files of two models. Make or fetch it again."
        )


def save(model: Any, aside: Path) -> None:
    """Write weights, each once, and ``config.json`` of a CTC model into a folder, its edits with them.

    ``config.json`` says float32, by which transformers chooses what it loads the weights as: weights that are stored in
    16 bits to save room would otherwise run in 16 bits too, slowly on most CPUs and with other texts than those that
    were measured. What greenbench itself runs a student in, its lineage says.

    Args:
        model: a transformers CTC model, or another module that saves itself so.
        aside: a new folder where it is written.
    """
    once = {"state_dict": shared.state(model)} if shared.owners(model) else {}  # transformers refuses several names
    model.save_pretrained(aside, **once)
    path = aside / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)  # the name before transformers 5
    config = edits.joined(config | {"dtype": "float32"}, edits.find(model))
    whole.write(path, json.dumps(config, indent=2, sort_keys=True) + "\n")
