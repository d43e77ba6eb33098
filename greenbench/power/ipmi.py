"""IPMI: power of the whole machine as its management controller (BMC) reads it, by DCMI and the tool ``ipmitool``."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from greenbench.power.ask import Ask, SilentError

COMMAND = ("ipmitool", "dcmi", "power", "reading")

DEVICES = tuple(Path("/dev") / name for name in ("ipmi0", "ipmi/0", "ipmidev/0"))
"""Where the kernel's driver may show the controller; ``ipmitool`` takes the first that it can open."""

TIMEOUT_S = 10.0
"""A controller answers in a tenth of a second to a few seconds."""

_WATTS = re.compile(r"^\s*Instantaneous power reading\s*:\s*(\d+(?:\.\d+)?)\s*Watts\s*$", re.MULTILINE)
_STATE = re.compile(r"^\s*Power reading state is\s*:\s*(\w+)\s*$", re.MULTILINE)


def source() -> Ask:
    """Return the controller as a source: of what it tells, its instantaneous reading, which it updates once a second.

    Raises:
        SilentError: the tool or the controller is not here, or may not be used; the message says what to do.
    """
    if shutil.which(COMMAND[0]) is None:
        raise SilentError("ipmi: the tool ipmitool is not here: install it (`sudo apt install ipmitool`)")
    present = [device for device in DEVICES if device.exists()]
    if not present:
        raise SilentError("ipmi: no controller under /dev/ipmi0: run `sudo modprobe ipmi_si ipmi_devintf`; a virtual "
                          "machine and most desktops have none")  # fmt: skip
    if not os.access(present[0], os.R_OK | os.W_OK):
        raise SilentError(
            f"ipmi: {present[0]} may not be used: run as root, or `sudo setfacl -m u:$USER:rw {present[0]}`"
        )
    return ask


def ask() -> float:
    """Return the watts of this moment.

    Raises:
        OSError: the tool could not be run, or did not answer in time.
        ValueError: it told something else; the message has its words.
    """
    try:
        done = subprocess.run(
            COMMAND, capture_output=True, encoding="utf-8", errors="replace", timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"ipmitool did not answer within {TIMEOUT_S:g} s") from error
    return watts(done.stdout, done.stderr)


def watts(told: str, errors: str = "") -> float:
    """Return the power in an answer of ``ipmitool dcmi power reading``.

    Args:
        told: lines such as ``Instantaneous power reading:   214 Watts`` (ipmitool, ``lib/ipmi_dcmi.c``).
        errors: what it wrote on standard error.

    Raises:
        ValueError: there is none, the controller's measuring is off, or it shows 0 W, which no running machine draws.
    """
    found, state = _WATTS.search(told), _STATE.search(told)
    if found is None:
        words = " ".join(f"{errors} {told}".split()) or "nothing"
        raise ValueError(f"ipmitool gave no power: {words:.200}")
    if state is not None and state[1] != "activated":
        raise ValueError(f"the controller does not measure power: its reading is {state[1]}")
    if not float(found[1]):
        raise ValueError("the controller shows 0 W while the machine runs: it does not measure power")
    return float(found[1])
