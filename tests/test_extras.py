"""Extras: what works without them, what asks for them in one line before anything runs, and what never imports them."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from greenbench import extras
from greenbench.errors import MissingError

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="Python 3.10 reads no TOML")

ROOT = Path(__file__).parents[1]

HEAVY = sorted(
    {name for names in extras.PACKAGES.values() for name in names} | {"ctranslate2", "huggingface_hub", "tokenizers"}
)
"""What the light base does not have."""

NEVER = sorted({*HEAVY} - {"codecarbon", "pyarrow", "pytest", "pytest_benchmark"})
"""What none of its commands imports where it is installed; pandas imports pyarrow, and meters are asked what they can
measure here."""

REFUSAL = """
import sys

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {heavy}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refusal())
"""
"""What Python runs as it starts, in the processes that a command starts too."""

DRIVER = """
import contextlib, io, json, sys, threading, urllib.request
from greenbench.cli import main
from greenbench.report import dashboard

heavy, lines, served = set(json.loads(sys.argv[1])), json.loads(sys.argv[2]), dashboard.Dashboard.serve_forever

def once(server, **how):
    thread = threading.Thread(target=served, args=(server,), kwargs=how)
    thread.start()
    for path in ("", "plotly.js"):
        with urllib.request.urlopen(server.url + path) as answer:
            print(answer.status, len(answer.read()))
    server.shutdown()
    thread.join()

dashboard.Dashboard.serve_forever, found = once, {}
for name, line in lines.items():
    sys.argv, out, err = ["greenbench", *line], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main()
        except SystemExit as error:
            code = error.code
    found[name] = {"code": code or 0, "out": out.getvalue(), "err": err.getvalue(),
                   "heavy": sorted(heavy & {module.partition(".")[0] for module in sys.modules})}
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Told:
    """What a command said, and which heavy packages were imported when it had ended."""

    code: int
    out: str
    err: str
    heavy: list[str]


Tell = Mapping[str, Told]


