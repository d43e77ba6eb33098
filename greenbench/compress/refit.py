"""Refitting: the parts behind an edit are fitted to what the model gave before it, on speech without transcripts."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from greenbench.compress import layerwise
from greenbench.models.feed_forward import feed_forwards
from greenbench.models.hooks import attached
from greenbench.models.top import before_head

if TYPE_CHECKING:
    from torch import Tensor

DAMPING = 0.01
"""Of the ridge, as a share of the mean square of an input."""

NEGLIGIBLE = 1e-6
"""Divergence in nats a frame that is rounding, and nothing to be trained away."""


def ridge(
    pairs: "Iterable[tuple[Tensor, Tensor]]", weight: "Tensor", bias: "Tensor", damping: float = DAMPING
) -> "tuple[Tensor, Tensor]":
    """Fit a Linear layer to outputs by ridge regression about the weights that it has.

    With Z the inputs and a one, Y the outputs wanted, W0 the present weights and bias:
    W = W0 + (Z'Z + damping * mean(diag Z'Z) * I)^-1 Z'(Y - Z W0), the least |Y - ZW|^2 + damping * mean * |W - W0|^2
    (Hoerl and Kennard, "Ridge Regression", 1970, on the residual). So weights that fit already stay as they are.

    Args:
        pairs: inputs ``(n, n_in)`` and outputs wanted ``(n, n_out)``, in as many parts as is convenient.
        weight: the present one, ``(n_out, n_in)``.
        bias: the present one, ``(n_out,)``.
        damping: 0 is plain least squares.

    Returns:
        Weight and bias, on the device and in the precision of those given; computed in float64 on the CPU.
    """
    import torch

    def exact(tensor: "Tensor") -> "Tensor":
        return tensor.detach().to("cpu", torch.float64)

    present = torch.cat([exact(weight), exact(bias)[:, None]], 1).T
    gram, left = torch.zeros(len(present), len(present)).double(), torch.zeros_like(present)
    for inputs, wanted in pairs:
        z = torch.cat([exact(inputs), torch.ones(len(inputs), 1).double()], 1)
        gram += z.T @ z
        left += z.T @ (exact(wanted) - z @ present)
    gram.diagonal().add_(damping * gram.diagonal().mean())
    found = (present + torch.linalg.lstsq(gram, left).solution).T
    return found[:, :-1].to(weight), found[:, -1].to(bias)


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
            weight, bias = ridge(zip(inputs, after[path], strict=True), linear.weight, linear.bias)
            linear.weight.data.copy_(weight)
            linear.bias.data.copy_(bias)
        ours, theirs = (layerwise.advance(layer, hidden, of_layer) for layer, hidden in ((own, ours), (other, theirs)))


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
    2022, whose details are not public; objective and optimiser are ours). Least mean KL(wanted || given) over frames,
    Adam, learning rate from 1e-3 linearly down to 0, batches of 4096 frames, and what gets no nearer stays as it was.

    Args:
        model: after layers were left out.
        wanted: logarithms of the distributions for each utterance, ``(n_frames, n_tokens)``.
        speech: named inputs for each utterance alone.
        steps: of the optimiser.
        seed: of the batches.
    """
    import torch

    parts, by_utterance = before_head(model, speech)
    target, hidden = torch.cat(list(wanted)), torch.cat(by_utterance).float()
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
