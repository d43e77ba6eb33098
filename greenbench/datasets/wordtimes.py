"""When words were spoken, as a manifest states it."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from greenbench.plugins import WordTime

_EXAMPLE = '[{"word": "hello", "start": 0.12, "end": 0.45}]'


@dataclass(frozen=True)
class _Stated:
    word: str
    start: float
    end: float


_LIST = TypeAdapter(list[_Stated])


def word_times(value: Any) -> tuple[WordTime, ...]:
    """Return what a manifest states of the words of an utterance; nothing where it is null.

    Args:
        value: a list of objects with ``word``, ``start`` and ``end``, in seconds from the beginning of the utterance.

    Raises:
        ValueError: it is no such list, a word ends before it starts, or starts before the one before it.
    """
    try:
        stated = _LIST.validate_python(value or [], strict=False)
    except ValidationError as error:
        raise ValueError(f"a list such as {_EXAMPLE} is expected, not {value!r:.60}") from error
    _ordered(stated)
    return tuple(WordTime(one.word, one.start, one.end) for one in stated)


def _ordered(stated: Iterable[_Stated]) -> None:
    for one in stated:
        if not 0 <= one.start <= one.end:
            raise ValueError(f"{one.word!r:.40}: 0 <= start <= end is expected, not {one.start:g} and {one.end:g}")
    for one, later in pairwise(stated):
        if later.start < one.start:
            raise ValueError(f"{later.word!r:.40} starts at {later.start:g} s, before the word before it")
