"""The catalogue: everything that is registered is listed, and listing loads no model library."""

import os
import subprocess
import sys

import pytest

from greenbench import registry
from greenbench.cli import catalogue
from greenbench.errors import InputError
from greenbench.metrics import METRICS


@pytest.mark.parametrize("kind", ["datasets", "meters", "methods", "normalizers"])
def test_everything_registered_is_listed(kind: str) -> None:
    """A kind's rows are its registered names, once each."""
    assert [row[kind[:-1]] for row in catalogue.rows(kind)] == registry.names(kind)


@pytest.mark.parametrize("kind", ["datasets", "methods", "normalizers"])
def test_every_builtin_says_what_it_is(kind: str) -> None:
    """Each of our own plug-ins is described by one sentence, without the marks of a docstring."""
    for row in catalogue.rows(kind):
        assert row["about"].endswith(".")
        assert "``" not in row["about"]
        assert not row["about"].startswith("Return")


def test_every_preset_and_every_family_is_listed() -> None:
    """Variants are listed as a suite would write them: the presets by name, each family with its settings."""
    listed = [row["variant"] for row in catalogue.rows("variants")]
    for family in registry.names("variants"):
        assert f"{{use: {family}, ...}}" in listed
        assert {f"{family}/{preset}" for preset in registry.load("variants", family).presets} <= set(listed)
    assert len(set(listed)) == len(listed)


def test_settings_are_those_a_suite_may_give() -> None:
    """The settings of a data set are its fields; class variables are none."""
    (manifest,) = [row for row in catalogue.rows("datasets") if row["dataset"] == "manifest"]
    assert manifest["settings"] == "path, transcribed, slice_by"
    (family,) = [row for row in catalogue.rows("variants") if row["variant"] == "{use: null, ...}"]
    assert family["settings"] == "rtfx, delay_s, text"


def test_all_metrics_are_listed() -> None:
    """Each metric is listed with its unit."""
    assert [(row["metric"], row["unit"]) for row in catalogue.rows("metrics")] == [
        (name, metric.unit) for name, metric in METRICS.items()
    ]


def test_a_meter_says_whether_it_measures_here(monkeypatch) -> None:
    """A meter is `yes` here, or the reason why not."""
    monkeypatch.setattr("greenbench.meters.survey", lambda: {"memory": None, "rapl": "not readable"})
    assert [row["here"] for row in catalogue.rows("meters")] == ["yes", "not readable"]


def test_a_plugin_without_a_docstring_is_listed(monkeypatch) -> None:
    """A third party's undocumented plug-in has an empty description and does not break the list."""
    monkeypatch.setattr(registry, "names", lambda group: ["mine"])
    monkeypatch.setattr(registry, "load", lambda group, name: lambda: None)
    assert catalogue.rows("normalizers") == [{"normalizer": "mine", "about": "", "settings": None}]


def test_an_unknown_kind_has_the_nearest_one() -> None:
    """A typo in the kind is answered with the kind that was meant."""
    with pytest.raises(InputError, match=r"list varaints: .* Did you mean 'variants'\?"):
        catalogue.rows("varaints")


def test_listing_never_imports_torch() -> None:
    """All kinds together are listed without torch, transformers or an inference engine."""
    code = (
        "import sys\nfrom greenbench.cli import catalogue\n"
        "for kind in ('variants', 'datasets', 'meters', 'methods', 'normalizers', 'metrics'): catalogue.rows(kind)\n"
        "print(sorted({'torch', 'transformers', 'ctranslate2', 'faster_whisper', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_table_in_a_pipe_is_80_columns_wide() -> None:
    """Nobody says there how wide a line is; a table of 420 columns cannot be read."""
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "greenbench", "list", "metrics"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert 60 < max(map(len, done.stdout.splitlines())) <= 80


def test_help_imports_no_library_of_numbers_or_models() -> None:
    """What needs no file is answered without numpy, pandas, torch or the plug-ins: they take longer than the answer."""
    code = (
        "import sys\nfrom greenbench.cli import main\nsys.argv[1:] = ['run', '--help']\ntry: main()\n"
        "finally: print({'numpy', 'pandas', 'torch', 'greenbench.plugins'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "set()\n")
