"""Refitting: the parts behind an edit are fitted to what the model gave before it, on speech without transcripts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from greenbench.compress import layerwise
from greenbench.compress.probe import divergence, log_probabilities
from greenbench.models.convolutions import consumers, convolutions
from greenbench.models.feed_forward import feed_forwards
from greenbench.models.hooks import attached
from greenbench.models.top import before_head

if TYPE_CHECKING:
    from torch import Tensor

    Pairs = Iterable[tuple[Tensor, Tensor]]
    """Inputs ``(n, n_in)`` and outputs wanted ``(n, n_out)`` of a layer, in as many parts as is convenient."""

DAMPING = 0.01
"""Of the ridge, as a share of the mean square of an input."""

NEGLIGIBLE = 1e-6
"""Divergence in nats a frame that is rounding, and nothing to be trained away."""


def ridge(
    pairs: "Pairs", weight: "Tensor", bias: "Tensor | None", damping: float = DAMPING
) -> "tuple[Tensor, Tensor | None]":
    """Fit a Linear layer to outputs by ridge regression about the weights that it has.

    With Z the inputs and a one, Y the outputs wanted, W0 the present weights and bias:
    W = W0 + (Z'Z + damping * mean(diag Z'Z) * I)^-1 Z'(Y - Z W0), the least |Y - ZW|^2 + damping * mean * |W - W0|^2
    (Hoerl and Kennard, "Ridge Regression", 1970, on the residual). So weights that fit already stay as they are.

    Args:
        pairs: inputs ``(n, n_in)`` and outputs wanted ``(n, n_out)``, in as many parts as is convenient.
        weight: the present one, ``(n_out, n_in)``.
        bias: the present one, ``(n_out,)``; None for a layer without, whose inputs then get no one.
        damping: 0 is plain least squares.

    Returns:
        Weight and bias, on the device and in the precision of those given; computed in float64 on the CPU.
    """
    import torch

    def exact(tensor: "Tensor") -> "Tensor":
        return tensor.detach().to("cpu", torch.float64)

    def with_one(inputs: "Tensor", one: "Tensor | None") -> "Tensor":
        return exact(inputs) if one is None else torch.cat([exact(inputs), exact(one)[:, None]], 1)

    present = with_one(weight, bias).T
    gram, left = torch.zeros(len(present), len(present)).double(), torch.zeros_like(present)
    for inputs, wanted in pairs:
        z = with_one(inputs, None if bias is None else inputs.new_ones(len(inputs)))
        gram += z.T @ z
        left += z.T @ (exact(wanted) - z @ present)
    gram.diagonal().add_(damping * gram.diagonal().mean())
    found = (present + torch.linalg.lstsq(gram, left).solution).T
    if bias is None:
        return found.to(weight), None
    return found[:, :-1].to(weight), found[:, -1].to(bias)


def kept_if_nearer(fit: "Callable[[], None]", model: Any, whole: Any, speech: "Sequence[Mapping[str, Tensor]]") -> None:
    """Fit parts of a model in place, unless the probe says that the model is then no nearer to the whole one.

    Args:
        fit: does it.
        model: after an edit.
        whole: before.
        speech: named inputs for each utterance alone, for the mean KL divergence over their frames (``probe``).
    """
    theirs, edited = log_probabilities(whole, speech), deepcopy(model.state_dict())
    before = divergence(model, theirs, speech)
    fit()
    if not divergence(model, theirs, speech) < before:
        model.load_state_dict(edited)


def feed_forward_outputs(model: Any, whole: Any, speech: "Sequence[Mapping[str, Tensor]]") -> None:
    """Refit the output matrix of each feed-forward layer in place, layer after layer.

    Its inputs are those that it has in the edited model, whose layers before have been refitted; what it shall give is
    what the part gave in the whole model (as channel pruning does: He et al., ICCV 2017, section 3.1).

    Args:
        model: after neurons were taken out.
        whole: before.
        speech: named inputs for each utterance alone.
    """
    ours, entries = layerwise.entering(model, speech)
    theirs, _ = layerwise.entering(whole, speech)
    for own, other, of_layer in zip(layerwise.layers_of(model), layerwise.layers_of(whole), entries, strict=True):
        after = _outputs(other, theirs, of_layer)
        for path, part in feed_forwards(own).items():
            inputs = _seen(own, part.output_dense, ours, of_layer)
            linear = part.output_dense
            _fit(linear, zip(inputs, after[path], strict=True))
        ours, theirs = (layerwise.advance(layer, hidden, of_layer) for layer, hidden in ((own, ours), (other, theirs)))


def front_end(
    model: Any, whole: Any, kept: "Mapping[int, Sequence[int]]", speech: "Sequence[Mapping[str, Tensor]]"
) -> None:
    """Refit in place what takes in the channels of each thinned convolution, from the first to the last.

    That is the next convolution, whose inputs are the windows that it sees, or the feature projection behind its norm.
    Inputs are those of the edited model, whose layers before have been refitted; what it shall give is what it gave in
    the whole model, in the channels that are left of it.

    Args:
        model: after channels were taken out.
        whole: before.
        kept: number of each thinned convolution -> its channels that stayed.
        speech: named inputs for each utterance alone.
    """
    for number in sorted(kept):
        consumer, rows = consumers(model)[number], kept.get(number + 1, slice(None))
        both = ((_behind(model, number, inputs), _behind(whole, number, inputs)) for inputs in speech)
        fitted = ((z, y[:, rows]) for (z, _), (_, y) in both)
        _fit(getattr(consumer, "projection", consumer), fitted)


def _behind(model: Any, number: int, inputs: "Mapping[str, Tensor]") -> "tuple[Tensor, Tensor]":
    """Return for one utterance what the weights behind a convolution multiply, and what comes out, frames in rows."""
    import torch

    from greenbench.models.resampler import lowered

    consumer = consumers(model)[number]
    with torch.no_grad():
        hidden = lowered(model, inputs["input_values"])[:, None]
        for layer in convolutions(model)[: number + 1]:
            hidden = layer(hidden)
        if isinstance(consumer, torch.nn.Conv1d):
            windows = hidden[0].unfold(1, consumer.kernel_size[0], consumer.stride[0])
            return windows.transpose(0, 1).flatten(1), consumer(hidden)[0].T
        z = getattr(consumer, "layer_norm", torch.nn.Identity())(hidden[0].T)
        return z, consumer.projection(z)


def _fit(layer: Any, pairs: "Pairs") -> None:
    """Put the ridge of inputs and outputs wanted into a Linear layer or, as windows, into a convolution."""
    weight, bias = ridge(pairs, layer.weight.flatten(1), layer.bias)
    layer.weight.data.copy_(weight.view_as(layer.weight))
    if bias is not None:
        layer.bias.data.copy_(bias)


def _outputs(
    layer: Any, hidden: "Sequence[Tensor]", entries: Sequence[layerwise.Entry]
) -> "Mapping[str, Sequence[Tensor]]":
    """Return what each feed-forward part of a layer gives for each utterance, ``(n_frames, width)``."""
    parts = feed_forwards(layer)
    return {path: _seen(layer, part.output_dense, hidden, entries, outputs=True) for path, part in parts.items()}


def _seen(
    layer: Any, module: Any, hidden: "Sequence[Tensor]", entries: Sequence[layerwise.Entry], outputs: bool = False
) -> "list[Tensor]":
    """Return what goes into a module of a layer, or comes out of it, for each utterance."""
    found: list[Tensor] = []

    def keep(_: Any, given: "Sequence[Tensor]", out: "Tensor") -> None:
        found.append((out if outputs else given[0])[0])

    with attached([module.register_forward_hook(keep)]):
        layerwise.advance(layer, hidden, entries)
    return found


def norm_and_head(
    model: Any, wanted: "Sequence[Tensor]", speech: "Sequence[Mapping[str, Tensor]]", steps: int, seed: int
) -> None:
    """Train the last layer norm and the head in place to give the wanted distributions; all else is as it is.

    The hidden states in front of the norm are computed once, so that a step costs nearly nothing (the intermediate
    cut of Vieting et al., "Efficient Utilization of Large Pre-Trained Models for Low Resource ASR", arXiv 2210.15445,
    2022, whose details are not public; objective and optimiser are ours).

    Args:
        model: after layers were left out.
        wanted: logarithms of the distributions for each utterance, ``(n_frames, n_tokens)``.
        speech: named inputs for each utterance alone.
        steps: of the optimiser.
        seed: of the batches.
    """
    parts, by_utterance = before_head(model, speech)
    towards(parts, by_utterance, wanted, steps, seed)


def towards(
    parts: Sequence[Any], by_utterance: "Sequence[Tensor]", wanted: "Sequence[Tensor]", steps: int, seed: int
) -> None:
    """Train modules that run one after the other in place to give the wanted distributions.

    Least mean KL(wanted || given) over frames, Adam, learning rate from 1e-3 linearly down to 0, batches of 4096
    frames, and what gets no nearer stays as it was.

    Args:
        parts: of them the last gives logits.
        by_utterance: what enters the first, ``(n_frames, width)``.
        wanted: logarithms of the distributions for each utterance, ``(n_frames, n_tokens)``.
        steps: of the optimiser.
        seed: of the batches.
    """
    import torch

    target, hidden = torch.cat(list(wanted)), torch.cat(list(by_utterance)).float()
    trained = deepcopy(torch.nn.Sequential(*parts)).float().requires_grad_(True)
    before = float(_divergence(trained, hidden, target).detach())
    if before < NEGLIGIBLE:
        return
    optimizer = torch.optim.Adam(trained.parameters(), 1e-3)
    draw = torch.Generator().manual_seed(seed)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / steps)
        batch = torch.randint(len(hidden), (min(4096, len(hidden)),), generator=draw).to(hidden.device)
        optimizer.zero_grad()
        with torch.enable_grad():
            torch.autograd.backward(_divergence(trained, hidden[batch], target[batch]))
        optimizer.step()
    if not float(_divergence(trained, hidden, target).detach()) < before:
        return
    for own, fitted in zip(parts, trained, strict=True):
        own.load_state_dict(fitted.state_dict())


def _divergence(module: Any, hidden: "Tensor", target: "Tensor") -> "Tensor":
    """Return the mean KL(target || given) over frames, as a number with gradients."""
    from torch.nn.functional import kl_div

    given = module(hidden).log_softmax(-1)
    return kl_div(given, target, reduction="batchmean", log_target=True)
