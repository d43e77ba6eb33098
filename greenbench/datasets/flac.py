"""What the frames of a FLAC file say, not its header (RFC 9639): their rate, their number, and a second stream."""

import mmap
import re
from pathlib import Path
from typing import NamedTuple

RATES_HZ = {4: 8000, 5: 16000, 6: 22050, 7: 24000, 8: 32000, 9: 44100, 10: 48000, 11: 96000}
"""Code in a frame's header -> samples a second; other rates are not said there, or in more bytes."""

_LONGEST_FRAME = 2**20
"""Bytes from the end of a file in which its last frame is looked for."""


class _Frame(NamedTuple):
    """A frame's header: the code of its rate, and the number of the sample after its last one."""

    rate_code: int
    end: int


def is_joined(path: Path) -> bool:
    """Say whether a second stream follows the first."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return len(re.findall(rb"fLaC[\x00\x80]\x00\x00\x22", content)) > 1


def contradiction(path: Path, rate_hz: int, n_samples: int) -> str | None:
    """Say in what the first and the last frame do not agree with the header of a file.

    Args:
        path: the file.
        rate_hz: by its header.
        n_samples: by its header.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        begin = _after_metadata(content)
        size = int.from_bytes(content[content.find(b"fLaC") + 10 :][:2], "big")
        first = _frame(content[begin : begin + 16], size)
        of_frame = RATES_HZ.get(first.rate_code) if first else None
        if of_frame and of_frame != rate_hz:
            return f"its header contradicts itself: {rate_hz} Hz, and {of_frame} Hz in its first frame"
        if n_samples >= 2**36:  # unknown
            return None
        n_there = _end(content[max(begin, len(content) - _LONGEST_FRAME) :], size, n_samples)
    if n_there <= n_samples:
        return None
    return f"its header says {n_samples} samples, its last frame {n_there}: write the header anew (flac --decode)"


def _after_metadata(content: mmap.mmap) -> int:
    """Return where a file's first frame begins."""
    at, is_last = max(0, content.find(b"fLaC")) + 4, False
    while not is_last and at + 4 <= len(content):
        is_last = bool(content[at] & 0x80)
        at += 4 + int.from_bytes(content[at + 1 : at + 4], "big")
    return at


def _end(tail: bytes, size: int, expected: int) -> int:
    """Return the number of samples up to the end of the last frame; what is expected where no frame is found whole."""
    at = len(tail)
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        found = _frame(tail[at : at + 16], size)
        if found and found.end == expected:
            return expected
        if found and _crc(tail[at:], 0x8005, 16) == 0:  # the frame with its own sum at its end
            return found.end
    return expected


def _frame(head: bytes, size: int) -> _Frame | None:
    """Read the header of a frame; None where that is none.

    Args:
        head: at least as many bytes.
        size: samples of a frame, of which only the number is stated where all are of one size.
    """
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xFE != 0xF8 or head[2] < 0x10 or head[3] & 1:
        return None
    n_bytes = max(1, 8 - (head[4] ^ 0xFF).bit_length())  # of a number coded as UTF-8 codes characters
    number = head[4] & (0x7F if n_bytes == 1 else 0xFF >> (n_bytes + 1))
    for byte in head[5 : 4 + n_bytes]:
        number = number << 6 | byte & 0x3F
    at, code, rate_code = 4 + n_bytes, head[2] >> 4, head[2] & 15
    n_size = {6: 1, 7: 2}.get(code, 0)
    n_samples = _size(code) if not n_size else int.from_bytes(head[at : at + n_size], "big") + 1
    at += n_size + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if rate_code == 15 or at >= len(head) or _crc(head[: at + 1], 0x07, 8):
        return None
    return _Frame(rate_code, (number if head[1] & 1 else number * size) + n_samples)


def _size(code: int) -> int:
    return 192 if code == 1 else 576 << (code - 2) if code < 6 else 256 << (code - 8)


def _crc(content: bytes, polynomial: int, n_bits: int) -> int:
    """Return the remainder of a cyclic redundancy check, which is 0 where the sum is at the end."""
    top, mask, value = 1 << (n_bits - 1), (1 << n_bits) - 1, 0
    for byte in content:
        value ^= byte << (n_bits - 8)
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & top else 0)) & mask
    return value
