"""How a student learns from its teacher: steps, checkpoints, a log, and the energy that went into it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from greenbench.compress.distill.batches import batches
from greenbench.compress.distill.companion import Companion
from greenbench.compress.distill.hints import add_hints, drop_hints
from greenbench.compress.distill.log import LOG, append, trim
from greenbench.compress.distill.objective import losses_of
from greenbench.compress.distill.progress import BEST, TrainingRun, TrainingState, keep, kept, loaded, progress
from greenbench.compress.distill.settings import TrainingSettings
from greenbench.compress.distill.teacher import Cost, Teacher, collate, cost, forward
from greenbench.compress.distill.trunk import Trunk, set_mode
from greenbench.errors import TrainingError
from greenbench.meters import measure
from greenbench.metrics import ratio
from greenbench.models.spelling import speller
from greenbench.plugins import METHODS, SAMPLE_RATE_HZ, Context, Reading
from greenbench.plugins.events import Phase


def train(
    settings: TrainingSettings, student: Any, context: Context, companions: Sequence[Companion] = ()
) -> tuple[Any, TrainingState]:
    """Train a student to its last step, from the last checkpoint where there is one.

    Args:
        settings: of the training.
        student: a transformers CTC model; it is changed.
        context: teacher, speech, and the folder of checkpoints and log.
        companions: what goes along with the training; they are detached in the end, the last one first.

    Returns:
        The student with the weights of its best validation (of its last step without one, or where a companion wants
        it), and the progress.

    Raises:
        TrainingError: a loss or the weights are not finite.
        StoreError: the last checkpoint is damaged.
    """
    run = _open(settings, student, context, companions)
    steps = _steps(run)
    while run.progress.step < settings.steps and not _stalled(run):
        n_steps = min(settings.log_every, settings.steps - run.progress.step)
        reading = Reading(device=context.device)
        with measure(run.meters, reading):
            losses = [next(steps) for _ in range(n_steps)]
            wer = _validate(run) if _is_due(run) else None
        _account(run, cost(reading))
        append(run, losses, wer)
        if _is_due(run):
            keep(run, wer)
    run.accelerator.wait_for_everyone()
    return _student(run), run.progress


def _student(run: TrainingRun) -> Any:
    """Return the student that the training made, without what went along."""
    import torch

    trained, last = run.accelerator.unwrap_model(run.student), kept(run.folder)
    if last and (last / BEST).exists() and not any(companion.last for companion in run.companions):
        best = last / BEST
        loaded(best, lambda: trained.load_state_dict(torch.load(best, weights_only=True, map_location="cpu")))
    if not all(bool(torch.isfinite(weights).all()) for weights in trained.parameters()):
        raise TrainingError(f"distill: the weights are not finite after step {run.progress.step}. Lower `lr`.")
    drop_hints(trained)
    for companion in reversed(run.companions):
        trained = companion.detach(trained)
    if run.settings.gradient_checkpointing:
        _checkpointing(trained, "disable")
    return trained.cpu().eval()


def _open(settings: TrainingSettings, student: Any, context: Context, companions: Sequence[Companion]) -> TrainingRun:
    """Set a training up on whatever devices accelerate finds, and resume it where it has a checkpoint."""
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, set_seed

    from greenbench.meters import select

    unused = settings.sample_hidden is not None or any(companion.partial for companion in companions)
    partly = DistributedDataParallelKwargs(find_unused_parameters=unused)
    accelerator = Accelerator(mixed_precision=settings.precision, cpu=context.device == "cpu", kwargs_handlers=[partly])
    set_seed(settings.seed)
    optimizer = _prepare(settings, student, context, companions)
    rates = [group["lr"] for group in optimizer.param_groups]
    teachers = _teachers(settings, context, accelerator.device)
    student, optimizer = accelerator.prepare(student, optimizer)
    meters = select(context.estimate_energy)
    run = TrainingRun(settings, context, accelerator, student, optimizer, teachers, meters, companions, rates)
    if settings.cache_teacher and not settings.needs_hidden:
        with accelerator.main_process_first():
            for teacher in teachers:
                _account(run, teacher.keep(context.train, run.meters))
    checkpoint = kept(run.folder)
    if checkpoint:
        run.progress = progress(checkpoint)
        loaded(checkpoint, lambda: accelerator.load_state(str(checkpoint)))
        context.observe(Phase(f"going on after step {run.progress.step}, from {checkpoint}"))
    _keep_trunk(run)
    if accelerator.is_main_process:
        trim(run.folder / LOG, run.progress.step)
    return run


def _teachers(settings: TrainingSettings, context: Context, device: Any) -> list[Teacher]:
    """Return the teachers that something is learned from, the first one first, each with its feature extractor."""
    hidden = settings.needs_hidden
    further = context.teachers if hidden or settings.ensemble else ()
    found = [Teacher(context.teacher.to(device), context, hidden)]
    for model, extractor, _ in further:
        own = extractor.to_dict() != context.extractor.to_dict()
        found.append(Teacher(model.to(device), replace(context, extractor=extractor), hidden, own))
    return found


def _keep_trunk(run: TrainingRun) -> None:
    """Let a frozen trunk run once, where all of the speech fits; several processes share gradients, and run it all."""
    if run.settings.train_only and run.settings.cache_teacher and run.accelerator.num_processes == 1:
        run.context.observe(Phase("the frozen part of the student runs once"))
        reading = Reading(device=run.context.device)
        with measure(run.meters, reading):
            trunk = Trunk(run.accelerator.unwrap_model(run.student), run.settings, run.context)
        _account(run, cost(reading))
        run.trunk = trunk if trunk.parts else None


def _prepare(settings: TrainingSettings, student: Any, context: Context, companions: Sequence[Companion]) -> Any:
    """Give a student what is trained along with it, and return the optimiser of it all."""
    import torch

    student.config.layerdrop = 0.0  # which layers run must not be a matter of luck in a short student
    student.config.apply_spec_augment = False
    if hasattr(student.base_model, "masked_spec_embed"):
        student.base_model.masked_spec_embed.requires_grad_(False)  # unused without it, for which DDP would wait
    if settings.gradient_checkpointing:
        _checkpointing(student, "enable")
    for companion in companions:
        companion.attach(student, context)
    if settings.needs_hidden:  # after those that freeze: hints always train
        teachers = [context.teacher, *(model for model, _, _ in context.teachers)]
        add_hints(student, teachers, settings.hint_layers, settings.heads)
    theirs = [group for companion in companions for group in companion.groups(student, settings.lr)]
    taken = {id(parameter) for group in theirs for parameter in group["params"]}
    ours = [p for p in student.parameters() if p.requires_grad and id(p) not in taken]
    groups = [{"params": ours, "lr": settings.lr}, *theirs]
    return torch.optim.AdamW(groups, settings.lr, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01)


def _checkpointing(model: Any, what: str) -> None:
    """Enable or disable it by the name that this version of transformers knows it by."""
    name = "activation_checkpointing" if hasattr(model, "activation_checkpointing_enable") else "gradient_checkpointing"
    getattr(model, f"{name}_{what}")()


def _steps(run: TrainingRun) -> Iterator[dict[str, float]]:
    """Yield the losses of each optimiser step as it is taken; ``accumulate`` batches make one."""
    settings, speech = run.settings, run.context.train
    budget = int(settings.batch_s * SAMPLE_RATE_HZ)
    first = run.progress.step * settings.accumulate
    model = run.accelerator.unwrap_model(run.student)
    order = batches([u.n_samples for u in speech], budget, settings.seed, first)
    share = run.accelerator.num_processes, run.accelerator.process_index
    while True:
        set_mode(run.student, settings)
        values: dict[str, float] = {}
        for _ in range(settings.accumulate):
            indices = next(order)
            ours = indices[share[1] :: share[0]] or indices[:1]
            batch = collate([speech[i] for i in ours], model, run.context)
            for total, parts in losses_of(run, batch):
                values |= parts
                _check_finite(values, run.progress.step + 1)
                run.accelerator.backward(total / settings.accumulate)
            run.progress.audio_s += sum(speech[i].duration_s for i in indices)
        run.accelerator.clip_grad_norm_(run.student.parameters(), settings.clip)
        for group, highest in zip(run.optimizer.param_groups, run.rates, strict=True):
            group["lr"] = settings.learning_rate(run.progress.step, highest)
        run.optimizer.step()
        run.optimizer.zero_grad()
        run.progress.step += 1
        yield values


def _check_finite(losses: Mapping[str, float], step: int) -> None:
    """Stop a training that has diverged; what it would still learn is nothing.

    Raises:
        TrainingError: says which loss, at which step.
    """
    broken = [name for name, value in losses.items() if not math.isfinite(value)]
    if broken:
        raise TrainingError(
            f"distill: step {step}: the loss {', '.join(broken)} is not finite (NaN or infinity), so the training has "
            "diverged. Lower `lr`, lengthen `warmup`, or give `precision: fp32` or bf16 instead of fp16."
        )


def _is_due(run: TrainingRun) -> bool:
    done = run.progress.step
    return done % run.settings.validate_every < run.settings.log_every or done >= run.settings.steps


def _stalled(run: TrainingRun) -> bool:
    """Whether the validation speech, where there is any, was read no better for longer than there is patience."""
    patience = run.settings.patience_steps
    return (
        patience is not None
        and run.progress.best_wer is not None
        and run.progress.step - run.progress.best_step > patience
    )


def _validate(run: TrainingRun) -> float | None:
    """Return the greedy WER on the validation speech, or None without any."""
    from greenbench.text.wer import score, total

    if not run.context.validation:
        return None
    import torch

    model = run.accelerator.unwrap_model(run.student).eval()
    texts = []
    for utterance in run.context.validation:
        batch = collate([utterance], model, run.context)
        with torch.inference_mode(), ExitStack() as forms:
            for companion in run.companions:
                forms.enter_context(companion.in_use(model))
            tokens = forward(model, batch).logits.argmax(-1)[0].tolist()
        texts.append(run.context.tokenizer.decode(tokens))
    spell = speller(run.context.tokenizer)
    counts = total(score([spell(u.reference).text for u in run.context.validation], texts, str.upper).words)
    return ratio(counts.edits, counts.n)


def _account(run: TrainingRun, part: Cost) -> None:
    """Add what a part of the training cost; of several GPUs only one is read, so that their joules are not known."""
    progress = run.progress
    alone = run.accelerator.num_processes == 1 or run.context.device == "cpu"
    joules = part.energy_j if alone else None
    progress.wall_s += part.wall_s
    progress.energy_j = None if joules is None or progress.energy_j is None else progress.energy_j + joules
    origins = [method for method in (progress.energy_method, part.energy_method) if method is not None]
    # One estimated part makes an estimate, also where the training goes on under another meter.
    progress.energy_method = None if progress.energy_j is None else max(origins, key=METHODS.index, default=None)
