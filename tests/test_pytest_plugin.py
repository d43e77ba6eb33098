"""The pytest plug-in, as a project meets it that gates WER and speed in the tests it already has."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import yaml

from greenbench.results import store

pytest_plugins = ["pytester"]

HEAVY = ("torch", "transformers", "scipy", "pandas", "numpy", "pydantic", "yaml", "rich", "typer")


@pytest.fixture
def project(pytester: pytest.Pytester, suite_data: dict) -> pytest.Pytester:
    """A project with a suite, whose tests have a shortcut to a run of it."""
    pytester.mkdir("suites")
    (pytester.path / "suites" / "mine.yaml").write_text(yaml.safe_dump(suite_data))
    return pytester


def test_a_test_gates_what_was_measured(project: pytest.Pytester) -> None:
    """A gate that holds passes and one that does not fails with the figure in the message; one run serves both."""
    project.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="module")
        def result(greenbench_run):
            return greenbench_run("suites/mine.yaml", limit=2)

        def test_holds(result, tmp_path_factory):
            assert result.metric("rtfx", variant="null/rtfx-100") > 0
            assert len(result.rows) == 2
            assert result.folder.parent == tmp_path_factory.getbasetemp()
            assert result.folder.name.startswith("test_holds-")
            assert (result.folder / "report.html").exists()

        def test_fails(result):
            assert result.metric("wer") < 0.1
        """
    )
    result = project.runpytest()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*assert 1.0 < 0.1*"])


def test_the_suite_is_found_from_the_root_and_may_be_a_mapping(project: pytest.Pytester, suite_data: dict) -> None:
    """A path is looked for in the working directory, then in pytest's root; a mapping needs no file."""
    project.makeini("[pytest]")
    project.mkdir("tests").joinpath("test_it.py").write_text(
        f"""
def test_file(greenbench_run):
    assert greenbench_run("suites/mine.yaml", limit=1, only="null/*").cell(scenario="offline")["n_repeats"] == 2

def test_mapping(greenbench_run):
    assert greenbench_run({suite_data!r}, limit=1).cell()["dataset"].endswith("[:1]")
"""
    )
    command = [sys.executable, "-m", "pytest", "--rootdir", str(project.path), "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=project.path / "tests")
    assert "2 passed" in done.stdout, done.stdout


def test_results_are_kept_where_they_are_wanted(project: pytest.Pytester) -> None:
    """--greenbench-out has a folder for every run, over several sessions, none of which resumes another."""
    project.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("limit", [1, 2])
        def test_run(greenbench_run, limit):
            greenbench_run("suites/mine.yaml", limit=limit)
        """
    )
    for _ in range(2):
        project.runpytest("--greenbench-out", "kept/results").assert_outcomes(passed=2)
    runs = store.runs(project.path / "kept")
    assert len(runs) == 4
    assert sorted(folder.name.rpartition("-")[0] for folder in runs) == sorted(2 * ["test_run-1", "test_run-2"])


def test_mistakes_are_one_line(project: pytest.Pytester) -> None:
    """A typo in a suite, a metric or a key fails the test with the nearest name, and no option is silently ignored."""
    project.makepyfile(
        """
        import pytest
        from greenbench.errors import InputError

        def test_mistakes(greenbench_run):
            with pytest.raises(InputError, match="suites/none.yaml: cannot read the suite"):
                greenbench_run("suites/none.yaml")
            with pytest.raises(TypeError, match="limits"):
                greenbench_run("suites/mine.yaml", limits=1)
            result = greenbench_run("suites/mine.yaml", limit=1)
            with pytest.raises(InputError, match="Did you mean 'rtfx'"):
                result.metric("rtf")
        """
    )
    project.runpytest().assert_outcomes(passed=1)


def test_who_does_not_use_it_pays_nothing() -> None:
    """Importing the plug-in, which every pytest does that runs beside greenbench, imports no library but pytest."""
    code = f"import sys, greenbench.pytest_plugin; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pytest_finds_it() -> None:
    """The plug-in is registered with pytest, under the project's name."""
    assert [entry.value for entry in entry_points(group="pytest11", name="greenbench")] == ["greenbench.pytest_plugin"]


def test_a_run_that_measured_nothing_fails_the_test(project: pytest.Pytester) -> None:
    """A device that is not here fails a test that looks at no figure, where nothing or not all was measured."""
    project.makepyfile(
        """
        from pathlib import Path

        import pytest
        import yaml

        @pytest.mark.parametrize("devices", [["cuda:7"], ["cpu", "cuda:7"]])
        def test_it(greenbench_run, devices):
            data = yaml.safe_load(Path("suites/mine.yaml").read_text())
            greenbench_run({**data, "devices": devices}, limit=1)
        """
    )
    result = project.runpytest()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["*MissingError: *nothing was measured; 1 cell skipped for want of what the suite asks for: *"]
    )
