"""Every kind of file but a run's with any damage: suites, recipes, manifests, logs, boards, caches, entries."""

import gzip
import json
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings

from greenbench import cache
from greenbench.compress.distill import progress
from greenbench.datasets.commonvoice import CommonVoice
from greenbench.datasets.kaldi import Kaldi
from greenbench.datasets.lhotse import Lhotse
from greenbench.datasets.manifest import Manifest
from greenbench.datasets.table import Table
from greenbench.errors import GreenbenchError
from greenbench.files import lock, readback
from greenbench.hardware import roofline
from greenbench.harness import kept_peaks
from greenbench.leaderboard import history
from greenbench.leaderboard.documents import FORMAT
from greenbench.plugins import traces
from greenbench.power import log
from greenbench.recipes import recipe
from greenbench.sharing.entry import MANIFEST
from greenbench.sharing.submission import check
from greenbench.suite import config
from greenbench.suite.descent import origin
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.validate import verification

from .mutate import Mutation, mutations, restore, write

SUITE = b"""\
name: tiny
description: what a suite may have
protocol: {use: quick, repeats: 2, rounds: 2, window_s: 0.2, idle_s: 0}
datasets:
- use: quickstart
  name: said
  limit: 4
- &other {use: quickstart, name: parts, length_buckets: 4, length_bucket: 1, on_bad_audio: skip}
variants:
- null/rtfx-100
- use: wav2vec2/base-960h
  builds: [int8-dynamic, {use: layer-drop, keep: 4}]
- {use: null, rtfx: 200, name: student, teacher: null/rtfx-100}
devices: [cpu, cuda:0]
scenarios: [offline, server]
server: {rate_hz: 2.5, percentile: 90}
batch_sizes: [1, 8]
threads: 2
normalizer: whisper-english
also_score: [librispeech]
estimate_energy: true
meters: {codecarbon: {tdp_w: 65}}
carbon: {g_per_kwh: 56, source: RTE, year: 2023}
trace_hz: 10
control: false
timeout_s: 600
"""
RECIPE = b"""\
name: tiny
teacher: wav2vec2/quickstart
student: {use: wav2vec2, config: base, weights: random}
train:
- use: quickstart
  part: unlabelled
validation_share: 0.1
steps:
- use: layer-drop
  keep: 2
- use: distill
  steps: 100
  lr: 0.0005
  losses: {kl: 1.0}
device: cpu
estimate_energy: true
"""
LINEAGE = json.dumps({
    "name": "student", "description": "one line", "parent": "wav2vec2/quickstart", "ancestors": [["sha256:ab", "fp16"]],
    "steps": [{"use": "layer-drop", "settings": {"keep": 2}, "training": []},
              {"use": "distill", "settings": {"lr": 1e-3}, "training": [
                  {"step": 3, "wall_s": 2.0, "audio_s": 9.0, "energy_j": 7.5, "energy_method": "estimated"}]}],
    "data": {"n_utterances": 7}, "training_s": 2.0, "training_energy_j": 7.5, "training_energy_method": "estimated",
    "made_utc": "2026-11-27T00:00:00+00:00", "versions": {"greenbench": "0.1.0"}, "recipe_hash": "ab",
}).encode()  # fmt: skip
UTTERANCES = "".join(
    json.dumps({"audio_filepath": f"a/{n}.wav", "text": f"TEXT {n}", "speaker": n, "offset": 0.5, "duration": n}) + "\n"
    for n in range(1, 9)
).encode()
TABLE = (
    b"audio_filepath,text,speaker,offset,duration,accent\n"
    + "".join(f'a/{n}.wav,"TEXT, ""{n}""",{n},0.5,{n},scottish\n' for n in range(1, 9)).encode()
)
SPLIT = (
    b"client_id\tpath\tsentence\tage\tgender\taccents\n"
    + "".join(f'{n}\tcommon_voice_en_{n}.mp3\t"Text" {n}\ttwenties\tfemale\t\n' for n in range(1, 9)).encode()
)
SCP = "".join(f"r{n} audio/{n}.wav\n" for n in range(1, 9)).encode()
SEGMENTS = "".join(f"u{n} r{n} 0.5 {n}.25\n" for n in range(1, 9)).encode()
CUTS = "".join(
    json.dumps({
        "id": f"c{n}", "start": 0.5, "duration": 1.5, "channel": 0,
        "supervisions": [{"id": f"s{n}", "recording_id": "r", "start": 0.0, "duration": 1.5, "channel": 0,
                          "text": f"TEXT {n}", "speaker": "p", "custom": {"accent": "scottish"}}],
        "recording": {"id": "r", "sources": [{"type": "file", "channels": [0, 1], "source": "a.wav"}],
                      "sampling_rate": 16000, "num_samples": 48000, "duration": 3.0, "channel_ids": [0, 1]},
        "type": "MonoCut",
    }) + "\n"
    for n in range(1, 9)
).encode()  # fmt: skip
POWER = "".join(f"2026-11-27T00:00:0{n}+00:00,{n}.5,plug\n" for n in range(9)).encode()
CSV = b"timestamp,watts,sensor\n" + POWER
LOG = "".join(log.line(1.8e9 + n, n + 0.5) for n in range(9)).encode()
SAMPLES = b"".join(
    json.dumps(line).encode() + b"\n"
    for line in (
        {"header": {"t_s": 1.0, "utc_s": 1.8e9, "period_s": 0.1, "pid": 7, "meters": ["rapl"]}},
        *({"t_s": 1 + n / 10, "t_end_s": 1.01 + n / 10, "rapl.package-0.energy_uj": 7 * n} for n in range(9)),
    )
)
PROGRESS = json.dumps(asdict(progress.TrainingState(7, 30.5, 12.0, 99.0, "counter", 0.5, 5))).encode()
ABOUT = {"build": "a build", "settings": "none"}
CELL = verification.VerifiedCell("v", "d", "cpu", "offline", 1, 9, 9, None, None, 1.1, 0.9, 1.0, 1.2, ("a note",))
RECORD = verification.as_json(
    verification.Verification(
        "ab", "entry.zip", "somebody", "2026-01-02T03:04:05+00:00", "0.1.0", "a board", "ab", True, (CELL,)
    )
).encode()
PLACES = [{"label": f"v{n}", "rank": n, "value": n / 10, "grade": "A"} for n in (1, 2)]
BOARD = {
    "id": "b", "label": "a board", "platform": "p", "setting": {},
    "rankings": [{"key": "wer", "metric": "wer", "scope": None, "kind": None, "places": PLACES}],
    "apart": [{"label": "v3", "not_ranked_by": ["wer"], "reason": "few words"}],
}  # fmt: skip
NEWS = {"published_utc": "2026-01-02T03:04:05+00:00", "changes": [{"board": "a board", "what": "v1 enters"}]}
BOARDS: dict[str, Any] = {
    "format": FORMAT, "title": "boards", "boards": [BOARD], "platforms": [{"id": "p", "name": "a machine"}],
    "published_utc": "2026-01-02T03:04:05+00:00", "history": [NEWS],
}  # fmt: skip


