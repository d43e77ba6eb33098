"""The command line as a newcomer meets it: help, lists, exit codes, one line per mistake."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from greenbench.cli import catalogue
from greenbench.variants.faster_whisper import PACKAGED

ROOT = Path(__file__).parents[2]


def process(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run a command in a process of its own, as a shell does; most tests need no more than its ``main``."""
    command = [sys.executable, "-m", "greenbench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture
def suite_file(suite_data: dict, tmp_path: Path) -> Path:
    """A suite file that runs in a moment."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(suite_data))
    return path


@pytest.fixture(scope="module")
def measured(greenbench, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two utterances, measured once; not to be changed."""
    folder = tmp_path_factory.mktemp("measured")
    data = {
        "name": "tiny",
        "protocol": {"use": "quick", "repeats": 1, "window_s": 0.2, "idle_s": 0},
        "datasets": [{"use": "manifest", "path": str(manifest), "limit": 2}],
        "variants": ["null/rtfx-100"],
        "trace_hz": 0,
        "control": False,
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(data))
    done = greenbench("run", folder / "tiny.yaml", "--out", folder / "run")
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_a_run_prints_table_page_and_rows(suite_file: Path, tmp_path: Path) -> None:
    """A run ends with a table on standard output, the page's path, and exit code 0."""
    done = process("run", suite_file, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    first, _, rest = done.stdout.lstrip().partition("medians over")
    assert first.startswith("null/rtfx-100: WER "), "the first sentences come before the table"
    assert "null/rtfx-100" in rest
    assert f"page: {tmp_path / 'run' / 'report.html'}" in done.stdout
    assert "[1/1] null/rtfx-100 | " in done.stderr
    assert "\x1b" not in done.stdout + done.stderr, "a pipe gets plain lines"


def test_a_run_as_json_is_json_alone(greenbench, suite_file: Path, tmp_path: Path) -> None:
    """--json prints nothing but JSON on standard output; what is unknown is null."""
    done = greenbench("run", suite_file, "--out", tmp_path / "run", "--json")
    (line,) = json.loads(done.stdout)
    assert line["variant"] == "null/rtfx-100"
    assert 0 < line["rtfx"] < 100.1  # slower than its known delay on a busy machine, never faster
    assert line["energy_gpu_j"] is None


def test_a_failed_cell_is_exit_code_1(greenbench, suite_data: dict, tmp_path: Path) -> None:
    """A run in which a cell failed ends with exit code 1 and says which thing is missing, once."""
    path = tmp_path / "tiny.yaml"
    absent = {"use": "manifest", "path": "none.jsonl"}
    path.write_text(yaml.safe_dump({**suite_data, "datasets": [absent], "scenarios": ["offline", "single-stream"]}))
    done = greenbench("run", path, "--out", tmp_path / "run")
    assert done.returncode == 1
    assert done.stderr.count("missing data set") == 1
    assert done.stderr.count("error: missing, see above") == 2
    assert "none.jsonl" in done.stderr


def test_a_typo_is_exit_code_2_and_one_line(suite_data: dict, tmp_path: Path) -> None:
    """A typo gives one line on standard error, exit code 2, and creates nothing."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**suite_data, "variants": ["nul/instant"]}))
    done = process("run", path, cwd=tmp_path)
    assert done.returncode == 2
    line = path.read_text().splitlines().index("- nul/instant") + 1
    assert done.stderr.splitlines() == [
        f"error: {path}:{line}: variants.0: unknown variant 'nul/instant'. Did you mean 'null/instant'?"
    ]
    assert not (tmp_path / "results").exists()


def test_dry_run_plans_and_measures_nothing(greenbench, suite_file: Path, tmp_path: Path) -> None:
    """--dry-run prints the cells, what is known of their time, and which meters answer; no folder appears."""
    done = greenbench("run", suite_file, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("tiny: 1 cell", "null/rtfx-100", "expected time: at least ", "rapl", "nvml"):
        assert part in done.stdout
    assert not (tmp_path / "results").exists()
    planned = json.loads(greenbench("run", suite_file, "--dry-run", "--json").stdout)
    assert [cell["variant"] for cell in planned["cells"]] == ["null/rtfx-100"]
    assert planned["cells"][0]["expected_s"] is None


def test_dry_run_warns_of_data_that_cannot_be_shared_or_read(greenbench, suite_data: dict, tmp_path: Path) -> None:
    """Ids that are paths, and a manifest that is not there or malformed, are told before anything is measured."""
    (tmp_path / "ids.jsonl").write_text('{"audio_filepath": "a.wav", "text": "A", "id": "/home/jane/a"}\n')
    (tmp_path / "absolute.jsonl").write_text('{"audio_filepath": "/home/jane/a.wav", "text": "A"}\n')
    (tmp_path / "nan.jsonl").write_text('{"audio_filepath": "a.wav", "text": NaN}\n')
    names = ("ids", "absolute", "nan", "gone")
    datasets = [{"use": "manifest", "path": f"{name}.jsonl", "name": name} for name in names]
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump({**suite_data, "datasets": datasets}))
    done = greenbench("run", path, "--dry-run", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    ids, no_audio, _, nan, gone = done.stderr.splitlines()
    assert ids.startswith(
        "warning: data set ids: has paths of this machine for ids (/home/jane/a), so that its rows can"
    )
    assert no_audio.startswith("error: data set ids: ")
    assert no_audio.endswith("a.wav: bad audio: it cannot be opened (No such file or directory). Replace the file, "
                             "or set on_bad_audio: skip.")  # fmt: skip
    assert nan.startswith("error: data set nan: ")
    assert nan.endswith("nan.jsonl:1: text: a text is expected, not NaN")
    assert "gone.jsonl: the manifest cannot be opened" in gone


def test_options_reach_the_suite(greenbench, suite_file: Path, tmp_path: Path) -> None:
    """--limit, --set, --protocol, --only and --estimate-energy change what is run."""
    options = ["--limit", 2, "--set", "protocol.repeats=1", "--only", "null/*", "--estimate-energy"]
    done = greenbench("run", suite_file, *options, "--out", tmp_path / "run", "--json")
    (line,) = json.loads(done.stdout)
    assert line["n_utterances"] == 2
    assert line["n_repeats"] == 1
    assert line["energy_method"] in ("estimated", "counter")


@pytest.mark.parametrize(
    "what", ["variants", "datasets", "meters", "methods", "tasks", "normalizers", "scorers", "metrics"]
)
def test_list_shows_every_registered_name(greenbench, what: str) -> None:
    """`list` names what is registered, as a table and as JSON."""
    rows = json.loads(greenbench("list", what, "--json").stdout)
    names = {str(next(iter(row.values()))) for row in rows}
    table = greenbench("list", what).stdout
    assert len(names) == len(rows) > 1
    assert all(name in table for name in names)


def test_list_alone_names_the_kinds(greenbench) -> None:
    """Without a kind, each kind is listed, and each of them can be asked for."""
    assert json.loads(greenbench("list", "--json").stdout) == [{"kind": kind} for kind in catalogue.KINDS]


@pytest.mark.parametrize("command", [(), ("run",), ("leaderboard",), ("leaderboard", "verify"), ("power", "record")])
def test_h_is_help(greenbench, command: tuple[str, ...]) -> None:
    """``-h`` prints what ``--help`` does, for every command and group."""
    short, long = greenbench(*command, "-h"), greenbench(*command, "--help")
    assert (short.returncode, short.stdout) == (0, long.stdout)


def test_list_of_nothing_suggests(greenbench, tmp_path: Path) -> None:
    """`list` with a typo names the kind that was meant."""
    done = greenbench("list", "variant")
    assert done.returncode == 2
    assert "Did you mean 'variants'?" in done.stderr


def test_doctor_says_why_each_meter_is_silent(greenbench) -> None:
    """`doctor` accounts for every registered meter, with a reason for those that cannot measure."""
    from greenbench import registry

    done = greenbench("doctor")
    assert done.returncode in (0, 1), done.stderr  # as this machine is just now
    assert all(name in done.stdout for name in registry.names("meters"))
    assert done.stdout.splitlines()[-1].startswith("the official protocol can")
    assert isinstance(json.loads(greenbench("doctor", "--json").stdout), list)


def test_report_joins_runs(greenbench, fake_run, said: list[str], measured: Path, tmp_path: Path) -> None:
    """`report` writes one page of several runs where it is told to; a folder without runs is an error."""
    other = fake_run("other", {"variant": "another-model", "heard": said})
    page = tmp_path / "both.html"
    assert greenbench("report", measured, other, "--out", page).returncode == 0
    assert all(name in page.read_text() for name in ("null/rtfx-100", "another-model"))
    empty = greenbench("report", tmp_path / "nowhere")
    assert empty.returncode == 1
    assert "no runs here" in empty.stderr


def test_rescore_prints_every_scorer(greenbench, measured: Path, tmp_path: Path) -> None:
    """`rescore` shows the measured WER beside the others as a table and as JSON; a typo is exit code 2."""
    shutil.copytree(measured, tmp_path / "run")
    done = greenbench("rescore", tmp_path / "run", "--normalizer", "none", "--normalizer", "librispeech+compound")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in ("whisper-english", "none", "librispeech+compound"))
    found = json.loads(greenbench("rescore", tmp_path / "run", "--normalizer", "none", "--json").stdout)
    assert [line["wer"] for line in found] == [1.0] * 3
    assert greenbench("rescore", tmp_path / "run", "--normalizer", "nune").returncode == 2


def test_validate_tells_clean_from_doubtful(greenbench, sound_run, tmp_path: Path) -> None:
    """`validate` ends with 0 for a clean run and for warnings, 1 for errors (and with --strict), 2 without a run."""
    run = sound_run("run", {"variant": "a", "rounds": [{"wall_s": 2.0}] * 3, "n_wrong": 1})
    clean = greenbench("validate", run, "--strict")
    assert (clean.returncode, clean.stdout) == (0, "0 errors, 0 warnings\n"), clean.stdout
    with (run / "records.jsonl").open("a") as stream:
        stream.write('{"run_id": "to')
    assert greenbench("validate", run).returncode == 0
    assert greenbench("validate", run, "--strict").returncode == 1
    text = (run / "records.jsonl").read_text().replace('"rtfx": ', '"rtfx": 1')
    (run / "records.jsonl").write_text(text)
    done = greenbench("validate", run)
    assert done.returncode == 1
    assert done.stdout.startswith(f"error: {run / 'records.jsonl'}:1 (a, ")
    assert done.stdout.endswith("3 errors, 1 warning\n")
    found = json.loads(greenbench("validate", run, "--json").stdout)
    assert [problem["severity"] for problem in found] == ["error"] * 3 + ["warning"]
    assert greenbench("validate", tmp_path / "nowhere").returncode == 2


def test_export_prints_the_files_it_wrote(greenbench, measured: Path, tmp_path: Path) -> None:
    """`export` names each file; an unknown format is exit code 2."""
    done = greenbench("export", measured, "--format", "github-benchmark", "--out", tmp_path / "bench.json")
    assert done.stdout.splitlines() == [str(tmp_path / f"bench.{part}.json") for part in ("smaller", "bigger")]
    wrong = greenbench("export", measured, "--format", "xml", "--out", tmp_path / "bench.xml")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: --format xml: unknown. Valid: boamps, codecarbon, csv")


@pytest.fixture
def two_runs(fake_run, said: list[str]) -> tuple[Path, Path]:
    """Two runs of which the second is 10 % slower; their WER is the same."""
    cells = [[{"rtfx": rtfx * n} for n in (1.0, 1.01, 0.99, 1.005, 0.995)] for rtfx in (10, 9)]
    return tuple(fake_run(name, {"rounds": cell, "heard": said}) for name, cell in zip("ab", cells, strict=True))


def test_compare_prints_a_verdict_a_metric(greenbench, two_runs: tuple[Path, Path]) -> None:
    """`compare` prints a line a metric with its verdict, without colours in a pipe, and ends with 0."""
    done = greenbench("compare", *two_runs)
    assert done.returncode == 0, done.stderr
    _, _, after = done.stdout.partition("\nwer ")
    wer, _, rtfx = after.partition("\nrtfx ")
    assert "no difference" in wer
    assert "worse" in rtfx.splitlines()[0]
    assert "\x1b" not in done.stdout


def test_compare_fails_with_3_beyond_a_threshold(greenbench, two_runs: tuple[Path, Path]) -> None:
    """A regression beyond its threshold is exit code 3, named on standard error; --json stays JSON alone."""
    assert greenbench("compare", *two_runs, "--fail-on", "rtfx:-20%", "--fail-on", "wer:+1pp").returncode == 0
    done = greenbench("compare", *two_runs, "--fail-on", "rtfx:-5%", "--json")
    assert done.returncode == 3
    assert "regressed: a | d | cpu | offline x8: rtfx -10.0 %" in done.stderr
    assert len(json.loads(done.stdout)["regressions"]) == 1


def test_compare_accepts_only_what_is_shown(greenbench, two_runs: tuple[Path, Path]) -> None:
    """`--accept` is exit code 1 and a line a condition where one is not shown; all met is 0; --json has them too."""
    met = greenbench("compare", *two_runs, "--accept", "wer<=+1pp", "--accept", "rtfx>=0.8x")
    assert met.returncode == 0, met.stderr
    assert met.stderr.count("accept: a | d | cpu | offline x8: ") == 2
    done = greenbench("compare", *two_runs, "--accept", "wer<=+1pp", "--accept", "rtfx>=2x", "--json")
    assert done.returncode == 1
    assert "offline x8: rtfx>=2x: not met (0.90x [" in done.stderr
    assert [one["answer"] for one in json.loads(done.stdout)["conditions"]] == ["met", "not met"]
    wrong = greenbench("compare", *two_runs, "--accept", "rtxf>=2x")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "error: --accept rtxf: unknown metric. Did you mean 'rtfx'?\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a", "b", "--metric", "rtxf"], "unknown metric. Did you mean 'rtfx'?"),
        (["a", "nowhere"], "nowhere: there is no such run, folder or file."),
        (["a", "other"], "nothing here can be compared: dataset d against e"),
        (["a", "b", "--fail-on", "cer:+1pp", "--fail-on", "load_s:+5%"], "'load_s:+5%': could not be judged"),
        (
            ["a", "b", "--metric", "rtfx", "--metric", "energy_j"],
            "--metric energy_j: could not be compared (measured in",
        ),
    ],
)
def test_compare_refuses_in_one_line(
    greenbench, two_runs: tuple[Path, Path], fake_run, arguments: list[str], says: str
) -> None:
    """What cannot be compared, or is misspelt, is exit code 2 and one line that says why."""
    fake_run("other", {"dataset": "e", "data_hash": "def", "rounds": [{"rtfx": 10}] * 2})
    done = greenbench("compare", *arguments, cwd=two_runs[0].parents[1])
    assert done.returncode == 2
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert says in error


def test_report_writes_a_table_beside_the_page(greenbench, fake_run, said: list[str], tmp_path: Path) -> None:
    """`--table` adds a file to what is written, and a wrong ending is bad input."""
    run = fake_run("r1", {"variant": "a", "heard": said})
    done = greenbench("report", run, "--table", tmp_path / "t.md")
    assert done.returncode == 0
    assert done.stdout.split() == [str(run / "report.html"), str(tmp_path / "t.md")]
    assert "| a |" in (tmp_path / "t.md").read_text()
    assert greenbench("report", run, "--table", tmp_path / "t.doc").returncode == 2


def test_report_takes_a_gate(greenbench, fake_run, said: list[str]) -> None:
    """The page says what its efficiency ranks ask of WER; a gate of another form is refused."""
    run = fake_run("r", {"heard": said, "rounds": [{"rtfx": 10}]})
    assert greenbench("report", run, "--gate", "mlperf-99").returncode == 0
    assert "at least 99 %" in (run / "report.html").read_text()
    refused = greenbench("report", run, "--gate", "2%")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: --gate '2%': write margin:1.0pp")


@pytest.mark.parametrize(("what", "key"), [((), "variants"), (("suite",), "variants"), (("lineage",), "edits")])
def test_schema_is_json_schema(greenbench, what: tuple[str, ...], key: str) -> None:
    """`schema` prints a JSON Schema that editors can use: of suites, or of a student's lineage."""
    printed = json.loads(greenbench("schema", *what).stdout)
    assert printed["$schema"].startswith("https://json-schema.org/")
    assert key in printed["properties"]


def test_every_command_and_option_has_help() -> None:
    """No command and no option is without a sentence of help."""
    import typer.main

    from greenbench.cli import app

    groups = [typer.main.get_command(app)]
    commands = {}
    for group in groups:
        commands |= {f"{group.name} {name}": command for name, command in group.commands.items()}
        groups += [command for command in group.commands.values() if hasattr(command, "commands")]
    assert len(groups) > 1
    for name, command in commands.items():
        assert command.help, name
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_version(greenbench) -> None:
    """--version prints the package's version."""
    from greenbench.version import __version__

    assert greenbench("--version").stdout == f"greenbench {__version__}\n"


def test_the_librispeech_suite_without_a_network_is_one_line_per_missing_thing(tmp_path: Path) -> None:
    """The real suite, with nothing here and no network, names each missing thing once with its remedy, and fails."""
    offline = {
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path / "hub"),
        "HF_ENDPOINT": "https://127.0.0.1:9",
    }
    options = ["--protocol", "quick", "--set", f"datasets.0.root={tmp_path}/speech", "--only", "*dev-clean*offline*"]
    command = [sys.executable, "-m", "greenbench", "run", str(ROOT / "suites" / "librispeech.yaml"), *options]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **offline},
    )
    missing = [line for line in done.stderr.splitlines() if line.startswith("missing ")]
    assert done.returncode == 1
    n_packaged = sum(packaged.folder is not None for packaged in PACKAGED.values())
    assert len(missing) == 7 - n_packaged, (
        "one data set, three checkpoints, three peers, one of which a package may bring"
    )
    assert "https://www.openslr.org/resources/12/dev-clean.tar.gz" in missing[0]
    assert f"{tmp_path}/speech/dev-clean" in missing[0]
    assert all("Fetch it where there is a network" in line for line in missing[1:])


