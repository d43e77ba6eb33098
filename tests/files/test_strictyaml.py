"""Strict YAML: what is no plain data of bounded size is one line, before memory or time is spent."""

import json
from pathlib import Path
from typing import Any

import pytest

from greenbench.errors import InputError
from greenbench.files.limits import limits
from greenbench.suite import config, file

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("threads: !!int abc", ":1: not valid YAML: 'abc' is no int"),
        ("threads: !!float abc", "'abc' is no float"),
        ("name: x\nwhen: !!timestamp x", ":2: not valid YAML: the tag timestamp is not allowed here"),
        ("? [a]\n: x", "a key is a text"),
        ("2026-01-01: x", "a key is a text, not datetime.date(2026, 1, 1): write it in quotes"),
        ("1: x", "a key is a text, not 1"),
        ("a: &a [*a]", "*a is within &a itself"),
        ("a: " + "[" * 5_000 + "]" * 5_000, f"nested deeper than {limits().max_depth}"),
        (BOMB, f"more than {limits().max_nodes} values, counting what aliases repeat"),
        ("timeout_s: .inf", "inf is not a finite number"),
        ("timeout_s: .nan", "nan is not a finite number"),
        ("threads: 0x" + "f" * 5_000, "a whole number of at most 18 digits is expected"),
        ("x: !!python/object:os.system y", "is not allowed here"),
        ("x: !!map y", "expected a mapping node"),
        ("x: *gone", "undefined alias"),
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_what_is_no_suite_is_one_line(text: str, told: str, tmp_path: Path) -> None:
    """The file, the line where YAML has one, and what is wrong."""
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        file.read(path)
    assert told in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [float("inf"), float("nan"), 2**70])
def test_a_mapping_and_a_single_value_pass_the_same_door(bad: Any, suite_data: dict[str, Any]) -> None:
    """What a file must not hold, Python and ``--set`` must not either."""
    with pytest.raises(InputError, match="number"):
        config.load(suite_data | {"timeout_s": bad})
    with pytest.raises(InputError, match="number"):
        config.load(suite_data, [f"timeout_s={json.dumps(bad).replace('Infinity', '.inf').replace('NaN', '.nan')}"])


@pytest.mark.parametrize("steps", [{"rounds": 10**9}, {"repeats": 10**9}, {"rounds": 100_000, "repeats": 2}])
def test_a_suite_has_a_bound(steps: dict[str, int], suite_data: dict[str, Any]) -> None:
    """More windows than anyone waits for are refused before they are listed."""
    with pytest.raises(InputError, match="at most 100000"):
        config.load(suite_data | {"protocol": {"use": "quick"} | steps})


def test_aliases_that_repeat_little_are_read(tmp_path: Path) -> None:
    """An anchor, its aliases and a merge key are what YAML is for."""
    path = tmp_path / "suite.yaml"
    path.write_text("a: &a {x: 1}\nb: [*a, *a]\nc: {<<: *a, y: 2}\n")
    assert file.read(path) == {"a": {"x": 1}, "b": [{"x": 1}, {"x": 1}], "c": {"x": 1, "y": 2}}


def test_a_limit_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment sets a limit, and what is no number there is said."""
    path = tmp_path / "suite.yaml"
    path.write_text("a: [[[1]]]")
    for value, told in (("3", "nested deeper than 3"), ("many", "GREENBENCH_MAX_DEPTH='many': a whole number")):
        monkeypatch.setenv("GREENBENCH_MAX_DEPTH", value)
        limits.cache_clear()
        with pytest.raises(InputError, match=told):
            file.read(path)
    monkeypatch.undo()
    limits.cache_clear()
