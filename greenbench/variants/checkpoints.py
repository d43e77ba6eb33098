"""Published checkpoints and architectures of the wav2vec 2.0 family: names, parameters, licences, teachers by name."""

from collections.abc import Sequence
from typing import Any

from greenbench.assets import QUICKSTART
from greenbench.errors import MissingError
from greenbench.models import hub
from greenbench.models.ancestry import NAMED, Identity
from greenbench.models.lineage import Lineage

_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "base": {},  # the defaults of transformers' Wav2Vec2Config
    "large": _LARGE,
    "large-lv60": {**_LARGE, "feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True},
}
"""Published architectures by name, as settings of transformers' ``Wav2Vec2Config``."""

CHECKPOINTS: dict[str, tuple[str, str | None]] = {
    "quickstart": (str(QUICKSTART / "teacher"), None),
    "quickstart-6l": (str(QUICKSTART / "students" / "quickstart-6l"), None),
    "quickstart-2l": (str(QUICKSTART / "students" / "quickstart-2l"), None),
    "base-960h": ("facebook/wav2vec2-base-960h", "base"),
    "base-100h": ("facebook/wav2vec2-base-100h", "base"),
    "large-960h": ("facebook/wav2vec2-large-960h", "large"),
    "large-960h-lv60": ("facebook/wav2vec2-large-960h-lv60", "large-lv60"),
    "large-960h-lv60-self": ("facebook/wav2vec2-large-960h-lv60-self", "large-lv60"),
    "hubert-large-ls960": ("facebook/hubert-large-ls960-ft", None),
    "data2vec-audio-base-960h": ("facebook/data2vec-audio-base-960h", None),
    "data2vec-audio-large-960h": ("facebook/data2vec-audio-large-960h", None),
    "wavlm-base-plus-100h": ("patrickvonplaten/wavlm-libri-clean-100h-base-plus", None),
}
"""Preset -> folder or hub id, and its architecture where that is one of ``ARCHITECTURES``."""

N_PARAMS = {"base": 94_396_320, "large": 315_461_792, "large-lv60": 315_471_520}
"""Parameters of each architecture with a head of 32 characters (a test counts them)."""

LICENCES = dict.fromkeys((model for model, _ in CHECKPOINTS.values() if "patrickvonplaten" not in model), "Apache-2.0")

VOCABULARY = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]
"""The 32 characters of the LibriSpeech checkpoints; random weights get it, so that they decode to something."""


def ancestors(lineage: Lineage) -> Sequence[Identity]:
    """Return what a student's folder says it comes from; one that tells a name alone may mean a preset."""
    name = lineage.parent
    if lineage.ancestors or name is None:
        return lineage.ancestors
    model = CHECKPOINTS.get(name.removeprefix("wav2vec2/"), (name.removeprefix("wav2vec2:"), None))[0]
    try:
        return [hub.identity(model) or (f"{NAMED}{name}",)]
    except MissingError:  # a name that the student's maker gave
        return [(f"{NAMED}{name}",)]
