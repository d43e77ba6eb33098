"""IPMI as a source of power: ipmitool's words become watts, and whatever is in the way is one line with a remedy."""

import os
from pathlib import Path

import pytest

from greenbench.errors import InputError
from greenbench.power import ipmi, log, recorder
from greenbench.power.log import Source
from greenbench.power.recorder import SilentError

TOLD = """
    Instantaneous power reading:                   214 Watts
    Minimum during sampling period:                  2 Watts
    Maximum during sampling period:                468 Watts
    Average power reading over sample period:      184 Watts
    IPMI timestamp:                           Sun May  5 13:06:44 2024
    Sampling period:                          00000005 Seconds.
    Power reading state is:                   activated


"""
"""What ipmitool 1.8.18 prints."""

NEWER = TOLD.replace("Sun May  5 13:06:44 2024\n", "05/05/24 13:06:44 UTC")  # 1.8.19: no line break after the time


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for ipmitool that prints the file ``told``, and a controller's device."""
    script = tmp_path / "ipmitool"
    script.write_text(f'#!/bin/sh\n[ "$*" = "dcmi power reading" ] && cat {tmp_path}/told\n')
    script.chmod(0o755)
    (tmp_path / "told").write_text(TOLD)
    (tmp_path / "ipmi0").write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(ipmi, "DEVICES", (tmp_path / "none", tmp_path / "ipmi0"))
    return tmp_path


@pytest.mark.parametrize("told", [TOLD, NEWER, TOLD.replace("214", "98.5")])
def test_the_instantaneous_reading_counts(told: str) -> None:
    """Not the least, the most or the mean since some time."""
    assert ipmi.watts(told) == (98.5 if "98.5" in told else 214)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (TOLD.replace("activated", "deactivated"), "its reading is deactivated"),
        (TOLD.replace("214", "  0"), "shows 0 W while the machine runs"),
        (TOLD.replace("214 Watts", "21x Watts"), "ipmitool gave no power"),
        ("\n    DCMI request failed because: Invalid command (c1)", "DCMI request failed because: Invalid command"),
        ("", "ipmitool gave no power: nothing"),
    ],
)
def test_what_is_no_reading_is_told_in_its_own_words(told: str, why: str) -> None:
    """A controller that cannot measure is not one that draws nothing."""
    with pytest.raises(ValueError, match=why.replace("(", r"\(")):
        ipmi.watts(told)


def test_a_session_writes_a_log_that_can_be_attached(tool: Path) -> None:
    """Through the tool's own process, as `power record --source ipmi` does."""
    out = tool / "ipmi.jsonl"
    assert recorder.record(recorder.machine("ipmi", {}), out, 0.05, print, n_samples=1) == 1
    assert log.read(Source(out)).watts.tolist() == [214]


def test_what_is_in_the_way_is_one_line_with_a_remedy(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No right, no controller, no tool, or a setting that it has not."""
    with pytest.raises(InputError, match="--source ipmi: it takes no --rail"):
        recorder.machine("ipmi", {"rail": "VDD_IN"})
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "ipmi0" not in str(path) and may(path, mode))
    with pytest.raises(SilentError, match=f"{tool / 'ipmi0'} may not be used: run as root, or"):
        recorder.machine("ipmi", {})
    (tool / "ipmi0").unlink()
    with pytest.raises(SilentError, match="modprobe ipmi_si ipmi_devintf"):
        recorder.machine("ipmi", {})
    monkeypatch.setenv("PATH", str(tool / "none"))
    with pytest.raises(SilentError, match="apt install ipmitool"):
        recorder.machine("ipmi", {})


def test_a_controller_that_does_not_answer_is_silent_for_that_sample(
    tool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorder goes on, as with any source that is silent for a moment."""
    (tool / "ipmitool").write_text("#!/bin/sh\nexec sleep 600\n")
    monkeypatch.setattr(ipmi, "TIMEOUT_S", 0.2)
    with pytest.raises(OSError, match="did not answer within"):
        ipmi.ask()