def student(folder: Path) -> None:
    entry = VariantEntry(use="wav2vec2", name="student", model=str(folder))
    made = build_variant(entry)
    origin(entry, made, [entry])
    (made.name, made.parent, made.steps, made.info, list(made.ancestors()))


def split(path: Path) -> None:
    """Read the table of a split of Common Voice."""
    (path.parent / "clips").mkdir(exist_ok=True)
    list(CommonVoice(path.parent, slice_by=("age",))())


def data_folder(path: Path) -> None:
    """Read a data folder of Kaldi, one of whose files is damaged."""
    files = {"wav.scp": SCP, "segments": SEGMENTS, "text": b"".join(b"u%d TEXT\n" % n for n in range(1, 9))}
    for name in files.keys() - {path.name}:
        (path.parent / name).write_bytes(files[name])
    list(Kaldi(path.parent)())


def publish(path: Path) -> None:
    """Hold the next publication against a previous one."""
    after = {name: BOARDS[name] for name in ("format", "title", "boards", "platforms")}
    history.feed(history.dated(after, history.previous(path), "2026-02-02T03:04:05+00:00"))


def sample(path: Path) -> None:
    """Read samples as a run does while they are written."""
    trace = traces.Trace(path)
    trace.samples(1.2, 1.5), trace.lost_s([(1.2, 1.5)]), trace.present_pid()


