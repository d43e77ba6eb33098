"""Privacy: what is shared names no person, host or place, and the rest of a result stays as it was."""

import getpass
import json
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench import identifiers
from greenbench.hardware import environment
from greenbench.results import store
from greenbench.sharing import privacy
from greenbench.suite import plan


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("/home/jane/data/LibriSpeech", "LibriSpeech"),
        ("/home/Jane Doe/my suite.yaml", "my suite.yaml"),
        ("C:\\Users\\Jane\\mine.yaml", "mine.yaml"),
        ("~/models/mine", "mine"),
        ("../jane/models/mine", "mine"),
        ("file:/home/jane/models/mine+int8-dynamic", "file:mine+int8-dynamic"),
        ("cannot read /home/jane/x.wav: no such file", "cannot read x.wav: no such file"),
        ("/home/jane/x.jsonl:7: not JSON", "x.jsonl:7: not JSON"),
        ("FileNotFoundError: '/home/Jane Doe/x y.wav'", "FileNotFoundError: 'x y.wav'"),
        ("no answer from http://192.168.1.20/rpc/Switch", "no answer from http://<address>/rpc/Switch"),
        ("no answer from http://plug.local/rpc", "no answer from http://<host>/rpc"),
        ("in </home/jane/x>", "in <x>"),
        ("ask jane.doe@example.org", "ask <mail>"),
    ],
)
def test_paths_addresses_and_mails_are_cut(text: str, shared: str) -> None:
    """Only the last part of a path is kept, and nothing of an address."""
    assert privacy.text(text) == shared


@pytest.mark.parametrize(
    "text",
    [
        "wav2vec2/quickstart+int8-dynamic", "file:models/quickstart-6l", "suites/quickstart.yaml", "quickstart[:90]",
        "whisper-english@whisper-normalizer-0.1.15", "words@jiwer-4.0.0", "J / audio s", "1/s and W/m",
        "no RAPL package counter under /sys/class/powercap", "https://huggingface.co/facebook/wav2vec2-base-960h",
        "openvino 2026.4.1", "580.126.20", "cpu+dram", "<b>bold</b>",
    ],
)  # fmt: skip
def test_names_of_things_stay(text: str) -> None:
    """Variants, versions, relative paths, public addresses and the kernel's files name nobody."""
    assert privacy.text(text) == text


IDENTIFYING = {
    "fe80::1ff:fe23:4567:890a%eth0": "<address>",
    "its address is 2001:db8::8a2e:370:7334.": "its address is <address>.",
    "[2a00:1450:4001:0:0:0:0:200e]:8080": "[<address>]:8080",
    "fd12:3456:789a::1/64": "<address>/64",
    "IPv6:fe80::1, IPv4:10.0.0.7.": "IPv6:<address>, IPv4:<address>.",
    "ether 00:1A:2b:3c:4D:5e": "ether <mac>",
    "mac:00-1a-2b-3c-4d-5e": "mac:<mac>",
    "001a.2b3c.4d5e": "<mac>",
    "MAC address 001A2B3C4D5E": "MAC address <mac>",
    "serial number 5CG1234XYZ": "serial number <serial>",
    "S/N: PF2ABCDE, service tag 7XK2M33": "S/N: <serial>, service tag <serial>",
    "serial C02XK1ABJG5H": "serial <serial>",
    "GPU-6f1f6b7c-1a2b-3c4d-5e6f-001122334455": "<serial>",
    "instance i-0abcdef1234567890": "instance <serial>",
    "hf_abcdefghijklmnopqrstuvwxyzABCDEF": "<token>",
    "HF_TOKEN=hf_abcdefghijklmnopqrstuvwxyzABCDEF": "HF_TOKEN=<token>",
    "ghp_0123456789abcdefghij0123456789abcdef": "<token>",
    "AKIAIOSFODNN7EXAMPLE": "<token>",
    "the password is hunter2": "the password is <token>",
    "api_key='a8f5f167f44f4964e6c998dee827110c'": "api_key='<token>'",
    "Authorization: Bearer abcdef0123456789": "Authorization: Bearer <token>",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk": "<token>",
    "https://jane:pw@build.acme.com/x": "https://<token>@<host>/x",
    "measured on gpu-17.speech.acme.com": "measured on <host>",
    "on dgx01.acme-corp.internal.": "on <host>.",
    "https://wiki.acme.com/asr/1": "https://<host>/asr/1",
    "http://gpu07:8080/x": "http://<host>:8080/x",
    "hostname: vault, node gpu07": "hostname: <host>, node <host>",
    "from \\\\nas01\\projects\\jane\\x.wav": "from x.wav",
    "\\\\nas01\\audio": "<path>",
    "smb://nas01/share/x": "smb://<host>",
    "nas01:/exports/data/x.wav": "<host>:x.wav",
    "s3://acme-speech/private/dev.jsonl": "<bucket>/dev.jsonl",
    "gs://acme": "<bucket>",
    "https://acme.s3.eu-central-1.amazonaws.com/x?y": "<bucket>",
    "ssh jane@vault13 and jane@10.1.2.3": "ssh <user>@<host> and <user>@<host>",
    "git@github.com:acme/secret.git": "<user>@<host>",
    "ACME\\jane ran it": "<user> ran it",
    "/home/jane": "<home>",
    "in /home/jane, or /Users/jane/": "in <home>, or <home>",
    "C:\\Users\\Jane": "<home>",
    "data:/home/jane/x": "data:x",
    "jane.doe@acme.co.uk.": "<mail>.",
    "jane [at] acme dot com": "<mail>",
}


