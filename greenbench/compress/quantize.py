"""Builds that store weights as integers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from greenbench.errors import InputError
from greenbench.models.attention import PARTS
from greenbench.plugins import BARE, Context, Inapplicable, Outline

if TYPE_CHECKING:
    from torch.nn import Linear


@dataclass(frozen=True)
class Int8Dynamic:
    """Dynamic int8 of Linear layers by torch: int8 weights, activations quantised on the fly.

    The method of Peng et al., "Shrinking Bigfoot: Reducing wav2vec 2.0 footprint" (SustaiNLP 2021), section 3:
    ``torch.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)``, which has one scale for a whole
    weight and takes in the head; ``exclude: []`` and ``per_channel: false`` are exactly that. The head holds 0.1 MB
    and decides the text, so that it stays in float32 otherwise. The front end and the positional convolution are no
    Linear layers and always do.

    Attributes:
        include: only layers whose path contains one of these; every Linear layer where empty.
        exclude: layers whose path contains one of these stay in float32.
        per_channel: a scale for each output of a layer instead of one for the layer; as fast on wav2vec 2.0 base, and
            on the bundled teacher no nearer to float32's texts.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ("lm_head",)
    per_channel: bool = False

    def unsupported(self, device: str) -> str | None:
        """Say that torch's int8 kernels are for the CPU."""
        if device != "cpu":
            return Inapplicable(f"torch's dynamic quantisation runs on the CPU only, not on {device}")
        import torch

        engines = torch.backends.quantized.supported_engines
        return None if set(engines) - {"none"} else "this build of torch has no quantisation engine"

    def follow(self, before: Outline) -> Outline:
        """Refuse floats of 16 bits, in which its kernels cannot compute, and layers that are integers already."""
        if before.floats in ("fp16", "bf16"):
            raise InputError(_NEEDS_FLOAT32)
        return integers(before, "int8-dynamic", self.include, self.exclude)

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Replace the chosen Linear layers in place by their int8 form; the rest stays as it is.

        Raises:
            InputError: the model is not in float32, in which alone the int8 kernels take and give activations; or
                no layer is chosen.
        """
        import torch
        from torch.ao.quantization import default_dynamic_qconfig, per_channel_dynamic_qconfig, quantize_dynamic

        if any(p.is_floating_point() and p.dtype != torch.float32 for p in model.parameters()):
            raise InputError(_NEEDS_FLOAT32)
        how = per_channel_dynamic_qconfig if self.per_channel else default_dynamic_qconfig
        layers = dict.fromkeys(chosen(model, self.include, self.exclude, "int8-dynamic"), how)
        return quantize_dynamic(model, layers, inplace=True)  # type: ignore[no-untyped-call]


_NEEDS_FLOAT32 = "int8-dynamic needs a model in float32: leave out the fp16 or bf16 before it"


def integers(before: Outline, method: str, include: Sequence[str], exclude: Sequence[str]) -> Outline:
    """Return what a build that makes integers of Linear layers leaves.

    Args:
        before: what it is put onto.
        method: its name.
        include: its layers; all where empty.
        exclude: and none of these.

    Raises:
        InputError: a build before it has made integers of them all.
    """
    if before.all_integers:
        raise InputError(
            f"{method} cannot follow {before.integers}, which leaves no layer to it: leave one of them out"
        )
    takes_all = not include and set(exclude) <= {"lm_head"}
    return replace(before, integers=method, all_integers=takes_all)


def chosen(model: Any, include: Sequence[str], exclude: Sequence[str], method: str) -> "Mapping[str, Linear]":
    """Return the Linear layers to quantise by path, without those whose weights the model reads itself.

    Layers that are packed in few bits are none of them, and stay as they are.

    Args:
        model: a torch module.
        include: only those whose path contains one of these; all where empty.
        exclude: and none of these.
        method: name for the message.

    Raises:
        InputError: none is left.
    """
    import torch

    from greenbench.models.packed import packed_layers

    read = _read_by_the_model(model)
    layers = {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n not in read}
    left = {
        name: layer
        for name, layer in layers.items()
        if (not include or any(part in name for part in include)) and not any(part in name for part in exclude)
    }
    if not left:
        n_packed = len(packed_layers(model))
        stay = f"; {n_packed} are stored in few bits already, and stay so" if n_packed else ""
        raise InputError(f"{method}: include and exclude leave none of {len(layers)} Linear layers to quantise{stay}")
    return left


def _read_by_the_model(model: Any) -> set[str]:
    """Return the Linear layers that are never called: WavLM's attention passes their weights on to torch's."""
    attentions = [path for path, module in model.named_modules() if type(module).__name__ == "WavLMAttention"]
    return {f"{path}.{part}" for path in attentions for part in PARTS}
