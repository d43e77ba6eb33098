"""Healing: each layer of an edited model is trained by itself to give what its teacher's layer gives."""

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from greenbench.compress import layerwise
from greenbench.compress.calibration import NUtterances, SpeechSettings
from greenbench.compress.layerwise import Entry
from greenbench.errors import InputError
from greenbench.models import shared
from greenbench.models.lineage import Training
from greenbench.plugins import BARE, Context, Outline

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class HealLayers(SpeechSettings):
    """Train each layer by itself to reproduce its teacher's layer: least mean squared error, no transcripts.

    The layer-wise fine-tuning of AdaPTwin (arXiv 2406.08904, 2024), as far as its text says: a step costs a fraction of
    a training of the whole model. The teacher is the model before the first build of a chain, or a recipe's teacher.
    Adam, learning rate falling linearly to 0. A layer whose error does not fall stays as it was, and one that equals
    its teacher's is not trained.

    Attributes:
        steps: optimiser steps of each layer.
        lr: highest learning rate.
        batch_frames: frames of a step, in whole utterances.
        through: the input of each layer: that of the ``teacher``'s layer, or the output of the ``student``'s layers
            before it, which have been healed.
        seed: seed of the batches.
        calibration: the data set to train on, in the form of a suite's; by default the bundled unlabelled speech,
            synthetic English. Never the speech that is evaluated on.
        n_calibration: number of its utterances to use, spread over the whole data set.
    """

    steps: Annotated[int, Field(ge=1)] = 200
    lr: Annotated[float, Field(gt=0)] = 1e-3
    batch_frames: Annotated[int, Field(ge=1)] = 4096
    through: Literal["teacher", "student"] = "teacher"
    seed: int = 0
    n_calibration: NUtterances = field(default=150, kw_only=True)

    needs_teacher: ClassVar[bool] = True

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse models whose layers cannot be trained one by one."""
        if before.model_type == "sew-d":
            raise InputError("heal-layers: models of the type sew-d have layers that share their positions")
        if before.integers or before.compiled:
            raise InputError(f"heal-layers cannot follow {before.integers or 'compile'}: put it before")
        if before.floats == "fp16":
            raise InputError("heal-layers cannot train in fp16: put it before")
        if before.shared:
            raise InputError(
                "heal-layers trains one layer at a time, and share-layers left some with the same weights: put it "
                "before share-layers, or train with distill"
            )
        return before

    def __call__(self, model: Any, context: Context = BARE) -> Any:
        """Train the layers in place.

        Raises:
            InputError: there is no teacher or no speech, or the layers cannot be told or compared.
        """
        self.follow(Outline(model.config.model_type, shared=bool(shared.owners(model))))
        teacher = context.teacher
        if teacher is None:
            raise InputError("heal-layers: a teacher is needed: give `teacher` in the context")
        teacher = teacher.to(model.device).eval()
        of_place = _by_place(model, teacher)
        speech = self.speech(model, context)
        began = time.perf_counter()
        theirs, their_entries = layerwise.entering(teacher, speech)
        ours, entries = layerwise.entering(model, speech)
        n_steps = 0
        for place, other in enumerate(layerwise.layers_of(teacher)):
            wanted = layerwise.advance(other, theirs, their_entries[place])
            if (index := of_place.get(place)) is not None:
                layer = layerwise.layers_of(model)[index]
                hidden = theirs if self.through == "teacher" else ours
                n_steps += self._heal(layer, hidden, wanted, entries[index])
                ours = layerwise.advance(layer, ours, entries[index]) if self.through == "student" else ours
            theirs = wanted
        context.report(Training(step=n_steps, wall_s=time.perf_counter() - began))
        return model

    def _heal(
        self, layer: Any, hidden: "Sequence[Tensor]", wanted: "Sequence[Tensor]", entries: Sequence[Entry]
    ) -> int:
        """Train one layer, unless it is whole or gets no nearer; return the steps taken."""
        import torch

        before = _error(layer, hidden, wanted, entries)
        if before <= 1e-10 * float(torch.cat([one[0] for one in wanted]).float().var()):
            return 0
        kept, parameters = deepcopy(layer.state_dict()), list(layer.parameters())
        asked = [parameter.requires_grad for parameter in parameters]
        layer.requires_grad_(True)
        optimizer = torch.optim.Adam(parameters, self.lr)
        draw = torch.Generator().manual_seed(self.seed)
        for step in range(self.steps):
            optimizer.param_groups[0]["lr"] = self.lr * (1 - step / self.steps)
            batch = _batch([one.shape[1] for one in wanted], self.batch_frames, draw)
            n_values = sum(wanted[number].numel() for number in batch)
            optimizer.zero_grad()
            for number in batch:
                given = layerwise.run(layer, hidden[number], entries[number])
                torch.autograd.backward((given - wanted[number]).float().square().sum() / n_values)
            optimizer.step()
        optimizer.zero_grad()
        for parameter, was in zip(parameters, asked, strict=True):
            parameter.requires_grad_(was)
        if not _error(layer, hidden, wanted, entries) < before:
            layer.load_state_dict(kept)
        return self.steps


def _by_place(model: Any, teacher: Any) -> dict[int, int]:
    """Return the layer of the model that is each of its teacher's, both counted from 0.

    Raises:
        InputError: the two are of different widths, or it is not known which layers the model has.
    """
    layers, others = layerwise.layers_of(model), layerwise.layers_of(teacher)
    width, wanted = (one.base_model.encoder.config.hidden_size for one in (model, teacher))
    if width != wanted:
        raise InputError(
            f"heal-layers: the model's hidden states have {width} values, its teacher's {wanted}: it compares layers "
            "of the same width"
        )
    if len(layers) != len(others) and not all(hasattr(layer, "place") for layer in layers):
        raise InputError(
            f"heal-layers: the model has {len(layers)} layers, its teacher {len(others)}, and which ones is not known: "
            "put it after `layer-drop` in the same chain"
        )
    return {place: index for index, place in enumerate(layerwise.places(model))}


def _batch(lengths: Sequence[int], n_frames: int, draw: Any) -> list[int]:
    """Draw utterances until they have a number of frames, or all are there."""
    import torch

    batch: list[int] = []
    for number in torch.randperm(len(lengths), generator=draw).tolist():
        batch.append(number)
        if sum(lengths[one] for one in batch) >= n_frames:
            break
    return batch


def _error(layer: Any, hidden: "Sequence[Tensor]", wanted: "Sequence[Tensor]", entries: Sequence[Entry]) -> float:
    """Return the mean squared error of a layer's output over all utterances."""
    given = layerwise.advance(layer, hidden, entries)
    total = sum(float((own - other).float().square().sum()) for own, other in zip(given, wanted, strict=True))
    return total / sum(other.numel() for other in wanted)
