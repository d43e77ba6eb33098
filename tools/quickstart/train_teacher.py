"""Train the quick-start teacher with CTC, from scratch or from given weights, stage by stage (see README.md)."""

import argparse
import csv
import logging
import math
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import jiwer
import numpy as np
import speech_data
import teacher_model
import torch
import torch.distributed as dist
from speech_data import Mix, Utterance
from torch.nn.functional import ctc_loss
from transformers import Wav2Vec2ForCTC, Wav2Vec2Processor
from transformers.utils import logging as transformers_logging

from greenbench.files import whole
from greenbench.hardware import arithmetic

COLUMNS = [
    "stage",
    "step",
    "audio_h",
    "cpu_h",
    "lr",
    "loss",
    "grad_norm",
    "wer_sentence",
    "wer_code",
    "wer_an4",
    "wer_unseen",
]

OWN_SOURCES = {"robot": "train-robots", "unseen": "valid-unseen"}
"""Source -> how the lists begin whose utterances are of it, whatever is said."""


def transcribe(model: Wav2Vec2ForCTC, processor: Wav2Vec2Processor, audio: np.ndarray) -> str:
    """Decode one normalised waveform greedily."""
    with torch.inference_mode():
        logits = model(torch.from_numpy(audio)[None]).logits
    return processor.batch_decode(logits.argmax(-1))[0]


def validate(model: Wav2Vec2ForCTC, processor: Wav2Vec2Processor, valid: list[Utterance]) -> dict[str, float]:
    """Return the corpus word error rate of each source."""
    model.eval()
    rates = {}
    for source in ("sentence", "code", "an4", "unseen"):
        spoken = [u for u in valid if u.source == source]
        if spoken:
            heard = [transcribe(model, processor, speech_data.normalise(u.read())) for u in spoken]
            rates[f"wer_{source}"] = round(jiwer.wer([u.text for u in spoken], heard), 4)
    model.train()
    return rates


def learning_rate(step: int, share: float, args: argparse.Namespace) -> float:
    """Warm up linearly, stay, then fall linearly over the last `decay` of the stage, of which a share is done."""
    return args.lr * min(1.0, (step + 1) / args.warmup, max(0.02, (1 - share) / max(1e-9, args.decay)))


def share_done(step: int, trained_s: float, args: argparse.Namespace) -> float:
    """Return how much of a stage is done, of its steps or of its time, in which all processes agree."""
    share = torch.tensor(max(step / args.steps, trained_s / 60 / args.minutes))
    dist.broadcast(share, 0)
    return share.item()


def loss_of(model: Wav2Vec2ForCTC, processor: Wav2Vec2Processor, batch: tuple) -> torch.Tensor:
    """Return the CTC loss per character of a batch, computed in bfloat16 up to the logits where the CPU has it."""
    audio, lengths, texts = batch
    with torch.autocast("cpu", torch.bfloat16, enabled=arithmetic.emulated("bf16") is None):
        logits = model(audio).logits
    log_probs = logits.float().log_softmax(-1).transpose(0, 1)
    targets = [torch.tensor(processor.tokenizer(text).input_ids) for text in texts]
    target_lengths = torch.tensor([len(target) for target in targets])
    frames = model._get_feat_extract_output_lengths(lengths)
    return ctc_loss(log_probs, torch.cat(targets), frames, target_lengths, zero_infinity=True)


def average_gradients(model: Wav2Vec2ForCTC) -> None:
    """Replace every gradient by its mean over the processes."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def update(
    model: Wav2Vec2ForCTC, optimizer: torch.optim.Optimizer, loss: torch.Tensor, lr: float
) -> tuple[float, float]:
    """Take one clipped step; return the loss and the gradient's norm."""
    optimizer.zero_grad()
    loss.backward()
    average_gradients(model)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for group in optimizer.param_groups:
        group["lr"] = lr
    if torch.isfinite(norm):
        optimizer.step()
    return loss.item(), norm.item()


def parts_of(scratch: Path, use: str) -> Iterator[list[Utterance]]:
    """Yield the utterances of each part; robots to train on, and unseen voices, are sources of their own."""
    for path in sorted(scratch.glob(f"{use}-*.jsonl")):
        part = speech_data.load_part(path)
        own = next((name for name, start in OWN_SOURCES.items() if path.name.startswith(start)), None)
        yield [replace(utterance, source=own) for utterance in part] if own else part


def load_corpus(args: argparse.Namespace) -> tuple[list[Utterance], list[Utterance]]:
    """Return (training, validation) utterances: synthetic, and AN4 where its folder is given."""
    train, valid = ([u for part in parts_of(args.scratch, use) for u in part] for use in ("train", "valid"))
    if args.an4:
        an4_train, an4_valid = speech_data.load_an4(args.an4)
        train, valid = train + an4_train, valid + an4_valid
    return train, valid


def open_stage(args: argparse.Namespace) -> tuple[Wav2Vec2ForCTC, torch.optim.Optimizer, int, float]:
    """Return model, optimizer, first step and seconds trained: resumed, started from given weights, or new."""
    checkpoint = args.out / "checkpoint.pt"
    state = torch.load(checkpoint) if checkpoint.exists() else None
    source = args.out / "model" if state else args.init
    masking = {"apply_spec_augment": args.spec_augment > 0, "mask_time_prob": args.spec_augment}
    if source:
        model = Wav2Vec2ForCTC.from_pretrained(source, dtype=torch.float32, **masking)
    else:
        model = teacher_model.new_teacher(args.layers, **masking)
    if args.layers > model.config.num_hidden_layers:
        model = teacher_model.grow(model, args.layers)
    model.set_attn_implementation("eager")  # on a CPU its backward pass is the faster one
    model.wav2vec2.feature_extractor.conv_layers[0].conv.requires_grad_(False)  # stays a filter bank
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, args.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    if state:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    return model.train(), optimizer, *((state["step"], state["trained_s"]) if state else (0, 0.0))


