"""How much may be read of what others wrote: one table of limits, each of which the environment may set."""

import os
from dataclasses import dataclass, fields
from functools import lru_cache

from greenbench.errors import InputError

PREFIX = "GREENBENCH_MAX_"


@dataclass(frozen=True)
class Limits:
    """What a file may cost whoever reads it; nothing beyond is read, so that no memory is spent on it.

    ``GREENBENCH_MAX_<NAME>`` in the environment sets a limit, such as ``GREENBENCH_MAX_LINE_BYTES``.

    Attributes:
        max_file_bytes: of one file of a run; a week of samples at 10 Hz is a third of that.
        max_file_lines: likewise.
        max_log_bytes: of a power log, which is kept in memory.
        max_log_lines: likewise; 11 days at 1 Hz.
        max_bytes: an archive unpacked, all files together; 300,000 texts are a third of that.
        max_files: in an archive.
        max_ratio: of a file's bytes to those it takes in an archive; what runs write comes to 10 to 30. Likewise of all
            that a downloaded archive of speech unpacks to.
        max_lines: of one file in an archive.
        max_aligned: characters of references times those of hypotheses, over the texts of an archive, each pair once;
            so many are aligned again in a few seconds. 44 recordings of an hour are a little less.
        max_line_bytes: of one line of JSON; two texts of ``runfiles.MAX_TEXT`` fit.
        max_text_bytes: of a file that is read in one piece: a suite, a recipe, ``run.json``, ``greenbench.json``.
        max_depth: of lists and mappings within each other.
        max_nodes: values of a suite or recipe, those that aliases repeat counted each time.
        max_cells: cells of a suite, each round counted.
    """

    max_file_bytes: int = 2**32
    max_file_lines: int = 20_000_000
    max_log_bytes: int = 2**28
    max_log_lines: int = 1_000_000
    max_bytes: int = 2**28
    max_files: int = 2_000
    max_ratio: float = 100.0
    max_lines: int = 1_000_000
    max_aligned: int = 150_000_000_000
    max_line_bytes: int = 2**21
    max_text_bytes: int = 2**23
    max_depth: int = 60
    max_nodes: int = 200_000
    max_cells: int = 100_000


@lru_cache
def limits() -> Limits:
    """Return the limits that hold here.

    Raises:
        InputError: the environment sets one to what is no positive number.
    """
    given = {field.name: PREFIX + field.name.removeprefix("max_").upper() for field in fields(Limits)}
    return Limits(**{name: _number(variable) for name, variable in given.items() if variable in os.environ})


def _number(variable: str) -> int:
    text = os.environ[variable]
    if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) == 0:
        raise InputError(f"{variable}={text!r:.40}: a whole number above 0 is expected")
    return int(text)
