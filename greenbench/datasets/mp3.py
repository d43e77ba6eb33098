"""How long MP3 is: its frames are counted, for nothing else in a file of it needs to say so."""

import re
from math import inf
from pathlib import Path
from typing import NamedTuple

_SAMPLES = 1152
_SLACK = 6 * _SAMPLES
"""Samples that frames have beyond a recording's: the first frame's, and what encoders add at both ends."""

_RATES_HZ = (44100, 48000, 32000, 0)
_KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)


def is_counted(path: Path) -> bool:
    """Say whether a file's first frame counts the others, so that a decoder knows its length."""
    return _xing(path) is not None


def is_joined(path: Path) -> bool:
    """Say whether another recording follows the one that the first frame counts."""
    found = _xing(path)
    return found is not None and _begins_anew(path, found.start + (found.n_bytes or path.stat().st_size))


def contradiction(path: Path, rate_hz: int, n_samples: int) -> str | None:
    """Look for frames that the decoder would not come to: after those that the first frame counts, or its estimate.

    Args:
        path: the file.
        rate_hz: samples a second by its header.
        n_samples: that the decoder would give.
    """
    n_there = _n_samples(path)
    if n_there <= n_samples + _SLACK:
        return None
    counted = "its first frame counts too few" if is_counted(path) else "nothing in it says how long it is"
    ends_s, whole_s = n_samples / rate_hz, n_there / rate_hz
    remedy = f"have it counted (ffmpeg -i {path.name} -c copy new.mp3)"
    return f"{counted}, and decoding would end after {ends_s:.1f} s of {whole_s:.1f} s: {remedy}"


def _begins_anew(path: Path, end: int) -> bool:
    """Say whether a recording goes on after its end: frames of MP3 in a row, whatever is between, or another file."""
    with path.open("rb") as file:
        file.seek(end)
        rest = file.read()
    starts = (found.start() for found in _SYNC.finditer(rest))
    return rest.startswith(_OTHERS) or any(_n_frames(rest, at, N_IN_A_ROW)[0] == N_IN_A_ROW for at in starts)


_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")
"""How a frame of MP3 begins: MPEG 2.5, 2 and 1, layer III, with and without a checksum."""

_OTHERS = (b"RIFF", b"fLaC", b"OggS", b"FORM")
"""How files of other formats begin."""

N_IN_A_ROW = 3
"""So many frames one after the other are no chance, and more than the one that a count may have left out."""


def _n_samples(path: Path) -> int:
    """Count the samples of an MP3 file frame by frame, up to where frames end."""
    return _n_frames(path.read_bytes(), _after_id3(path))[1]


def _n_frames(content: bytes, at: int, most: float = inf) -> tuple[int, int]:
    """Return how many frames of MP3 follow one another from a byte on, and their samples (ISO 11172-3, 13818-3)."""
    n_frames = n_samples = 0
    while n_frames < most and at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] & 0xE6 == 0xE2:
        is_first = content[at + 1] & 0x18 == 0x18  # MPEG 1, of twice the rates and samples a frame
        rate_hz = _RATES_HZ[content[at + 2] >> 2 & 3] >> {0x18: 0, 0x10: 1}.get(content[at + 1] & 0x18, 2)
        kbps = (_KBPS_1 if is_first else _KBPS_2)[content[at + 2] >> 4]
        if not rate_hz or not kbps:
            break
        n_of_frame = _SAMPLES if is_first else _SAMPLES // 2
        at += n_of_frame // 8 * kbps * 1000 // rate_hz + (content[at + 2] >> 1 & 1)
        n_samples += n_of_frame
        n_frames += 1
    return n_frames, n_samples


def _after_id3(path: Path) -> int:
    """Return where a file's first MP3 frame begins."""
    start = 0
    with path.open("rb") as file:
        while (head := file.read(10))[:3] == b"ID3" and len(head) == 10:
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            start = file.seek(start + 10 + size + (10 if head[5] & 0x10 else 0))
    return start


class _Xing(NamedTuple):
    """The table of contents in an MP3 file's first frame: where that is, and the bytes from it on."""

    start: int
    n_bytes: int | None


def _xing(path: Path) -> _Xing | None:
    """Read the ``Xing`` or ``Info`` header that counts frames; None where there is none."""
    start = _after_id3(path)
    with path.open("rb") as file:
        file.seek(start)
        frame = file.read(200)
    at = re.search(rb"Xing|Info", frame)
    flags = int.from_bytes(frame[at.end() : at.end() + 4], "big") if at else 0
    if at is None or not flags & 1:
        return None
    n_bytes = int.from_bytes(frame[at.end() + 8 : at.end() + 12], "big") if flags & 2 else None
    return _Xing(start, n_bytes)
