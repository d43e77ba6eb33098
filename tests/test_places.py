"""The places where greenbench is run by others: the image, the GitHub action, the development container."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="Python 3.10 reads no TOML")

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())

SUITE = {
    "name": "gate", "datasets": [{"use": "quickstart", "limit": 24}], "control": False,
    "protocol": {"use": "quick", "idle_s": 0.0, "window_s": 0.0},
}  # fmt: skip

# --- the image -------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, in order."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line and line[0] != "#")]


def test_the_image_installs_the_torch_that_the_package_asks_for() -> None:
    """The bounds stand in two files, as pip must choose torch's index before it reads the package."""
    (torch,) = re.findall(r'"(torch[^"]*)"', " ".join(rest for _, rest in instructions()))
    assert torch in PROJECT["optional-dependencies"]["torch"]


def test_the_image_runs_as_a_user_and_its_arguments_have_defaults() -> None:
    """Nothing is installed as the user, nothing runs as root, and a plain build needs no argument."""
    words = [word for word, _ in instructions()]
    given = dict(instructions())
    assert given["USER"] == "bench"
    assert words.index("USER") > max(n for n, word in enumerate(words) if word in ("RUN", "COPY"))
    arguments = [rest.partition("=") for word, rest in instructions() if word == "ARG"]
    assert {name: value for name, _, value in arguments} == {"TORCH": "cpu", "EXTRAS": "torch"}
    assert all(f"${{{name}}}" in " ".join(rest for _, rest in instructions()) for name, _, _ in arguments)
    assert json.loads(given["ENTRYPOINT"]) == ["greenbench"]


@pytest.mark.slow
def test_what_the_image_is_built_from_is_enough_for_a_wheel(tmp_path: Path) -> None:
    """The files that .dockerignore lets through build the package, with the suite that it ships."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in kept:
        place = ROOT / name
        copy = shutil.copytree if place.is_dir() else shutil.copy2
        copy(place, tmp_path / name)
    line = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(line, cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    assert "greenbench/assets/quickstart.yaml" in names
    assert not any(fnmatch(name, "*__pycache__*") for name in names)


# --- the development container ---------------------------------------------------------------------------


def test_the_development_container_installs_extras_that_exist() -> None:
    """It is JSON, and its command names extras of the package."""
    content = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    (extras,) = re.findall(r"\.\[([\w,]+)\]", content["postCreateCommand"])
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


# --- the action ------------------------------------------------------------------------------------------

PYTHON = """#!/bin/bash
printf 'python %s\\n' "$*" >>"$CALLS"
"""
"""Stands for the Python that installs: notes what it is asked for."""

GH = """#!/bin/bash
printf '%s\\n' "$*" >>"$CALLS"
case "$*" in *--paginate*) cat "$COMMENT_IDS" ;; *) [ -z "$GH_FAILS" ] ;; esac
"""
"""Stands for GitHub's command: says which comments of ours there are, and notes what it is asked for."""


