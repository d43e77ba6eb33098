"""Privacy: what is shared names no person, host or place, and the rest of a result stays as it was."""

import getpass
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench import environment, plan, privacy, store


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
    """Of a path its last name stays, and of an address nothing."""
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
    assert privacy.is_private_id("/home/jane/a")
    assert not privacy.is_private_id("audio/a")
    header = next(row for row in store.read_rows(whole_run / store.POWER) if "header" in row)
    assert "pid" in header["header"]
    assert "pid" not in privacy.row(header, {})["header"]