DOORS: dict[str, tuple[str, bytes, Callable[[Path], Any]]] = {
    "suite": ("suite.yaml", SUITE, config.load),
    "recipe": ("recipe.yaml", RECIPE, recipe.load),
    "lineage": ("greenbench.json", LINEAGE, lambda path: student(path.parent)),
    "manifest": ("speech.jsonl", UTTERANCES, lambda path: list(Manifest(path)())),
    "table": ("speech.csv", TABLE, lambda path: list(Table(path, slice_by=("accent",))())),
    "split of common voice": ("test.tsv", SPLIT, split),
    "recordings of kaldi": ("wav.scp", SCP, data_folder),
    "segments of kaldi": ("segments", SEGMENTS, data_folder),
    "cuts": ("cuts.jsonl", CUTS, lambda path: list(Lhotse(path, slice_by=("accent",))())),
    "packed cuts": ("cuts.jsonl.gz", gzip.compress(CUTS, mtime=0), lambda path: list(Lhotse(path)())),
    "power log": ("power.csv", CSV, lambda path: log.read(log.Source(path)).energy_j([(1.0, 2.0)])),
    "power log in JSON": ("log.jsonl", LOG, lambda path: log.read(log.Source(path)).energy_j([(1.0, 2.0)])),
    "samples": ("power.jsonl", SAMPLES, sample),
    "publication": ("leaderboard.json", json.dumps(BOARDS).encode(), publish),
    "verification": ("verified.json", RECORD, lambda path: verification.records([path]) and verification.read(path)),
    "checkpoint": ("state.json", PROGRESS, lambda path: progress.progress(path.parent)),
    "peaks": (
        kept_peaks.FILE,
        json.dumps(asdict(roofline.Peaks({"fp32": 1e11}, 2e10, 2, engines={"fp32": "torch"}))).encode(),
        lambda path: roofline.read(readback.read_object(path)),
    ),
    "lock": (
        lock.WRITER,
        json.dumps({"command": "greenbench run", "pid": 7, "host": "h", "since_utc": "2026-11-27T00:00:00"}).encode(),
        lambda path: lock._writer(path.parent),
    ),
    "cache": (
        "about.json",
        json.dumps({"about": ABOUT, "files": {}}).encode(),
        lambda path: cache.fault(path.parent, ABOUT),
    ),
}
"""Kind of file -> its name, a sound one, and what reads it."""


@pytest.mark.parametrize("door", DOORS)
def test_a_sound_file_is_read(door: str, tmp_path: Path) -> None:
    """What the mutations start from is not refused."""
    name, sound, read = DOORS[door]
    (tmp_path / name).write_bytes(sound)
    read(tmp_path / name)


@pytest.mark.parametrize("door", DOORS)
@settings(settings.get_profile("fuzz"))
@given(mutation=mutations())
@example(mutation=Mutation(0.0, "shape", 0.0, 2, 0.0))  # a pipe is not waited for
@example(mutation=Mutation(0.0, "shape", 0.0, 4, 0.0))  # a link to itself
@example(mutation=Mutation(0.0, "shape", 0.0, 1, 0.0))  # a folder
@example(mutation=Mutation(0.588, "insert", 0.731, 8010, 0.512))  # a carriage return in a field of CSV
@example(mutation=Mutation(0.094, "value", 0.747, 5238, 0.048))  # a text tagged as a mapping
def test_any_damage_is_one_line(door: str, mutation: Mutation, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A damaged file is read, or refused in our words; nothing else is raised."""
    name, sound, read = DOORS[door]
    folder = tmp_path_factory.getbasetemp() / door.replace(" ", "-")
    folder.mkdir(exist_ok=True)
    write(folder / name, mutation(sound), mutation.n)
    with suppress(GreenbenchError):
        read(folder / name)
    restore(folder / name, sound)


class Entry(bytes):
    """An entry's bytes, which no failing example prints."""

    def __repr__(self) -> str:
        return f"Entry of {len(self)} bytes"


@pytest.fixture(scope="module")
def entry(sound: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> "Entry":
    import hashlib

    path = tmp_path_factory.mktemp("entry") / "entry.zip"
    run_id = json.loads(sound["run.json"])["run_id"]
    files = {f"{run_id}/{name}": content for name, content in sound.items()}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = {"format": "greenbench-submission/1", "digest": "", "files": hashes}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {MANIFEST: json.dumps(manifest).encode(), **files}.items():
            archive.writestr(name, content)
    return Entry(path.read_bytes())


@settings(settings.get_profile("fuzz"))
@given(mutation=mutations())
def test_any_damaged_entry_is_judged(
    mutation: Mutation, entry: "Entry", tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A board's check answers with problems, and raises nothing, whatever the bytes are."""
    folder = tmp_path_factory.getbasetemp() / "unpacked"
    folder.mkdir(exist_ok=True)
    path = folder / "entry.zip"
    write(path, mutation(entry), mutation.n)
    found = check(path, folder / "runs")
    assert not any("cannot be judged" in problem.what for problem in found), found
    restore(path, entry)
    shutil.rmtree(folder / "runs", ignore_errors=True)
