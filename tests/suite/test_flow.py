"""One line of YAML: whatever a name or a path is, it reads back as what it was."""

import pytest
import yaml

from greenbench.files import strictyaml
from greenbench.suite import flow


@pytest.mark.parametrize(
    "text",
    ["plain", "wav2vec2/base-960h+bf16", "no", "1e3", "a: b", "#x", "two\nlines", "'quoted'", "", "é", "null"],
)
def test_a_text_stays_a_text(text: str) -> None:
    """YAML's own words, numbers and marks are put in quotes, also within a mapping."""
    assert yaml.safe_load(flow.line(text)) == text
    line = flow.line({"use": text, "limit": 5})
    assert "\n" not in line
    assert yaml.safe_load(line) == {"use": text, "limit": 5}


@pytest.mark.parametrize("number", [5, 0.5, -2.0, 1e-7, True])
def test_a_number_stays_a_number(number: float) -> None:
    """A setting reads back with its value and type."""
    assert repr(strictyaml.parse(flow.line({"keep": number}))) == repr({"keep": number})


def test_words_need_no_quotes() -> None:
    """A registered name stands as people write it."""
    assert flow.line("wav2vec2/base-960h+bf16") == "wav2vec2/base-960h+bf16"
