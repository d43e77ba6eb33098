"""The teacher of a training: batches of speech, the outputs of models for them, and those of the teacher, kept."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from greenbench import cache
from greenbench.compress.distill.losses import Outputs
from greenbench.meters import energy, measure
from greenbench.models.frames import n_frames, receptive_field
from greenbench.models.hooks import attached
from greenbench.models.spelling import speller
from greenbench.plugins import SAMPLE_RATE_HZ, Context, Meter, Reading, Spoken
from greenbench.plugins.events import Phase

LOGITS, COST = "logits.safetensors", "cost.json"


@dataclass(frozen=True)
class Batch:
    """Audio of like length, padded, and what is known about it."""

    inputs: Mapping[str, Any]
    mask: Any
    labels: Sequence[Any]
    utterances: Sequence[Spoken]

    @property
    def audio_s(self) -> float:
        """Seconds of audio, padding left out."""
        return sum(utterance.duration_s for utterance in self.utterances)


@dataclass(frozen=True)
class Cost:
    """What a part of a training cost.

    Attributes:
        wall_s: seconds.
        energy_j: gross joules; None where no meter answers.
        energy_method: ``counter``, ``sampled`` or ``estimated``.
    """

    wall_s: float
    energy_j: float | None
    energy_method: str | None


def cost(reading: Reading) -> Cost:
    """Return the seconds and joules that the meters read."""
    device = reading.device or "cpu"
    joules = energy.total_j(device, reading)
    method = energy.provenance(device, reading).get("energy_method") if joules is not None else None
    return Cost(reading.value("wall_s") or 0.0, joules, method)


class Teacher:
    """The model to learn from, frozen.

    Attributes:
        model: the torch module.
        kept: logits by the id of an utterance, ``(n_frames, n_tokens)``; empty until ``keep``.
        n_transcribed: utterances that went through the model.
    """

    def __init__(self, model: Any, context: Context, hidden: bool = False, own_inputs: bool = False) -> None:
        """Freeze the model.

        Args:
            model: a transformers CTC model.
            context: of the training, with the model's own feature extractor.
            hidden: give what is between its layers, too.
            own_inputs: whether its feature extractor may be another than that by which batches are made.
        """
        self.model, self._context = model.eval().requires_grad_(False), context
        self._hidden, self._own_inputs = hidden, own_inputs
        self.kept: dict[str, Any] = {}
        self.n_transcribed = 0

    def __call__(self, batch: Batch) -> Outputs:
        """Return the teacher's outputs for a batch: those that are kept, else those of the whole batch."""
        import torch

        if not self.kept:
            own = collate(batch.utterances, self.model, self._context) if self._own_inputs else batch
            return self._transcribe(own)
        rows = [self.kept[utterance.id] for utterance in batch.utterances]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(batch.mask.device)
        missing = batch.mask.shape[1] - padded.shape[1]
        return Outputs(torch.nn.functional.pad(padded, (0, 0, 0, missing)))

    def keep(self, spoken: Sequence[Spoken], meters: Sequence[Meter]) -> Cost:
        """Transcribe every utterance once and alone, and keep its logits, so that they are the same in every batch.

        They are kept on the disk (``greenbench cache``): the next student of this teacher and speech finds them.

        Args:
            spoken: the training speech.
            meters: to measure by.

        Returns:
            What the transcribing cost when it was done, which counts for each student.
        """
        import torch
        from safetensors.torch import load_file

        about = {
            "build": "teacher's logits",
            "settings": f"{len(spoken)} utterances, {sum(u.duration_s for u in spoken) / 3600:.2f} h",
            "teacher": _digest(tensor.cpu().numpy().tobytes() for tensor in self.model.state_dict().values()),
            "config": self.model.config.to_json_string(),
            "speech": _digest(utterance.audio.tobytes() for utterance in spoken),
            "extractor": self._context.extractor.to_json_string(),
            "device": self._context.device,
            "versions": {name: version(name) for name in ("torch", "transformers")},
            "estimate_energy": self._context.estimate_energy,
            "form": 2,  # of the files; in the first the cost was in took.json
        }
        folder = cache.artefact(about, partial(self._transcribe_all, spoken, meters))
        found = load_file(folder / LOGITS)
        logits = torch.split(found["logits"], found["n_frames"].tolist())
        self.kept = dict(zip((utterance.id for utterance in spoken), logits, strict=True))
        return Cost(**json.loads((folder / COST).read_text(encoding="utf-8")))

    def _transcribe_all(self, spoken: Sequence[Spoken], meters: Sequence[Meter], aside: Path) -> None:
        import torch
        from safetensors.torch import save_file

        hours = sum(utterance.duration_s for utterance in spoken) / 3600
        self._context.observe(Phase(f"the teacher transcribes {hours:.2f} h of speech"))
        reading = Reading(device=self._context.device)
        with measure(meters, reading):
            logits = [self._transcribe(collate([u], self.model, self._context)).logits[0].cpu() for u in spoken]
        n_frames_each = torch.tensor([len(row) for row in logits])
        save_file({"logits": torch.cat(logits), "n_frames": n_frames_each}, aside / LOGITS)
        (aside / COST).write_text(json.dumps(asdict(cost(reading))), encoding="utf-8")

    def _transcribe(self, batch: Batch) -> Outputs:
        import torch

        self.n_transcribed += len(batch.utterances)
        with torch.no_grad():
            return forward(self.model, batch, hidden=self._hidden)


def _digest(parts: Iterable[bytes]) -> str:
    """Return one digest of several parts, which also tells where each ends."""
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()


def forward(model: Any, batch: Batch, hidden: bool = False, features: bool = False) -> Outputs:
    """Run a transformers CTC model on a batch and return what the losses may ask for."""
    caught: list[Any] = []
    front = getattr(model, "module", model).base_model.feature_extractor
    hooks = [front.register_forward_hook(lambda _module, _inputs, output: caught.append(output))] if features else []
    with attached(hooks):
        found = model(**batch.inputs, output_hidden_states=hidden)
    convolved = caught[0].transpose(1, 2).float() if caught else None
    exits = [logits.float() for logits in getattr(found, "exits", ())]
    return Outputs(found.logits.float(), convolved, found.hidden_states or (), exits)


def collate(utterances: Sequence[Spoken], model: Any, context: Context) -> Batch:
    """Pad utterances to one batch on the model's device, each to a frame at least as ``CtcTranscriber`` does."""
    import torch

    shortest, spell = receptive_field(model.config), speller(context.tokenizer)
    waveforms = [np.pad(u.audio, (0, max(0, shortest - u.n_samples))) for u in utterances]
    inputs = context.extractor(waveforms, sampling_rate=SAMPLE_RATE_HZ, padding=True, return_tensors="pt")
    lengths = [n_frames(model.config, len(waveform)) for waveform in waveforms]
    mask = torch.arange(n_frames(model.config, inputs["input_values"].shape[1]))[None] < torch.tensor(lengths)[:, None]
    labels = [torch.tensor(context.tokenizer(spell(u.reference).text).input_ids, dtype=torch.long) for u in utterances]
    device = next(model.parameters()).device
    return Batch(inputs.to(device), mask.to(device), labels, utterances)