def ask(lines: Mapping[str, list[str]], folder: Path, absent: bool) -> Tell:
    """Run commands one after the other in one process, with the heavy packages refused or as they are."""
    site = folder / "site"
    site.mkdir()
    if absent:
        (site / "sitecustomize.py").write_text(REFUSAL.format(heavy=set(HEAVY)))
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(NEVER), json.dumps(lines)],
        env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"},
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {name: Told(**told) for name, told in json.loads(done.stdout.splitlines()[-1]).items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committed entry, unpacked, and suites of what does and what does not need extras."""
    folder = tmp_path_factory.mktemp("light")
    (entry,) = (ROOT / "results" / "entries").glob("quickstart*.zip")
    with zipfile.ZipFile(entry) as archive:
        archive.extractall(folder / "runs")
    null = {"name": "null", "protocol": {"use": "quick", "repeats": 1, "window_s": 0.01, "idle_s": 0},
            "datasets": [{"use": "quickstart", "limit": 2}], "variants": ["null/instant"], "control": False,
            "trace_hz": 0}  # fmt: skip
    (folder / "null.yaml").write_text(json.dumps(null))
    (folder / "mixed.yaml").write_text(json.dumps({**null, "variants": ["null/instant", "wav2vec2/quickstart"]}))
    (folder / "wrong.yaml").write_text(json.dumps({**null, "variants": ["wav2vec2/quickstrat"]}))
    builds = ["onnx", "openvino-int8", {"use": "int8-torchao"}]
    engines = [{"use": "wav2vec2/quickstart", "builds": [build]} for build in builds]
    (folder / "engines.yaml").write_text(json.dumps({**null, "variants": engines}))
    whisper = {"use": "faster-whisper/tiny.en"}
    (folder / "whisper.yaml").write_text(json.dumps({**null, "variants": [whisper]}))
    moonshine = {"use": "moonshine/tiny.en"}
    (folder / "moonshine.yaml").write_text(json.dumps({**null, "variants": [moonshine]}))
    (folder / "pocketsphinx.yaml").write_text(json.dumps({**null, "variants": ["pocketsphinx/en-us"]}))
    return folder


def light(runs: Path) -> dict[str, list[str]]:
    """Return a line of each command that needs no extra."""
    (quick,) = (runs / "runs").glob("quickstart*")
    kinds = ("variants", "datasets", "meters", "methods", "tasks", "normalizers", "scorers", "metrics")
    return {
        "help": ["--help"],
        **{f"list {kind}": ["list", kind, "--json"] for kind in kinds},
        "schema": ["schema"],
        "compare": ["compare", f"{quick}:wav2vec2/quickstart", f"{quick}:wav2vec2/quickstart+bf16"],
        "report": ["report", str(quick), "--out", "page.html"],
        "dashboard": ["dashboard", str(quick), "--port", "0"],
        "validate": ["validate", str(quick)],
        "merge": ["merge", str(quick), "--out", "merged"],
        "leaderboard": ["leaderboard", str(quick), "--out", "board"],
        "lineage": ["lineage", str(quick)],
        "rescore": ["rescore", str(quick), "--normalizer", "librispeech"],
        "submit": ["submit", str(quick), "--out", "entry.zip", "--yes"],
        "export csv": ["export", str(quick), "--format", "csv", "--out", "rows.csv"],
        "export github": ["export", str(quick), "--format", "github-benchmark", "--out", "bench.json"],
        "export model-index": ["export", str(quick), "--format", "model-index", "--out", "card.yaml"],
        "cache": ["cache"],
        "suite": ["run", "null.yaml", "--dry-run"],
        "run": ["run", "null.yaml", "--out", "null"],
    }  # fmt: skip


ASKING = {
    "run": (["run"], "torch"),
    "dry run": (["run", "--dry-run"], "torch"),
    "engines": (["run", "engines.yaml", "--out", "engines"], "onnx,openvino,torchao"),
    "whisper": (["run", "whisper.yaml", "--out", "whisper"], "whisper"),
    "moonshine": (["run", "moonshine.yaml", "--out", "moonshine"], "moonshine"),
    "pocketsphinx": (["run", "pocketsphinx.yaml", "--out", "pocketsphinx"], "pocketsphinx"),
    "device": (["run", "null.yaml", "--dry-run", "--device", "cuda"], "torch"),
    "estimate": (["run", "null.yaml", "--estimate-energy", "--out", "estimated"], "codecarbon"),
    "compress": (["compress", str(ROOT / "suites/recipes/bundled-6l.yaml"), "--out", "student"], "distill"),
    **{
        f"export {form}": (["export", ".", "--format", form, "--out", "exported"], extra)
        for form, extra in {"parquet": "parquet", "pytest-benchmark": "pytest", "codecarbon": "codecarbon",
                            "boamps": "codecarbon", "mlflow": "mlflow", "trackio": "trackio",
                            "tensorboard": "tensorboard"}.items()
    },
}  # fmt: skip
"""What does not work on the light base: a line, and the extras that its refusal names."""


@pytest.fixture(scope="module")
def absent(runs: Path) -> Tell:
    """What every command says where nothing but the light base is installed."""
    lines = {**{f"without {name}": line for name, (line, _) in ASKING.items()}, **light(runs)}
    lines |= {"mixed": ["run", "mixed.yaml", "--out", "mixed"], "wrong": ["run", "wrong.yaml"], "doctor": ["doctor"]}
    return ask(lines, runs, absent=True)


def test_the_light_base_works_without_extras(absent: Tell, runs: Path) -> None:
    """Every command that measures nothing by a model of torch ends well, and its files are there."""
    failed = {name: absent[name] for name in light(runs) if absent[name].code}
    assert not failed
    written = ("page.html", "merged", "board/index.html", "entry.zip", "rows.csv", "card", "null/records.jsonl")
    assert [name for name in written if not list(runs.glob(f"{name}*"))] == []
    assert [line.split()[0] for line in absent["dashboard"].out.splitlines()[1:]] == ["200", "200"]


@pytest.mark.parametrize("name", ASKING)
def test_a_missing_extra_is_one_line_before_anything_runs(absent: Tell, runs: Path, name: str) -> None:
    """The line has the exact command, the exit code is 1, and nothing was written."""
    told, (line, names) = absent[f"without {name}"], ASKING[name]
    *progress, error = told.err.splitlines()
    assert progress in ([], ["checking data, models and devices"])
    assert error.startswith("error: ")
    assert error.endswith(f"not installed: pip install 'greenbench[{names}]'")
    assert told.code == 1
    assert "--out" not in line or not (runs / line[line.index("--out") + 1]).exists()


def test_what_is_installed_is_measured_all_the_same(absent: Tell, runs: Path) -> None:
    """A suite of which one variant lacks its extra says so first, measures the others, and ends with 1."""
    told = absent["mixed"]
    assert told.code == 1
    lines = told.err.splitlines()
    (announced,) = [n for n, line in enumerate(lines) if line.startswith("missing variant wav2vec2/quickstart: torch")]
    (first,) = [n for n, line in enumerate(lines) if line.startswith("[1/2]")]
    assert announced < first
    rows = [json.loads(line) for line in (runs / "mixed" / "records.jsonl").read_text().splitlines()]
    assert [(row["variant"], row["status"]) for row in rows] == [
        ("null/instant", "ok"), ("wav2vec2/quickstart", "skipped")
    ]  # fmt: skip


def test_a_typo_is_found_without_extras(absent: Tell) -> None:
    """The checking of names needs no package that the name stands for."""
    assert absent["wrong"].code == 2
    assert "Did you mean 'wav2vec2/quickstart'?" in absent["wrong"].err


def test_the_doctor_says_what_to_install(absent: Tell) -> None:
    """Where no model can run, that is a finding with its remedy."""
    assert "pip install 'greenbench[torch]'" in absent["doctor"].out


def test_the_light_base_never_imports_what_is_there(runs: Path, tmp_path: Path) -> None:
    """Where torch and the others are installed, no command of the light base imports one of them."""
    lines = light(runs)
    del lines["rescore"], lines["merge"]  # of folders that the other test has written
    (tmp_path / "runs").symlink_to(runs / "runs")
    (tmp_path / "null.yaml").write_text((runs / "null.yaml").read_text())
    found = ask({**lines, "wrong": ["run", str(runs / "wrong.yaml")]}, tmp_path, absent=False)
    assert {name: told.heavy for name, told in found.items() if told.heavy} == {}


def refused(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr(extras, "is_installed", lambda module: module not in packages)


@pytest.mark.parametrize(
    ("asked", "packages", "reason"),
    [
        (["torch"], ["torch"], "torch not installed: pip install 'greenbench[torch]'"),
        (["onnx"], ["onnx"], "onnx not installed: pip install 'greenbench[onnx]'"),
        (["torch", "onnx"], ["torch", "onnx"], "onnx, torch not installed: pip install 'greenbench[onnx]'"),
        (["torch", "whisper"], ["torch", "faster_whisper"],
         "torch, faster-whisper not installed: pip install 'greenbench[torch,whisper]'"),
        (["openvino", "onnx", "onnx"], ["nncf", "onnxruntime"],
         "onnxruntime, nncf not installed: pip install 'greenbench[onnx,openvino]'"),
        (["torch"], ["accelerate"], None),
        ([], ["torch"], None),
    ],
)  # fmt: skip
def test_the_command_installs_all_that_is_missing_and_no_more(
    monkeypatch: pytest.MonkeyPatch, asked: list[str], packages: list[str], reason: str | None
) -> None:
    """Each package is named once, and an extra that another one brings is left out."""
    refused(monkeypatch, *packages)
    assert extras.missing(asked) == reason


def test_extras_are_those_of_the_package() -> None:
    """Every extra that a message can name is one that pip knows, and brings the packages that it is checked for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["optional-dependencies"]

    def brought(extra: str) -> set[str]:
        names = set()
        for requirement in declared[extra]:
            if requirement.startswith("greenbench["):
                names |= {name for other in requirement[11:-1].split(",") for name in brought(other)}
            names.add(requirement.partition(">")[0].partition("=")[0].partition("[")[0].replace("-", "_"))
        return names

    for extra, packages in extras.PACKAGES.items():
        assert set(packages) <= brought(extra), extra
    base = {name.partition(">")[0].partition("[")[0].replace("-", "_") for name in project["dependencies"]}
    assert base.isdisjoint(HEAVY)


@pytest.mark.parametrize("call", ["run", "open", "compress", "save", "load", "pytest"])
def test_the_python_interface_raises_the_same_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str) -> None:
    """From Python it is a ``MissingError``, and no folder was made."""
    import greenbench
    from greenbench.compress import LayerDrop, compress, save
    from greenbench.pytest_plugin import _measured
    from greenbench.suite.entries import VariantEntry, build_variant
    from greenbench.variants.wav2vec2 import Wav2Vec2

    refused(monkeypatch, "torch", "transformers")
    suite: dict[str, Any] = {"name": "s", "datasets": ["quickstart"], "variants": ["wav2vec2/quickstart"]}
    calls: dict[str, Callable[[], Any]] = {
        "run": lambda: greenbench.run(suite, out=tmp_path / "out"),
        "open": lambda: Wav2Vec2(model="someone/else").open(),
        "compress": lambda: compress(object(), [LayerDrop(keep=1)]),
        "save": lambda: save(object(), None, None, tmp_path / "out"),
        "load": lambda: build_variant(VariantEntry(use="wav2vec2/quickstart")).load("cpu"),
        "pytest": lambda: _measured(suite, {}, tmp_path / "out", None),
    }
    with pytest.raises(MissingError) as caught:
        calls[call]()
    assert str(caught.value) == "torch, transformers not installed: pip install 'greenbench[torch]'"
    assert not (tmp_path / "out").exists()