def test_cache_lists_and_clears(greenbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is listed with its size, and --clear removes it."""
    from greenbench import cache

    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path))
    cache.artefact({"build": "Onnx", "settings": "Onnx()"}, lambda folder: (folder / "a").write_bytes(bytes(2_000_000)))
    (row,) = json.loads(greenbench("cache", "--json").stdout)
    assert (row["build"], row["size_mb"]) == ("Onnx", 2.0)
    assert "freed 2.0 MB" in greenbench("cache", "--clear").stdout
    assert "nothing is kept" in greenbench("cache").stdout


# --- small things that a user meets ----------------------------------------------------------------------


def test_a_run_among_other_runs_is_refused(greenbench, suite_file: Path, tmp_path: Path) -> None:
    """--out on the folder that holds runs, or on a file, is a mistake: rows would lie among others'."""
    (tmp_path / "results" / "one").mkdir(parents=True)
    (tmp_path / "results" / "one" / "run.json").write_text("{}")
    for out, told in (("results", "runs are inside this folder"), ("tiny.txt", "it is a file")):
        (tmp_path / "tiny.txt").write_text("")
        done = greenbench("run", suite_file, "--out", tmp_path / out, cwd=tmp_path)
        assert done.returncode == 2
        assert told in done.stderr
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["one"]


def test_the_dashboard_of_a_folder_that_is_not_there_says_so(greenbench, tmp_path: Path) -> None:
    """A mistyped folder is one line, and not a page that stays empty."""
    done = greenbench("dashboard", tmp_path / "resluts", "--port", 0)
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path / 'resluts'}: no such folder. Name the folder of the runs, or create it " \
        "for runs to come.\n"  # fmt: skip


