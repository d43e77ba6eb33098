"""The command family: a program in the cell's process tree answers requests, and whatever it does is one row."""

import base64
import io
import json
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from greenbench.datasets.audio import read_audio
from greenbench.errors import InputError, ProgramError
from greenbench.harness import ahead
from greenbench.harness.runner import Options, run
from greenbench.plugins import NamesProgram, Waveform
from greenbench.results import store
from greenbench.suite import config
from greenbench.suite.entries import build_variant
from greenbench.suite.plan import plan
from greenbench.variants import child
from greenbench.variants.command import Command
from greenbench.variants.exchange import Requests, wav

PROGRAM = """
import json, os, resource, signal, sys, time

def say(**content):
    print(json.dumps(content), flush=True)

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

mode = sys.argv[1] if len(sys.argv) > 1 else "plain"
print("loading", mode, file=sys.stderr, flush=True)
held = bytearray(os.urandom(1 << 20)) * 300 if mode == "heavy" else b""
if mode == "mute":
    time.sleep(600)
if mode == "banner":
    print("Welcome!", flush=True)
if mode == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
say(ready=True)
for line in sys.stdin:
    request = json.loads(line)
    number, n = request["id"], len(request.get("wav_paths", request.get("wav_base64")))
    texts = [f"{mode} {os.environ['GREENBENCH_DEVICE']}"] * n
    if mode == "heavy":
        burn(0.2)
    if mode == "crash":
        print("first\\nsecond\\nno \\x1b[2J ears", file=sys.stderr)
        sys.exit(3)
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "silent":
        time.sleep(600)
    if mode == "garbage":
        print("what is this", flush=True)
    if mode == "too-few":
        texts = texts[1:]
    if mode == "numbers":
        texts = [1] * n
    if mode == "echo":
        texts = [json.dumps(request)] * n
    say(id=number, texts=texts, took_s=0)
    if mode == "too-many":
        say(id=number, texts=texts)
if mode in ("deaf", "lingers"):
    time.sleep(600)
"""

SECOND = np.zeros(16000, np.float32)

Load = Callable[..., config.Suite]


@pytest.fixture
def load(tmp_path: Path, suite_data: dict) -> Load:
    """Load a suite beside which ``program.py`` lies, with one variant for each way to call it."""
    (tmp_path / "program.py").write_text(PROGRAM)
    data = {**suite_data, "protocol": {**suite_data["protocol"], "repeats": 1, "window_s": 0}}

    def loaded(*argvs: list[str], **settings: Any) -> config.Suite:
        entries = [{"use": "command", "argv": argv, "name": " ".join(["p", *argv[1:]]), **settings} for argv in argvs]
        (tmp_path / "suite.yaml").write_text(json.dumps({**data, "variants": entries}))
        return config.load(tmp_path / "suite.yaml")

    return loaded


def argv(*mode: str) -> list[str]:
    return [sys.executable, "program.py", *mode]


@pytest.fixture
def model(
    load: Load, monkeypatch: pytest.MonkeyPatch, patience: Callable[[float], float]
) -> Iterator[Callable[..., Any]]:
    """Start the program in one of its modes; it is ended after the test."""
    monkeypatch.setattr(child, "GRACE_S", patience(1))
    begun: list[Any] = []

    def started(mode: str = "plain", **settings: Any) -> Any:
        begun.append(build_variant(load(argv(mode), **settings).variants[0]).load("cpu"))
        return begun[-1]

    yield started
    for one in begun:
        one.child.close()


# --- what is sent ----------------------------------------------------------------------------------------


