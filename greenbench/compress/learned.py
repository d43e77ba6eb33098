"""Pruning that is learned: gates on heads, neurons and channels train with the model until its work is as asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from greenbench.compress.distill import Distill, no_build
from greenbench.compress.distill.companion import Companion, mean_frames
from greenbench.errors import InputError
from greenbench.models import attention, convolutions, linears
from greenbench.models.feed_forward import feed_forwards
from greenbench.models.macs import count_macs, fewer_frames
from greenbench.plugins import SAMPLE_RATE_HZ, Context, Outline

if TYPE_CHECKING:
    from torch import Tensor

    from greenbench.compress.gates import Term

SECONDS = 10
"""Of the utterance whose work counts."""

MULTIPLIERS = "budget_multipliers"
"""What a student is given while it trains: the two multipliers of the Lagrangian."""


@dataclass(frozen=True)
class PruneLearned:
    """Learn which heads, neurons and channels can go, in one training with the model, until its work is as asked for.

    Structured pruning as in Peng et al., "Structured Pruning of Self-Supervised Pre-Trained Models" (arXiv 2302.14132,
    2023) and "DPHuBERT" (2023): a hard-concrete gate (Louizos et al., ICLR 2018) multiplies each head, each neuron and,
    with ``channel``, each channel of the convolutions of the front end, those of the last one behind the norm of the
    feature projection (before it in theirs). Norms over channels are in the end over those that stay, as in
    ``thin-conv``. The loss has the term of an augmented Lagrangian, n (a (s - t) + b (s - t)^2),
    with s the share of the work expected to be gone, t that wanted, a and b multipliers that ascend, and n, which is
    ours, the mean frames of an utterance, since the losses are sums over frames. Afterwards what gates are left is
    multiplied into the weights, and the rest is taken out. Name ``distill`` after it, at half the rate.

    Attributes:
        keep: share of the whole model's work that stays.
        distill: the training, with all settings of ``distill``; gates need all of its steps, and the weights of the
            last one are the result.
        of: ``macs``, multiply-accumulates for 10 s of audio, or ``params``, the number of parameters.
        units: what can go: ``head``, ``neuron``, ``channel`` (of the front end), or several of them.
        ramp: share of the steps over which t rises to what is wanted (theirs is 0.1, of very many steps).
        gate_lr: highest rate of gates and multipliers; where not given 0.02, theirs, or with fewer than 3000 steps
            60 / steps, so that gates can travel as far.
        init_drop: share of the gates that is closed at first.
    """

    keep: Annotated[float, Field(gt=0, lt=1)]
    distill: Distill
    of: Literal["macs", "params"] = "macs"
    units: Annotated[Sequence[Literal["head", "neuron", "channel"]], Field(min_length=1)] = ("head", "neuron")
    ramp: Annotated[float, Field(ge=0, le=1)] = 0.5
    gate_lr: Annotated[float, Field(gt=0, le=1)] | None = None
    init_drop: Annotated[float, Field(gt=0, lt=1)] = 0.01

    extra: ClassVar[str] = "distill"

    def __post_init__(self) -> None:
        """Refuse a training that may end before the gates have closed."""
        if self.distill.patience_steps is not None:
            raise ValueError("distill.patience_steps: gates need all steps: leave it out")

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Train anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse to be a build, and models that have other heads, neurons or channels."""
        if before.teacher is None:
            raise InputError(no_build("prune-learned"))
        if "head" in self.units:
            attention.check_type("prune-learned", before.model_type)
        if "channel" in self.units:
            convolutions.check_type("prune-learned", before.model_type)
        return self.distill.follow(before)

    def __call__(self, model: Any, context: Context) -> Any:
        """Return the trained and narrowed model; a training that was broken off goes on from its last checkpoint.

        Raises:
            InputError: as ``Distill`` says; or the model has no such units in floats, or no more than them is to stay.
        """
        heads, layers = attention.attentions(model).values(), feed_forwards(model).values()
        parts = [part for head in heads for part in attention.projections(head)]
        parts += [part for layer in layers for part in (layer.intermediate_dense, layer.output_dense)]
        if "channel" in self.units:
            parts += [layer.conv for layer in convolutions.convolutions(model)]
            parts.append(model.base_model.feature_projection.projection)
        if not parts or not linears.in_floats(parts):
            raise InputError(linears.needs_floats("prune-learned"))
        if fewer_frames(model):
            raise InputError("prune-learned counts work with all frames: put it before reduce-frames")
        return self.distill.train_with(model, context, [Budget(self, self._whole(model))])

    def _whole(self, model: Any) -> float:
        """Return the work of the whole model."""
        if self.of == "params":
            return float(sum(parameter.numel() for parameter in model.parameters()))
        whole = count_macs(model, SECONDS * SAMPLE_RATE_HZ)
        if whole is None:
            raise InputError("prune-learned: the model's multiply-accumulates cannot be counted: give `of: params`")
        return whole


