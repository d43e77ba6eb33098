"""Errors: an exit code each, and the nearest valid name."""

import pytest

from greenbench import errors
from greenbench.errors import did_you_mean


@pytest.mark.parametrize(
    ("error", "code"),
    [("InputError", 2), ("MissingError", 1), ("BadAudioError", 1), ("StoreError", 1), ("GreenbenchError", 1)],
)
def test_exit_codes_tell_bad_input_from_failure(error: str, code: int) -> None:
    """Bad input exits with 2 and every other failure with 1, and all are one family."""
    kind = getattr(errors, error)
    assert kind.exit_code == code
    assert issubclass(kind, errors.GreenbenchError)


@pytest.mark.parametrize(
    ("name", "valid", "said"),
    [
        ("wav2vec", ["hubert", "wav2vec2"], "Did you mean 'wav2vec2'?"),
        ("cat", ["cats", "cat-like"], "Did you mean 'cats'?"),
        ("zzz", ["b", "a"], "Valid: a, b."),
        ("zzz", [], "Valid: (none)."),
        ("", ["a"], "Valid: a."),
    ],
)
def test_the_nearest_name_or_all_of_them(name: str, valid: list[str], said: str) -> None:
    """A close name is offered by itself; where none is close all are listed, sorted."""
    assert did_you_mean(name, valid) == said
    assert did_you_mean(name, iter(valid)) == said