@pytest.mark.parametrize("text", IDENTIFYING)
def test_what_identifies_is_taken_out_of_prose(text: str) -> None:
    """Whatever has the form of a name, an address, a number of a device or a secret has a stand-in, and is found."""
    assert privacy.text(text) == IDENTIFYING[text]
    assert list(privacy.search({"description": text}, "r1"))


@pytest.mark.parametrize(
    "text",
    [
        "words@jiwer-4.0.0", "whisper-english@2-whisper-normalizer-0.1.15", "facebook/wav2vec2-base@main", "int8@fp32",
        "recall@k and p99@4", "12:30:45", "2026-11-27T00:13:40+00:00", "2025-11-28-12-30-45", "std::vector",
        "dead::beef",
        "data[1::2]", "quickstart[::90]", "10:1:1 split", "a 16-bit serial encoder", "serial execution of 12 cells",
        "tokens: 5000", "pad token: [PAD]", "blank token: wav2vec2-large", "password-free login", "key=value pairs",
        "torch.nn.functional", "model.v2.pt", "records.jsonl:7: not JSON", "https://www.openslr.org/12",
        "https://arxiv.org/abs/2006.11477", "http://localhost:8050/", "cudnn 9.10.2.21", "version 1.2.3.4",
        "AMD EPYC 9654 96-Core", "machine x86_64 and arm64", "server 12.3/s", "node 20 of 32", "host: the CPU",
        "e.g. 12, i.e. less", "C++/CUDA", "read/write and/or", "n/a", "v1.2.3-rc4",
        "edd74457464847410f0876f5758433ef7e64ad85",
        "quick(idle_s=1, repeats=1, rounds=3)", "the bundled teacher, its builds and its students, at 16 kHz",
    ],
)  # fmt: skip
def test_what_identifies_nobody_stays(text: str) -> None:
    """Versions, times, slices, settings and public references are kept, and are not shown as found."""
    assert privacy.text(text) == text
    assert not list(privacy.search({"description": text}, "r1"))


def test_names_in_committed_entries_stay() -> None:
    """What runs write beside prose has no form of what identifies: nothing of a published entry is changed."""
    entries = sorted((Path(__file__).parents[2] / "results" / "entries").glob("*.zip"))
    assert entries
    for entry in entries:
        with zipfile.ZipFile(entry) as archive:
            for name in archive.namelist():
                if name.endswith(store.RECORDS):
                    rows = [json.loads(line) for line in archive.read(name).splitlines()]
                    assert [privacy.row(row, {}) for row in rows] == rows


