"""Logs of sessions: what a session returned is looked at before it is counted."""

import pytest

from greenbench.errors import AnswerError
from greenbench.plugins import Partial
from greenbench.streaming.log import ChunkLog, StreamLog, checked


def log(*partials: object, final: str = "a b") -> StreamLog:
    return StreamLog(tuple(ChunkLog(1, 1, 1, partial) for partial in partials), final, 2, 1, 1)


def test_words_that_are_final_stay() -> None:
    """A sound log passes as it is; what is not final may change."""
    sound = log(Partial("x"), None, Partial("a c", 1))
    assert checked(sound) is sound


@pytest.mark.parametrize(
    "partials",
    [("a",), (Partial(1),), (Partial("a", True),), (Partial("a", 2),), (Partial("a", -1),), (Partial("b", 1),),
     (Partial("a c", 2),), (Partial("a", 1), Partial("", 0)), (Partial("a", 1), None, Partial("b"))],
)  # fmt: skip
def test_a_broken_contract_is_named(partials: tuple[object, ...]) -> None:
    """What is no partial, counts more words than it has, or takes final words back is refused in one line."""
    with pytest.raises(AnswerError, match=r"the model returned .* for a chunk.*: a session returns None or a Partial"):
        checked(log(*partials))