def keep(model: Wav2Vec2ForCTC, optimizer: torch.optim.Optimizer, step: int, trained_s: float, out: Path) -> None:
    """Write the checkpoint to resume from and the model to load."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "trained_s": trained_s}
    with whole.file(out / "checkpoint.pt") as aside:
        torch.save(state, aside)
    teacher_model.write_folder(model, out / "model")


def write_log(path: Path, row: dict[str, object]) -> None:
    """Append one row to the training log."""
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(row, flush=True)


def train(args: argparse.Namespace, corpus: tuple[list[Utterance], list[Utterance]]) -> None:
    """Run one stage to its last step, or as long as it may take, logging and keeping as it goes."""
    model, optimizer, step, trained_s = open_stage(args)
    processor = Wav2Vec2Processor.from_pretrained(args.out / "model")
    stream = stream_of(args, corpus[0], step)
    started_s, share = time.monotonic() - trained_s, share_done(step, trained_s, args)
    losses, audio_s, cpu_s = [], 0.0, time.process_time()
    while share < 1:
        batch = next(stream)
        lr = learning_rate(step, share, args)
        loss, norm = update(model, optimizer, loss_of(model, processor, batch), lr)
        losses.append(loss)
        audio_s += dist.get_world_size() * float(batch[1].sum()) / speech_data.SAMPLE_RATE
        step, trained_s = step + 1, time.monotonic() - started_s
        share = share_done(step, trained_s, args)
        if dist.get_rank() > 0 or (step % args.log_every and share < 1):
            continue
        row = {"stage": args.out.name, "step": step, "audio_h": round(audio_s / 3600, 4), "lr": f"{lr:.2e}"}
        row |= {"loss": round(float(np.mean(losses)), 4), "grad_norm": round(norm, 3)}
        row |= {"cpu_h": round(dist.get_world_size() * (time.process_time() - cpu_s) / 3600, 4)}
        if step % args.keep_every == 0 or share >= 1:
            row |= validate(model, processor, corpus[1])
            keep(model, optimizer, step, trained_s, args.out)
        write_log(args.out / "log.csv", row)
        losses, audio_s, cpu_s = [], 0.0, time.process_time()


def stream_of(args: argparse.Namespace, utterances: list[Utterance], first: int) -> Iterator[tuple]:
    """Return the endless batches of this stage."""
    shares = {"code": args.codes, "an4": args.human, "robot": args.robots}
    shares["sentence"] = 1 - sum(shares.values())
    mix = Mix({k: v for k, v in shares.items() if v > 0}, args.max_s, args.strength, args.warp, args.batch_s)
    return speech_data.batches(utterances, mix, np.random.default_rng([args.seed, first, dist.get_rank()]))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the stage; an interrupted stage resumes")
    parser.add_argument("--scratch", type=Path, default=Path("build/quickstart"), help="training speech")
    parser.add_argument("--an4", type=Path, help="folder of AN4 with train.jsonl")
    parser.add_argument("--init", type=Path, help="model folder to start from")
    parser.add_argument("--layers", type=int, default=12, help="depth; --init grows to it")
    parser.add_argument("--steps", type=float, default=math.inf, help="at most so many")
    parser.add_argument("--minutes", type=float, default=math.inf, help="and at most so long, interruptions apart")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=200)
    parser.add_argument("--decay", type=float, default=0.0, help="share of the steps the rate falls over")
    parser.add_argument("--codes", type=float, default=0.0, help="share of letters, digits and dates")
    parser.add_argument("--human", type=float, default=0.0, help="share of AN4")
    parser.add_argument("--robots", type=float, default=0.0, help="share of the part train-robots")
    parser.add_argument("--max-s", type=float, default=8.0, help="longest utterance")
    parser.add_argument("--batch-s", type=float, default=60.0, help="seconds of audio a batch and process")
    parser.add_argument("--strength", type=float, default=0.0, help="augmentation, 0 to 1")
    parser.add_argument("--warp", type=float, default=0.0, help="largest change of vocal-tract length")
    parser.add_argument("--spec-augment", type=float, default=0.0, help="share of frames masked")
    parser.add_argument("--log-every", type=int, default=25)
    parser.add_argument("--keep-every", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="one thread each")
    args = parser.parse_args()
    if args.steps == args.minutes == math.inf:
        parser.error("say how long it trains: --steps or --minutes")
    return args


def work(rank: int, args: argparse.Namespace, meeting_point: str) -> None:
    """Train one stage as one of several processes that share every step."""
    logging.captureWarnings(True)
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    dist.init_process_group("gloo", f"file://{meeting_point}", timedelta(days=1), world_size=args.processes, rank=rank)
    train(args, load_corpus(args))


def main() -> None:
    """Train one stage."""
    args = arguments()
    teacher_model.processor(args.out / "model")  # once, before the processes read it
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(work, (args, f"{folder}/meet"), args.processes)


if __name__ == "__main__":
    main()