def test_help_shows_defaults_that_are_no_values(greenbench) -> None:
    """What an option does without being given is in its help, for every command."""
    shown = " ".join(greenbench("run", "--help").stdout.replace("│", " ").split())
    assert "[default: (results/<run_id>)]" in shown
    assert "[default: (the bundled quick start)]" in shown
    sources = (ROOT / "greenbench" / "cli").glob("*.py")
    assert not [path.name for path in sources if "[default:" in path.read_text()], "rich takes it for markup"


def test_init_writes_a_suite_and_nothing_over(greenbench, tmp_path: Path) -> None:
    """It passes the dry run; a file that is there stays unless --force is given; mistakes are one line and exit 2."""
    done = greenbench("init", "--model", "null/instant", "--out", "mine.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "greenbench run mine.yaml --dry-run" in done.stdout
    text = (tmp_path / "mine.yaml").read_text()
    assert text.count("#") >= 6
    dry = greenbench("run", "mine.yaml", "--dry-run", cwd=tmp_path)
    assert dry.returncode == 0, dry.stderr
    assert "null/instant" in dry.stdout
    again = greenbench("init", "--out", "mine.yaml", cwd=tmp_path)
    assert (again.returncode, len(again.stderr.splitlines())) == (2, 1)
    assert "a file is here already" in again.stderr
    assert (tmp_path / "mine.yaml").read_text() == text
    assert greenbench("init", "--out", "mine.yaml", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "mine.yaml").read_text() != text
    wrong = greenbench("init", "--builds", "int9", "--out", "other.yaml", cwd=tmp_path)
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
    assert not (tmp_path / "other.yaml").exists()


def test_a_model_is_measured_without_a_file(greenbench, manifest: Path, tmp_path: Path) -> None:
    """`run --model --data` leaves a suite in the folder; a dry run of it lists the same cells."""
    options = ("--model", "null/instant", "--data", manifest, "--limit", 1, "--out", "run")
    short = ("control=false", "protocol.repeats=1", "protocol.idle_s=0", "protocol.window_s=0.05")
    done = greenbench("run", *options, *(part for one in short for part in ("--set", one)), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    dry = greenbench("run", "run/suite.yaml", "--dry-run", "--json", cwd=tmp_path)
    (cell,) = json.loads(dry.stdout)["cells"]
    assert cell["variant"] == "null/instant"
    both = greenbench("run", "run/suite.yaml", *options, cwd=tmp_path)
    assert (both.returncode, len(both.stderr.splitlines())) == (2, 1)
