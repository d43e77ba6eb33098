"""A student is made by a recipe: the steps are taken, and the folder that holds it appears once it is whole."""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from greenbench import extras, meters
from greenbench.compress import take
from greenbench.compress.stored import write
from greenbench.errors import InputError, MissingError
from greenbench.files import lock, whole
from greenbench.hardware import devices, exclusive
from greenbench.hardware.environment import accelerator
from greenbench.meters import energy
from greenbench.models import lineage
from greenbench.models.lineage import Lineage, Speech
from greenbench.plugins import LINEAGE, Context, NeedsExtra, Utterance
from greenbench.plugins.events import Observer, Phase, StudentFound, unobserved
from greenbench.recipes import origin, speech
from greenbench.recipes.pseudo_labels import PseudoLabels, relabelled
from greenbench.recipes.recipe import Recipe, check, family_of, hash_of, models, steps_of
from greenbench.suite.entries import VariantEntry, build_variant

TRAINING, BEGUN = "training", "recipe.json"
"""Within a student's folder: where its trainings are kept, and there the recipe's hash while it is made."""

_STUDENT = ("config.json", "model.safetensors")


def make_student(
    recipe: Recipe, out: Path, observe: Observer = unobserved, wait: bool = False, exclusively: bool = True
) -> Path:
    """Make the student; a training that was broken off goes on from its last checkpoint, a finished student stays.

    Args:
        recipe: from ``load``.
        out: the student's folder, which becomes one in a single step at the end. Until then checkpoints and logs of its
            trainings are in ``out/training``, with a note of the recipe that they are of.
        observe: receives ``StudentFound`` where the student is there already, else ``StepStarted`` before each step,
            ``Phase`` or ``Preparing`` for what takes long or goes on, and ``TrainingLogged`` for each row of a log.
        wait: until nobody else measures on this machine, rather than to refuse.
        exclusively: keep others on this machine from measuring meanwhile, where energy is measured.

    Returns:
        ``out``: a folder that transformers loads (``config.json``, ``model.safetensors``, tokeniser, feature
        extractor), and ``greenbench.json`` with its lineage.

    Raises:
        InputError: the folder holds something else, such as a student of another recipe; or a step cannot be taken.
        BusyError: another process makes it, or measures on this machine.
        MissingError: device, teacher, speech or a package is not here.
    """
    if _is_made(recipe, out):
        observe(StudentFound(out))
        return out
    extras.need(*_extras(recipe))
    device = accelerator() if recipe.device == "auto" else recipe.device
    if reason := devices.unusable(device):
        raise MissingError(f"device {device}: {reason}. Give another `device`, or auto.")
    for role, entry in models(recipe).items():
        build_variant(entry).check()
        _fetch(role, entry, observe)
    check(recipe)  # what has been fetched is known now
    with ExitStack() as locks:
        if leads() and exclusively and _measures_energy(recipe):
            locks.enter_context(exclusive.measuring(wait, observe))
        if leads():
            locks.enter_context(lock.writing(out / TRAINING))
        _make(recipe, out, device, observe)
    return out


def _measures_energy(recipe: Recipe) -> bool:
    """Say whether a meter here reads the joules of a training."""
    return any(map(energy.reads_joules, meters.select(recipe.estimate_energy)))


def _extras(recipe: Recipe) -> list[str]:
    """Return the extras without which the student cannot be made."""
    of_steps = [step.extra for _, step in steps_of(recipe) if isinstance(step, NeedsExtra)]
    return ["torch", *of_steps, *(["codecarbon"] if recipe.estimate_energy else [])]