def test_a_wav_file_has_the_very_samples(tmp_path: Path) -> None:
    """16-bit speech arrives exactly, what lies between is rounded, and what is beyond full scale is clipped."""
    levels = np.arange(-(2**15), 2**15, dtype=np.float32) / 2**15
    (tmp_path / "a.wav").write_bytes(wav(levels))
    assert np.array_equal(read_audio(tmp_path / "a.wav"), levels)
    with wave.open(io.BytesIO(wav(np.array([2.0, -2.0, 0.6 / 2**15], np.float32)))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        assert np.frombuffer(file.readframes(3), "<i2").tolist() == [2**15 - 1, -(2**15), 1]


def test_a_request_is_one_line(model: Callable[..., Any]) -> None:
    """It has a number and, for each utterance of the batch, a path or the content of a WAV file."""
    ramp: Waveform = np.linspace(-1, 0.5, 999, dtype=np.float32)
    first, second = (json.loads(model("echo")([ramp, SECOND])[0]) for _ in range(2))
    assert list(first) == ["id", "wav_paths"]
    assert (first["id"], second["id"], len(first["wav_paths"])) == (1, 1, 2)
    sent = json.loads(model("echo", audio="base64")([ramp, SECOND])[0])
    assert [base64.b64decode(one) for one in sent["wav_base64"]] == [wav(ramp), wav(SECOND)]
    requests = Requests("path")
    paths = [json.loads(requests.request([ramp, SECOND]))["wav_paths"] for _ in range(2)]
    assert paths[0] == paths[1]  # written anew, so that no more than a batch lies there
    assert [Path(path).read_bytes() for path in paths[1]] == [wav(ramp), wav(SECOND)]
    folder = Path(paths[0][0]).parent
    assert folder.exists()
    del requests
    assert not folder.exists()


# --- what comes back -------------------------------------------------------------------------------------


def test_a_program_answers_batches(model: Callable[..., Any]) -> None:
    """It is started once, is told the device, and answers every request; keys of its own are ignored."""
    program = model()
    pid = program.child.process.pid
    assert [program([SECOND] * n) for n in (1, 3, 2)] == [["plain cpu"] * n for n in (1, 3, 2)]
    assert program.child.process.pid == pid


LAST = "; its last lines: loading "

WRONG = {
    "crash": r"ended early with exit code 3; its last lines: first \| second \| no \\u001b\[2J ears$",
    "killed": f"was killed by SIGKILL{LAST}killed$",
    "silent": r"has not answered for 0.1 s \(timeout_s\). Does it flush each line that it prints\?",
    "garbage": 'gave a wrong answer: the model returned "what is this": an answer is {"id": the request\'s, "texts": ',
    "too-few": "gave a wrong answer: the model returned 1 texts for a batch of 2: ",
    "numbers": "gave a wrong answer: the model returned 2 texts for a batch of 2: .*1, 1",
    "too-many": "gave a wrong answer: the model returned an answer to request 1 where 2 was asked",
}


@pytest.mark.parametrize("mode", WRONG)
def test_what_is_no_answer_is_named(mode: str, model: Callable[..., Any]) -> None:
    """A crash, silence, garbage, and more or fewer answers than were asked for: one line, with its last words."""
    program = model(mode)
    if mode == "silent":
        program.child.timeout_s = 0.1  # it has started
    if mode == "too-many":
        assert program([SECOND]) == ["too-many cpu"]
    with pytest.raises(ProgramError, match=f"{Path(sys.executable).name} {WRONG[mode]}") as caught:
        program([SECOND] * 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            [*argv("banner")],
            r'printed "Welcome!" where {"ready": true} is expected, its first line',
        ),
        ([*argv("mute")], r"is not ready for 0.5 s \(timeout_s\)"),
        ([sys.executable, "-c", "import sys; sys.exit('no weights')"], "ended early with exit code 1; .*: no weights$"),
        (["./no-program"], "does not start: No such file or directory"),
    ],
)
def test_a_program_that_does_not_load_is_named(load: Load, command: list[str], told: str) -> None:
    """It ends, prints something else or nothing, or is none."""
    timeout_s = 0.5 if "mute" in command else 60.0
    with pytest.raises(ProgramError, match=told):
        build_variant(load(command, timeout_s=timeout_s).variants[0]).load("cpu")