class Job:
    """A pull request in a repository with two commits, and the steps of the action as GitHub runs them.

    Attributes:
        inputs: given to the action.
        code: of the step that ended the job; 0 where all steps passed.
    """

    def __init__(self, folder: Path, base: dict[str, Any], head: dict[str, Any], **inputs: str) -> None:
        self.folder, self.repo, self.temp = folder, folder / "repo", folder / "temp"
        for place in (self.repo, self.temp, folder / "bin"):
            place.mkdir()
        self.summary, self.outputs, self.code, self.printed = (
            folder / "summary.md",
            {"measure": {}, "compare": {}},
            0,
            "",
        )
        self._git("init", "-q", "-b", "main")
        self.base = self._commit(base)
        self._commit(head)
        defaults = {name: str(entry.get("default", "")) for name, entry in ACTION["inputs"].items()}
        self.inputs = {**defaults, "base": self.base, "token": "made-up", **inputs}
        for name, text in {"gh": GH, "python": PYTHON}.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        (folder / "bin" / "greenbench").symlink_to(Path(sys.executable).parent / "greenbench")
        (folder / "comment-ids").write_text("")

    def _git(self, *line: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return subprocess.run(
            ["git", *who, *line], cwd=self.repo, check=True, capture_output=True, text=True
        ).stdout.strip()

    def _commit(self, suite: dict[str, Any]) -> str:
        if suite:
            (self.repo / "suite.yaml").write_text(json.dumps({**SUITE, **suite}))
        self._git("add", "-A")
        self._git("commit", "-q", "--allow-empty", "-m", "m")
        return self._git("rev-parse", "HEAD")

    def value(self, text: str) -> str:
        """Return a text with GitHub's expressions in it evaluated."""
        known = {
            **{f"inputs.{name}": value for name, value in self.inputs.items()},
            **{f"steps.{step}.outputs.{name}": text for step, of in self.outputs.items() for name, text in of.items()},
            "github.action_path": str(ROOT), "github.repository": "me/model", "github.event.pull_request.number": "7",
        }  # fmt: skip
        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: known.get(found[1], ""), text)

    def run(self, **environment: str) -> "Job":
        """Run the scripts of the steps, each as GitHub's shell `bash` does."""
        for step in ACTION["runs"]["steps"]:
            if "run" not in step:
                continue
            if step["name"] in ("Comment", "Judge") and not self.outputs["compare"].get("exit-code"):
                continue
            output = self.folder / "output"
            output.write_text("")
            values = {name: self.value(text) for name, text in step["env"].items()}
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=self.repo,
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")},
                    "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "RUNNER_TEMP": str(self.temp),
                    "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(self.summary),
                    "CALLS": str(self.folder / "calls"), "COMMENT_IDS": str(self.folder / "comment-ids"),
                    **values, **environment,
                },
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            self.printed += done.stdout + done.stderr
            pairs = (line.partition("=") for line in output.read_text().splitlines())
            self.outputs.setdefault(step.get("id", ""), {}).update({name: value for name, _, value in pairs})
            if done.returncode:
                self.code = done.returncode
                break
        return self

    @property
    def calls(self) -> list[str]:
        """What was asked of GitHub."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


def variants(text: str) -> dict[str, Any]:
    """Return what a suite measures: something that always answers the same."""
    return {"variants": [{"use": "null", "text": text, "name": "mine"}]}


def test_a_pull_request_that_is_worse_fails_and_says_so(tmp_path: Path) -> None:
    """Both commits are measured, the comparison is in summary and comment, and the job ends with compare's code."""
    job = Job(tmp_path, variants("the"), variants("x y z " * 10), **{"fail-on": "wer:+1pp\n", "metrics": "wer\n\n"})
    job.run()
    assert job.code == 3, job.printed
    assert (job.temp / "greenbench" / "before").is_dir()
    assert not (job.temp / "greenbench-base").exists()
    comment = (job.temp / "greenbench" / "comment.md").read_text()
    assert comment == job.summary.read_text()
    assert comment.startswith("<!-- greenbench -->\n**greenbench**")
    assert "wer" in comment
    assert "worse" in comment
    new = [call for call in job.calls if "--paginate" not in call]
    assert new == [
        f"python -m pip install {ROOT}[torch]",
        f"api repos/me/model/issues/7/comments --field body=@{job.temp / 'greenbench' / 'comment.md'} --silent",
    ]


def test_the_next_push_updates_the_comment(tmp_path: Path) -> None:
    """The first of our own comments is written anew; a pull request that changes nothing passes."""
    job = Job(tmp_path, variants("the"), variants("the"), **{"fail-on": "wer:+1pp", "metrics": "wer"})
    (tmp_path / "comment-ids").write_text("41\n42\n")
    job.run()
    assert (job.code, job.outputs["compare"]["exit-code"]) == (0, "0"), job.printed
    assert "--method PATCH repos/me/model/issues/comments/41 " in job.calls[-1]


def test_a_comment_that_may_not_be_written_fails_nothing(tmp_path: Path) -> None:
    """As from a fork."""
    job = Job(tmp_path, variants("the"), variants("the"), metrics="wer").run(GH_FAILS="1")
    assert job.code == 0, job.printed
    assert "::warning::no comment was written" in job.printed


def test_a_suite_that_the_base_does_not_have_is_measured_alone(tmp_path: Path) -> None:
    """The first pull request with a suite has nothing to compare with, and passes."""
    job = Job(tmp_path, {}, variants("the")).run()
    assert (job.code, job.outputs["compare"]) == (0, {}), job.printed
    assert not any(call.startswith("api") for call in job.calls)
    assert "there is nothing to compare with" in job.printed
    assert (job.temp / "greenbench" / "after").is_dir()


def test_every_expression_is_a_value_of_the_environment() -> None:
    """No input is pasted into a script, where it would be run."""
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert ("shell" in step) == ("run" in step)
    text = (ROOT / "action.yml").read_text()
    named = set(re.findall(r"inputs\.([\w-]+)", text))
    assert named == set(ACTION["inputs"])
