"""Distillation: a student learns to say what its teacher says, without transcripts if need be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ConfigDict

from greenbench.compress.distill.companion import Companion
from greenbench.compress.distill.settings import HIDDEN_LOSSES, TrainingSettings
from greenbench.errors import InputError
from greenbench.models.frames import SPECTRA, n_frames, receptive_field
from greenbench.models.macs import fewer_frames
from greenbench.plugins import SAMPLE_RATE_HZ, Context, Outline


@dataclass(frozen=True)
class Distill(TrainingSettings):
    """Train the model to match its teacher; the defaults are the losses and the optimiser of the paper.

    Peng et al., "Shrinking Bigfoot" (SustaiNLP 2021), section 2: KL divergence between the CTC outputs of teacher and
    student at temperature 1, and a penalty on convolutional features; AdamW (0.9, 0.98), eps 1e-6, weight decay 0.01,
    learning rate up from half of 5e-5 and then down linearly. No transcripts are needed but for ``ctc``.

    Attributes:
        steps: optimiser steps.
        losses: coefficient by name: ``kl``, over all frames; ``kl_near_labels``, over those near the teacher's labels;
            ``one_best``, over its best path with each label once; ``feature_penalty``; ``ctc``, against transcripts;
            ``exits``, of early exits against the final output; and between hidden states ``hidden`` (L1 and cosine),
            ``hidden_mse``, ``hidden_cos``, or ``gram``, which compares what features go together over an utterance.
        hidden_layers: for the last four: layer of the student -> layer of the teacher, both counted from 1; every
            layer of the student, matched evenly, where empty. Where the two are of different widths, each of these
            layers gets a linear projection to the teacher's, which trains along and is dropped afterwards; where the
            student has fewer frames (``reduce-frames``), a transposed convolution before it brings them back.
        hidden_weights: what the last four losses count at a layer of the student, or at a head by its number, where not
            1: ``{"12": 10}``. Their sum is divided by the number of layers, as without weights.
        heads: for the last four losses: ``{layers: [4, 8, 12]}`` compares these layers of the teacher, each with what a
            prediction head makes of the student's last hidden state, and no layer of the student itself
            (DistilHuBERT's; Chang, Yang and Lee, arXiv 2110.01900, 2022). Heads train along and are dropped afterwards.
        sample_hidden: compare only so many of these pairs of layers, drawn anew for each step (FitHuBERT's; Lee et al.,
            arXiv 2207.00555, 2022).
        ensemble: where a recipe has ``teachers``: compare outputs with the mean of all distributions, and not with the
            first one's; the tokens must be the same.
        teacher_weights: what the losses between layers count for each teacher, the first one first; 1 each where empty.
        temperature: of ``kl``.
        lr: highest learning rate.
        warmup: share of the steps over which the rate rises to ``lr``.
        schedule: ``linear``, up from half of it and then down to zero; or ``tri_stage``, up from a hundredth, level
            until three fifths of the steps, then down exponentially to a twentieth (fairseq's, for fine-tuning).
        batch_s: seconds of audio in a batch, padding included.
        accumulate: batches per optimiser step.
        weighting: how much each utterance counts: ``{use: adakd, k: 1, t: mean}`` multiplies what is learned from the
            teacher by a = exp(-1/sqrt(exp(-k (L - t)))) and ``ctc`` by 1 - a, with L the teacher's own CTC loss per
            label of the transcript, or, where not all of the speech has transcripts, the mean entropy of its frames
            that are not blank (reconstructed); t is a loss, or ``mean`` for its running mean. a from AdaKD (arXiv
            2405.08019, 2024); that it enters so is a reconstruction.
        train_only: train only parameters whose path contains one of these texts, such as ``[encoder.layer_norm,
            lm_head]``; without dropout. Where these are the last layer norm and the head, and no loss looks further
            down, the rest runs once for each utterance alone (with ``cache_teacher``), so that a step costs nearly
            nothing.
        gradient_scale: factor of the gradient of the parameters whose path contains a text, such as
            ``{feature_extractor: 0.1}`` (DistilHuBERT's; Chang, Yang and Lee, 2022).
        clip: largest norm of the gradient.
        precision: of the computation: ``fp32`` (stored as ``no``), or ``bf16`` or ``fp16`` mixed.
        gradient_checkpointing: compute a layer's activations again for its gradient instead of keeping them: less
            memory, more time.
        cache_teacher: let the teacher transcribe every utterance once before the training and keep its logits, for the
            next student, too (not where a loss needs hidden states); for speech that fits into memory.
        log_every: steps per row of the log.
        validate_every: steps between validations, each with a checkpoint.
        patience_steps: stop when the WER on the validation speech has not fallen for so many steps.
        seed: seed of the order of the speech, and of dropout.
    """

    extra: ClassVar[str] = "distill"
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")  # also within another method

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Train anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse to be a build at all, and models that it cannot train."""
        if before.teacher is None:
            raise InputError(no_build("distill"))
        if before.integers or before.compiled:
            raise InputError(f"distill cannot follow {before.integers or 'compile'}: train first, and build then")
        teachers = (before.teacher, *before.teachers)
        for model_type in (before.model_type, *(teacher.model_type for teacher in teachers)):
            _check_type(model_type)
        self._check_layers(before.n_layers, [teacher.n_layers for teacher in teachers])
        return before

    def __call__(self, model: Any, context: Context) -> Any:
        """Return the trained model; a training that was broken off goes on from its last checkpoint.

        Raises:
            InputError: as ``train_with`` says.
        """
        return self.train_with(model, context)

    def train_with(self, model: Any, context: Context, companions: Sequence[Companion] = ()) -> Any:
        """Return the trained model, as a call does, after companions that went along were detached from it.

        Raises:
            InputError: there is no speech to train on, ``ctc`` has no transcripts, transcripts are of letters that
                the vocabulary lacks, a layer does not exist, or the two models do not say the same tokens at the same
                frames.
        """
        from greenbench.compress.distill import spelling
        from greenbench.compress.distill.training import train
        from greenbench.models import exits

        if context.folder is None:
            raise InputError(no_build("distill"))
        if not context.train:
            raise InputError("distill: a training needs `train`: give it")
        if "ctc" in self.losses and not all(utterance.reference for utterance in context.train):
            raise InputError("distill: the loss ctc needs transcripts, and some of the training speech has none")
        teachers = [context.teacher, *(teacher for teacher, _, _ in context.teachers)]
        _check_tokens(model.config, context.teacher.config)
        for teacher in teachers:
            _check_frames(model.config, teacher.config)
        if self.ensemble:
            _check_vocabularies(context)
        self._check_layers(model.config.num_hidden_layers, [teacher.config.num_hidden_layers for teacher in teachers])
        if "exits" in self.losses and exits.of(model) is None:
            raise InputError("distill: losses: exits: the model has none: put early-exit before it, or leave it out")
        if self.needs_hidden and any(fewer_frames(teacher) for teacher in teachers):
            raise InputError(_FEWER_FRAMES)
        spelling.check(context, "ctc" in self.losses)
        student, progress = train(self, model, context, [*self._companions(), *companions])
        context.report(progress)
        return student

    def _companions(self) -> list[Companion]:
        """Return what the settings ask to go along."""
        from greenbench.compress.distill.gradients import GradientScale
        from greenbench.compress.distill.trunk import TrainOnly
        from greenbench.compress.distill.weighting import Weighting

        only = [TrainOnly(self.train_only)] if self.train_only else []
        scale = [GradientScale(self.gradient_scale)] if self.gradient_scale else []
        return [*only, *scale, *([Weighting(self.weighting)] if self.weighting else [])]

    def _check_layers(self, n_ours: int | None, n_each: Sequence[int | None]) -> None:
        """Refuse a pair of layers that student and teachers do not have, as far as their numbers are known."""
        if self.teacher_weights and len(self.teacher_weights) != len(n_each):
            raise InputError(
                f"distill: teacher_weights: {len(self.teacher_weights)} weights for {len(n_each)} teachers: "
                "give one each"
            )
        for n_theirs in n_each:
            self._check_pairs(n_ours, n_theirs)

    def _check_pairs(self, n_ours: int | None, n_theirs: int | None) -> None:
        """Refuse a pair of layers that the student or one teacher does not have."""
        for layer in self.heads.layers if self.heads else ():
            if n_theirs is not None and layer > n_theirs:
                raise InputError(f"distill: heads: layers: {layer}: the teacher has {n_theirs} layers")
        for layer in () if self.hint_layers else self.hidden_weights:
            if n_ours is not None and layer > n_ours:
                raise InputError(f"distill: hidden_weights: {layer}: the student has {n_ours} layers")
        for ours, theirs in self.hidden_layers.items():
            if (n_ours is not None and ours > n_ours) or (n_theirs is not None and theirs > n_theirs):
                raise InputError(
                    f"distill: hidden_layers: {ours}: {theirs}: the student has {n_ours} layers, its teacher {n_theirs}"
                )


def no_build(method: str) -> str:
    """Return why a method that trains refuses to be a build, and what to do."""
    return f"{method} trains for long: put it into a recipe and run `greenbench compress` once"


_FEWER_FRAMES = (
    f"distill: losses: {', '.join(HIDDEN_LOSSES)} compare layers with the teacher's at all frames, and inside of the "
    "teacher reduce-frames left fewer of these: leave these losses out"
)


def _check_type(model_type: str | None) -> None:
    if model_type in SPECTRA:
        raise InputError(f"distill: models of the type {model_type} read spectra; train one that reads waveforms")


def _check_tokens(ours: Any, theirs: Any) -> None:
    """Refuse a student whose outputs cannot be compared with its teacher's token by token."""
    if ours.vocab_size != theirs.vocab_size:
        raise InputError(f"distill: the student has {ours.vocab_size} tokens, its teacher {theirs.vocab_size}")


def _check_frames(ours: Any, theirs: Any) -> None:
    """Refuse a student whose frames are not those of a teacher."""
    for config in (ours, theirs):
        _check_type(config.model_type)
    found = [(receptive_field(config), n_frames(config, 10 * SAMPLE_RATE_HZ)) for config in (ours, theirs)]
    if found[0] != found[1]:
        raise InputError(
            "distill: the student has {} frames of {} samples in ten seconds, its teacher {} of {}".format(
                *found[0][::-1], *found[1][::-1]
            )
        )


def _check_vocabularies(context: Context) -> None:
    """Refuse teachers whose distributions have no mean, since their tokens are not the same."""
    for number, (_, _, tokenizer) in enumerate(context.teachers):
        if tokenizer.get_vocab() != context.tokenizer.get_vocab():
            raise InputError(
                f"distill: ensemble: teachers.{number} has other tokens than the first teacher: leave `ensemble` "
                "out, and learn its hidden states"
            )