def _make(recipe: Recipe, out: Path, device: str, observe: Observer) -> None:
    (out / TRAINING).mkdir(parents=True, exist_ok=True)
    if leads():
        whole.write(out / TRAINING / BEGUN, json.dumps({"recipe_hash": hash_of(recipe)}) + "\n")
    teacher, extractor, tokenizer = family_of("teacher", recipe.teacher).open()
    model = family_of("student", recipe.student).open()[0] if recipe.student else deepcopy(teacher)
    before = origin.sizes(model)
    train, held_out, data = speech.split(recipe.train, recipe.validation_share)
    context = Context(
        teacher=teacher,
        teachers=[family_of(role, entry).open() for role, entry in models(recipe).items() if "." in role],
        extractor=extractor,
        tokenizer=tokenizer,
        train=train,
        folder=out / TRAINING,
        device=device,
        estimate_energy=recipe.estimate_energy,
        observe=observe if leads() else unobserved,
    )
    context = replace(context, validation=_with_references(held_out, context))
    if recipe.pseudo_labels:
        context, data = _with_pseudo_labels(recipe.pseudo_labels, context, data)
    model, reports = take(model, steps_of(recipe), context)
    if leads():
        made = origin.lineage(recipe, reports, data, origin.edits(before, origin.sizes(model)))
        _save(model, (extractor, tokenizer), made, out)


def _with_pseudo_labels(how: PseudoLabels, context: Context, data: Speech) -> tuple[Context, Speech]:
    """Let the teacher's texts be the transcripts, and have the lineage say so."""
    kept, labelling = relabelled(context.train, how, context)
    seconds = sum(utterance.duration_s for utterance in kept)
    return replace(context, train=kept), replace(data, n_utterances=len(kept), audio_s=seconds, pseudo_labels=labelling)


def _save(model: Any, processors: Sequence[Any], made: Lineage, out: Path) -> None:
    """Write the student's folder aside, and move it into its place once it is whole."""
    with whole.folder(out, keep=True) as aside:
        write(model, processors, aside)
        lineage.write(aside, made)


def _fetch(role: str, entry: VariantEntry, observe: Observer) -> None:
    """Fetch a model that is not here, and say so."""
    if leads() and (what := build_variant(entry).to_fetch()):
        observe(Phase(f"fetching the {role}: {what}"))
    family_of(role, entry).prepare()


def progress(out: Path) -> str:
    """Say what a recipe that was interrupted has kept, and how it goes on."""
    from greenbench.compress.distill.progress import kept

    found = [(path.name, last) for path in sorted(out.glob(f"{TRAINING}/*/")) if (last := kept(path))]
    if not found:
        return "no checkpoint was reached yet; the same command begins anew"
    name, last = found[-1]
    return (
        f"kept: {name} up to step {int(last.name.rpartition('-')[2])}, in {last}. The same command goes on from there"
    )


def leads() -> bool:
    """Whether this is the process that writes and speaks, of several that ``accelerate launch`` started."""
    return os.environ.get("RANK", "0") == "0"


def _is_made(recipe: Recipe, out: Path) -> bool:
    """Whether the folder holds the student of this recipe; False where it was begun, or nothing is there.

    Raises:
        InputError: it holds something else.
    """
    if not out.exists():
        return False
    if not out.is_dir():
        raise InputError(f"--out {out}: is a file. Choose a folder.")
    begun = [file for file in (out / LINEAGE, out / TRAINING / BEGUN) if file.exists()]
    if any(_recipe_hash(out, file) != hash_of(recipe) for file in begun):
        raise InputError(
            f"--out {out}: another recipe, or an earlier version of this one, was begun here. Choose another folder."
        )
    if out / LINEAGE in begun and all((out / name).exists() for name in _STUDENT):
        return True
    if not begun and any(path.name != TRAINING for path in out.iterdir()):
        raise InputError(f"--out {out}: there is something else in this folder. Choose another.")
    return False


def _recipe_hash(out: Path, file: Path) -> str:
    """Return the digest of the recipe by which a file in a student's folder was written.

    Raises:
        InputError: no recipe wrote it.
    """
    try:
        begun = lineage.read_file(file).recipe_hash  # the file of what is begun has nothing else
    except InputError as error:
        raise InputError(f"--out {out}: {file.name} was not written by a recipe. Choose another folder.") from error
    if begun is None:
        raise InputError(f"--out {out}: {file.name} was not written by a recipe. Choose another folder.")
    return begun


def _with_references(spoken: Sequence[Utterance], context: Context) -> list[Utterance]:
    """Let the teacher transcribe what has no transcript."""
    from greenbench.models.ctc import CtcTranscriber

    teacher = CtcTranscriber(context.teacher.eval(), context.extractor, context.tokenizer, "cpu")
    return [u if u.reference else replace(u, reference=teacher([u.audio])[0]) for u in spoken]