class Budget(Companion):
    """Gates on a student, and the term that closes as many as its work asks for."""

    name = "budget"
    last = True

    def __init__(self, settings: PruneLearned, whole: float) -> None:
        """Take the settings, and the work of the whole model."""
        self.settings, self.whole = settings, whole
        self.terms: Sequence[Term] = ()
        self._frames = 1.0

    def attach(self, student: Any, context: Context) -> None:
        """Add gates and multipliers.

        Raises:
            InputError: what no gate multiplies is more than is to stay.
        """
        import torch

        from greenbench.compress import gates

        settings = self.settings
        gates.add(student, settings.units, settings.init_drop, settings.distill.seed)
        self.terms = gates.terms(student, SECONDS * SAMPLE_RATE_HZ if settings.of == "macs" else None)
        self._frames = mean_frames(student, context)
        n_units = {path: len(gate.log_alpha) for path, gate in gates.gates(student).items()}
        least = self.whole - gates.work(self.terms, n_units) + gates.work(self.terms, dict.fromkeys(n_units, 1))
        if settings.keep * self.whole < least:
            raise InputError(
                f"prune-learned: keep: {settings.keep:g} cannot be reached: without all but one unit of each layer "
                f"{least / self.whole:.3f} of the {settings.of} is left"
            )
        student.register_parameter(MULTIPLIERS, torch.nn.Parameter(torch.zeros(2)))

    def groups(self, student: Any, lr: float) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return gates, which descend, and multipliers, which ascend, at one rate and without decay."""
        from greenbench.compress import gates

        rate = self.settings.gate_lr or max(0.02, min(1.0, 60 / self.settings.distill.steps))
        own = {"lr": rate, "weight_decay": 0.0}
        descending = [gate.log_alpha for gate in gates.gates(student).values()]
        return [{"params": descending, **own}, {"params": [getattr(student, MULTIPLIERS)], "maximize": True, **own}]

    def term(self, student: Any, step: int, of: int) -> "Tensor":
        """Return the term of the augmented Lagrangian."""
        rising = self.settings.ramp * of
        wanted = (1 - self.settings.keep) * (min(1.0, step / rising) if rising else 1.0)
        lack = self.sparsity(student) - wanted
        first, second = getattr(student, MULTIPLIERS)
        term: Tensor = self._frames * (first * lack + second * lack.square())
        return term

    def sparsity(self, student: Any) -> "Tensor":
        """Return the share of the work that is expected to be gone, a number with gradients."""
        from greenbench.compress import gates

        alphas = {path: gate.log_alpha for path, gate in gates.gates(student).items()}
        n_open = {path: gates.open_probability(alpha).sum() for path, alpha in alphas.items()}
        n_units = {path: len(alpha) for path, alpha in alphas.items()}
        gone: Tensor = (gates.work(self.terms, n_units) - gates.work(self.terms, n_open)) / self.whole
        return gone

    def detach(self, student: Any) -> Any:
        """Fold the gates into the student.

        Units are closed over the whole model, those of the least gates first, until the work is what ``keep`` says:
        rounding in each layer by itself would miss it by a head here and there.
        """
        from greenbench.compress import gates

        delattr(student, MULTIPLIERS)
        alphas = {path: gate.log_alpha.detach() for path, gate in gates.gates(student).items()}
        gates.fold(student, self._nearest(alphas))
        return student

    def _nearest(self, alphas: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
        """Return the gates of each layer; a unit that would take too much is passed over for the next smaller one."""
        from greenbench.compress import gates

        values = {path: gates.opened(alpha) for path, alpha in alphas.items()}
        best = {path: int(alpha.argmax()) for path, alpha in alphas.items()}
        units = [(float(a), p, i) for p, alpha in alphas.items() for i, a in enumerate(alpha) if i != best[p]]
        n_open = {path: len(alpha) for path, alpha in alphas.items()}
        smallest = min(gates.unit_work(self.terms, n_open, path) for path in n_open)
        least, left = self.settings.keep * self.whole - smallest / 2, self.whole
        for _, path, unit in sorted(units):
            going = gates.unit_work(self.terms, n_open, path)
            if left - going >= least:
                left, n_open[path] = left - going, n_open[path] - 1
                values[path][unit] = 0.0
        return values