@pytest.mark.parametrize("mode", ["plain", "lingers", "deaf"])
def test_it_ends_with_its_cell(mode: str, model: Callable[..., Any]) -> None:
    """Its input is closed; one that goes on is terminated, and one that does not hear that is killed."""
    program = model(mode)
    process = psutil.Process(program.child.process.pid)
    program.child.close()
    assert not process.is_running()
    assert program.child.process.returncode == {"plain": 0, "lingers": -15, "deaf": -9}[mode]


# --- before and in a run ---------------------------------------------------------------------------------


def test_what_is_not_there_is_foreseen(load: Load, tmp_path: Path) -> None:
    """A program beside the suite is found from any folder; one that is not there, or not executable, is one line."""
    (tmp_path / "plain.txt").write_text("x")
    suite = load(argv(), ["no-such-program", "1"], ["plain.txt", "2"])
    assert suite.variants[0].settings["argv"] == [sys.executable, str(tmp_path / "program.py")]
    kinds = {one.variant: f"{one.kind}: {one.reason}" for one in ahead.variants(plan(suite))}
    assert kinds == {
        "p 1": "missing: argv: no-such-program: no such program beside the suite or on the PATH. Install it, or "
        "correct `argv`.",
        "p 2": f"missing: argv: {tmp_path / 'plain.txt'} is not executable: `chmod +x` it, or name its interpreter "
        "first, such as [python3, plain.txt].",
    }
    for wrong, told in (({"argv": []}, "argv: a program is expected"), ({"timeout_s": 0}, "timeout_s is above 0")):
        with pytest.raises(InputError, match=f"variants.0: .*{told}"):
            load(argv(), **wrong)


def test_its_identity_is_that_of_its_files(load: Load, tmp_path: Path) -> None:
    """Program, script and weights count by what is in them, and arguments by what they say; where they lie does not."""
    (tmp_path / "weights.bin").write_bytes(b"1")

    def identities(*argvs: list[str]) -> list[tuple[str, ...]]:
        made = [build_variant(entry).identity for entry in load(*argvs).variants]
        assert all(made)
        return [identity() for identity in made if identity]

    ways = (argv(), argv("--model=weights.bin"), argv("--model=other.bin"), argv("weights.bin"), ["no-such", "x"])
    before = identities(*ways)
    assert before[-1] == ()
    assert len(set(before)) == len(ways)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "again.py").write_text(PROGRAM)
    (tmp_path / "weights.bin").write_bytes(b"2")
    assert identities([sys.executable, "elsewhere/again.py"]) == before[:1]
    assert [new == old for new, old in zip(identities(*ways), before, strict=True)] == [True, False, True, False, True]


def test_names_of_programs_are_short() -> None:
    """A variant without a name has that of its script, or else of its program."""
    assert Command(argv=["/opt/bin/whisper-cli", "--server"]).label == "whisper-cli"
    assert Command(argv=["python3", __file__]).label == "test_command.py"
    assert isinstance(Command, NamesProgram)


@pytest.mark.measures
def test_what_a_program_uses_is_in_the_row(load: Load, tmp_path: Path) -> None:
    """Memory and CPU seconds of the child count as the cell's own, and nothing of it is left; a crash is a row."""
    data = load(argv("heavy"), argv("crash"), argv("plain"))
    run(data, Options(out=tmp_path / "run"))
    rows = {row["variant"].rpartition(" ")[2]: row for row in store.read_rows(tmp_path / "run" / store.RECORDS)}
    heavy, plain = rows["heavy"], rows["plain"]
    assert (heavy["status"], plain["status"], heavy["n_processes_left"]) == ("ok", "ok", None)
    assert heavy["peak_rss_bytes"] - plain["peak_rss_bytes"] > 250 * 2**20
    assert heavy["cpu_s"] > 0.15 * heavy["n_passes"]
    assert heavy["identity"].startswith("command:")
    assert rows["crash"]["reason"].endswith(r"exit code 3; its last lines: first | second | no \u001b[2J ears")
    (log,) = (tmp_path / "run" / "logs").iterdir()
    assert "loading crash" in log.read_text()
