"""Small archives that were made to be dear: judging any of them takes little memory and little work."""

import hashlib
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench.files.limits import Limits
from greenbench.sharing.entry import FORMAT, MANIFEST, digest
from greenbench.sharing.submission import pack

pytestmark = pytest.mark.measures

MOST_BYTES, MOST_S = 500e6, 5.0
"""What an archive of 90 kB may cost whoever judges it, the interpreter and its modules included."""

JUDGE = """
import sys
from pathlib import Path
from greenbench.sharing.submission import check
for problem in check(Path(sys.argv[1]), Path(sys.argv[2]))[:3]:
    print(problem.what[:300])
"""
COST = """
import json, resource, subprocess, sys, time

def yardstick_s():
    start = time.process_time()
    for _ in range(5):
        sum(i * i for i in range(1_000_000))
    return (time.process_time() - start) / 5

before_s = yardstick_s()
subprocess.run(sys.argv[1:], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
n_bytes = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([n_bytes, used.ru_utime + used.ru_stime, max(before_s, yardstick_s())]))
"""
"""Runs a command and prints its peak of memory, its CPU seconds, and those of a loop that is run before and after it.

What else runs on the same core adds to the CPU seconds of both. It is as small as can be, since a process that is
started counts the memory of who started it as its own.
"""

NOISE = json.dumps({"noise": "".join(random.Random(3).choices("0123456789abcdef", k=150_000))}).encode() + b"\n"
"""What hardly compresses: with it in front, so many bytes stay within the ratio that an archive may have."""


def cost(entry: Path, folder: Path, quick_s: float) -> tuple[float, float, str]:
    """Return the most memory in bytes, the CPU seconds and the words of a process that judges an entry.

    Where this core takes more than ``quick_s`` for the loop, the seconds are those of one that takes so long.
    """
    command = [sys.executable, "-I", "-S", "-c", COST, sys.executable, "-c", JUDGE, str(entry), str(folder)]
    *told, last = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    n_bytes, cpu_s, loop_s = json.loads(last)
    return n_bytes, cpu_s / max(1.0, loop_s / quick_s), "\n".join(told)


def filled(line: bytes, n_bytes: int = 6_500_000) -> bytes:
    return NOISE + line * (n_bytes // len(line))


def first(files: dict[str, bytes], name: str, **changes: Any) -> bytes:
    """Return the first line of a file of a run, changed."""
    return json.dumps(json.loads(files[f"r1/{name}"].splitlines()[0]) | changes).encode() + b"\n"


def texts(files: dict[str, bytes], n: int, words: str) -> bytes:
    return b"".join(
        first(files, "hypotheses.jsonl", utterance_id=str(i), reference=words, hypothesis=f"{i} {words}")
        for i in range(n)
    )


HOSTILE: dict[str, Callable[[dict[str, bytes]], dict[str, bytes]]] = {
    "empty lines": lambda _: {"r1/hypotheses.jsonl": b"\n" * 20_000_000},
    "lines without end": lambda _: {"r1/hypotheses.jsonl": b"x" * 90_000_000},
    "empty objects": lambda _: {"r1/hypotheses.jsonl": NOISE + b"{}\n" * 900_000},
    "one row": lambda files: {"r1/records.jsonl": filled(first(files, "records.jsonl"))},
    "rows of other rounds": lambda files: {
        "r1/records.jsonl": NOISE + b"".join(first(files, "records.jsonl", round=n) for n in range(2_000))
    },
    "one text": lambda files: {"r1/hypotheses.jsonl": filled(first(files, "hypotheses.jsonl"))},
    "short texts": lambda files: {"r1/hypotheses.jsonl": NOISE + texts(files, 8_000, "a b")},
    "long texts": lambda files: {"r1/hypotheses.jsonl": NOISE + texts(files, 40, "ab cd " * 20_000)},
    "one window": lambda files: {"r1/windows.jsonl": filled(first(files, "windows.jsonl"))},
    "one sample": lambda _: {
        "r1/power.jsonl": NOISE + b'{"header": {"t_s": 0.0, "utc_s": 1e9, "period_s": 0.1}}\n'
        + b'{"t_s": 1.0, "t_end_s": 1.001, "rapl.package-0.energy_uj": 5}\n' * 105_000
    },
    "headers": lambda _: {"r1/power.jsonl": filled(b'{"header": {"t_s": 0.0, "utc_s": 1e9, "period_s": 0.1}}\n')},
    "keys of a run": lambda files: {
        "r1/run.json": json.dumps(json.loads(files["r1/run.json"]) | {
            "machine": {f"k{n}": [[]] * 9 for n in range(60_000)}, "noise": NOISE.decode()
        }).encode()
    },
    "many runs": lambda files: {
        f"r{n}/{name.partition('/')[2]}": content for name, content in files.items() for n in range(2, 40)
    },
}  # fmt: skip
"""Archive -> the files that it has instead of a sound entry's."""

REFUSED = ("empty lines", "lines without end")
"""Those that nobody unpacks; the others stay within the ratio of sizes, and are read."""


@pytest.fixture(scope="module")
def sound(sound_run_in: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a sound entry of one run, by name."""
    folder = tmp_path_factory.mktemp("small")
    cell = {"variant": "a", "n_wrong": 2, "rounds": [{"wall_s": 1.0 + n, "energy_cpu_j": 9.0} for n in range(3)]}
    with zipfile.ZipFile(pack([sound_run_in(folder / "r1", cell)], folder / "sound.zip").path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_small_archive_costs_little(hostile: str, sound: dict[str, bytes], tmp_path: Path, loop_s: float) -> None:
    """Less than 5 s and 500 MB, whatever 90 kB unpack to; who made it is answered all the same."""
    files = sound | HOSTILE[hostile](sound)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = {"format": FORMAT, "digest": digest(hashes), "files": hashes}
    entry = tmp_path / "entry.zip"
    with zipfile.ZipFile(entry, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in {MANIFEST: json.dumps(manifest).encode(), **files}.items():
            archive.writestr(name, content)
    assert sum(map(len, files.values())) < Limits().max_bytes
    n_bytes, cpu_s, told = cost(entry, tmp_path / "unpacked", loop_s)
    if cpu_s >= MOST_S:  # what else runs may have begun between: the least is the cost
        cpu_s = min(cpu_s, cost(entry, tmp_path / "again", loop_s)[1])
    assert told
    assert ("times its size" in told) == (hostile in REFUSED)
    assert "cannot be judged" not in told
    assert n_bytes < MOST_BYTES
    assert cpu_s < MOST_S