@pytest.mark.parametrize(
    "unit", ["a-", "a.", "a@", ":a", "ab:", "/a", "\\a", "a=", "token", "[at]", "1.", "-", "//", "s/n "]
)
def test_a_long_text_is_searched_in_one_pass(unit: str, patience: Callable[[float], float]) -> None:
    """A text that was made to stop a search costs what it is long: its square would take minutes."""
    process = subprocess.Popen([sys.executable, "-c", LONG, unit])
    try:
        assert process.wait(patience(60)) == 0
    finally:
        process.kill()


LONG = "import sys; from greenbench import identifiers; identifiers.cut(sys.argv[1] * 100_000)"


@given(st.text(alphabet="ab /\\~.:'`<>@C1", max_size=25))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    """What is shared can be shared again: a merge of merged runs is the same merge."""
    assert privacy.text(privacy.text(text)) == privacy.text(text)


def test_own_names_are_taken_out_of_what_people_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's and the host's name go from reasons, notes and commands, and not out of other words."""
    monkeypatch.setattr(getpass, "getuser", lambda: "jane")
    monkeypatch.setattr(privacy, "getuser", lambda: "jane")
    monkeypatch.setattr(socket, "gethostname", lambda: "vault13.example.org")
    privacy._own_names.cache_clear()
    row = {"reason": "jane on vault13 ran janeway", "dataset": "jane/speech", "variant": "mine"}
    assert privacy.row(row, {}) == {"reason": "<user> on <host> ran janeway", "dataset": "<user>/speech",
                                    "variant": "mine"}  # fmt: skip
    privacy._own_names.cache_clear()


def test_only_what_is_known_to_be_harmless_is_shared(sound_run: Callable[..., Path]) -> None:
    """Another key of run.json, of the machine or of a GPU stays at home."""
    run = store.read_run(sound_run("r1", {"variant": "a", "rounds": [{"wall_s": 1.0}] * 3}))
    gpu = {"name": "A100", "uuid": "GPU-1234", "serial": "13"}
    shared = privacy.run({**run, "hostname": "vault", "machine": {**run["machine"], "mac": "aa:bb", "gpus": [gpu]}})
    assert set(shared) == set(run)
    assert shared["machine"] == run["machine"] | {"gpus": [{"name": "A100"}]}


def test_the_lists_know_what_a_run_writes(whole_run: Path) -> None:
    """What greenbench itself writes is all shared, so that a new key is decided on rather than lost."""
    run = store.read_run(whole_run)
    assert set(run) <= set(privacy.RUN_KEYS)
    assert set(environment.machine()) <= set(privacy.MACHINE_KEYS)


def test_the_suite_has_the_hash_of_what_is_shared(whole_run: Path) -> None:
    """Paths in the suite are cut, its hash is that of the cut one, and a hash that was wrong stays wrong."""
    run = store.read_run(whole_run)
    shared = privacy.run(run)
    assert shared["suite"]["datasets"][0]["path"] == "tones.jsonl"
    assert shared["suite_hash"] == plan.digest(shared["suite"]) != run["suite_hash"]
    assert privacy.row({"suite_hash": run["suite_hash"]}, {run["suite_hash"]: "new"}) == {"suite_hash": "new"}
    assert privacy.run({**run, "suite_hash": "forged"})["suite_hash"] == "forged"


def test_what_was_said_stays(whole_run: Path) -> None:
    """Texts and ids count into hashes and error rates, so no sign of them changes."""
    line: dict[str, Any] = {"utterance_id": "u1", "reference": "see /home/jane", "hypothesis": "ask a@b.org"}
    assert privacy.row(line, {}) == line
    assert identifiers.is_private_id("/home/jane/a")
    assert not identifiers.is_private_id("audio/a")
    header = next(row for row in store.read_rows(whole_run / store.POWER) if "header" in row)
    assert "pid" in header["header"]
    assert "pid" not in privacy.row(header, {})["header"]
