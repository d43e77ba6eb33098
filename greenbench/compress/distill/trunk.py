"""Training a part of a student: the rest is frozen, and where only the top trains, what enters it is computed once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from greenbench.compress.distill.companion import Companion, parameters
from greenbench.compress.distill.losses import Outputs
from greenbench.compress.distill.settings import TrainingSettings
from greenbench.compress.distill.teacher import Batch, collate
from greenbench.models.top import before_head
from greenbench.plugins import Context

if TYPE_CHECKING:
    from torch import Tensor


class TrainOnly(Companion):
    """Freezes all parameters of a student but those whose path contains one of some texts, until it is detached."""

    name = "train_only"

    def __init__(self, parts: Sequence[str]) -> None:
        """Take the texts."""
        self.parts = parts
        self._frozen: list[Any] = []

    def attach(self, student: Any, context: Context) -> None:  # noqa: ARG002
        """Freeze what trains otherwise.

        Raises:
            InputError: no parameter has such a path.
        """
        named = parameters(student, self.name, self.parts)
        others = [p for name, p in named.items() if not any(part in name for part in self.parts)]
        self._frozen = [parameter for parameter in others if parameter.requires_grad]
        for parameter in self._frozen:
            parameter.requires_grad_(False)

    def detach(self, student: Any) -> Any:
        """Let the others train again."""
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        self._frozen = []
        return student


def set_mode(student: Any, settings: TrainingSettings) -> None:
    """Set a student to train: with dropout, unless only a part of it trains, whose other parts are as in use."""
    student.train(not settings.train_only)
    for module in student.modules() if settings.train_only else ():
        if any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
            module.training = True


class Trunk:
    """What a frozen trunk gives for each utterance alone, for a student of which only the top or early exits train.

    Attributes:
        parts: modules of the top, in order; empty where more than these trains, and nothing is kept then.
        branches: of early exits, in order.
    """

    def __init__(self, student: Any, settings: TrainingSettings, context: Context) -> None:
        """Run the trunk once for each utterance, if what enters the top says all that the losses ask for.

        Args:
            student: a transformers CTC model, frozen as the settings say.
            settings: of the training.
            context: its speech.
        """
        self.parts: list[Any] = []
        self.branches: list[Any] = []
        self._kept: Mapping[str, Sequence[Tensor]] = {}
        if not settings.train_only or settings.needs_hidden or "feature_penalty" in settings.losses:
            return
        from greenbench.models import exits

        speech, was_training = context.train, student.training
        student.eval()
        inputs = (collate([utterance], student, context).inputs for utterance in speech)
        with exits.leaving_never(), exits.before(student) as (branches, of_branches):
            parts, hidden = before_head(student, inputs)
        student.train(was_training)
        top = {id(parameter) for part in (*parts, *branches) for parameter in part.parameters()}
        if all(id(p) in top for p in student.parameters() if p.requires_grad):
            self.parts, self.branches = parts, branches
            self._kept = dict(zip((u.id for u in speech), zip(hidden, *of_branches, strict=True), strict=True))

    def __call__(self, batch: Batch) -> Outputs:
        """Return what the top makes of what is kept for a batch; frames of padding are of zeros."""
        kept = zip(*(self._kept[utterance.id] for utterance in batch.utterances), strict=True)
        logits, *hidden = (_padded(rows, batch) for rows in kept)
        for part in self.parts:
            logits = part(logits)
        given = [branch(states).float() for branch, states in zip(self.branches, hidden, strict=True)]
        return Outputs(logits.float(), exits=given)


def _padded(rows: "Sequence[Tensor]", batch: Batch) -> "Tensor":
    """Return what is kept of the utterances of a batch, ``(n_utterances, n_frames, width)``, on its device."""
    import torch

    padded = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True).to(batch.mask.device)
    missing = batch.mask.shape[1] - padded.shape[1]
    return torch.nn.functional.pad(padded, (0, 0, 0, missing))
