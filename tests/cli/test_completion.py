"""What the shell offers: commands, options and names, without importing torch; a broken plug-in prints nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from greenbench import registry
from greenbench.cli import completion

CODE = """
import sys
sys.argv[0] = "greenbench"
from greenbench.cli import main
try:
    main()
finally:
    assert "torch" not in sys.modules and "transformers" not in sys.modules
"""


def offered(line: str, cwd: Path) -> list[str]:
    """Return what bash is told for the last word of a line."""
    words = line.split(" ")
    told = {"_GREENBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run([sys.executable, "-c", CODE], env={**os.environ, **told}, capture_output=True, text=True,
                          check=False, cwd=cwd)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("greenbench com", {"compare", "compress"}),
        ("greenbench run --resu", {"--resume"}),
        ("greenbench run --model wav2vec2/quickstart-", {"wav2vec2/quickstart-2l", "wav2vec2/quickstart-6l"}),
        ("greenbench run --data librispeech/test", {"librispeech/test-clean", "librispeech/test-other"}),
    ],
)
def test_the_shell_is_offered_names(line: str, expected: set[str], tmp_path: Path) -> None:
    """The whole way, as bash asks."""
    assert set(offered(line, tmp_path)) == expected


@pytest.mark.parametrize(
    ("names", "typed", "expected"),
    [
        (completion.builds, "int8-dynamic,bf", ["int8-dynamic,bf16"]),
        (completion.builds, "bf16,fp16+int8-d", ["bf16,fp16+int8-dynamic"]),
        (completion.model, "./wav", []),
        (completion.data, "quick", ["quickstart"]),
        (completion.kind, "va", ["variants"]),
        (completion.export_format, "model", ["model-index"]),
        (completion.protocol, "off", ["official"]),
        (completion.metric, "energy_net", ["energy_net_j"]),
        (completion.scoring, "whisper-basic", ["whisper-basic", "whisper-basic+compound", "whisper-basic+punctuation"]),
        (
            completion.setting,
            "scenarios=[s",
            ["scenarios=[single-stream]", "scenarios=[server]", "scenarios=[streaming]"],
        ),
        (completion.setting, "norm", ["normalizer="]),
        (completion.device, "cuda", ["cuda", "cuda:0"]),
        (completion.run_folder, "late", ["latest", "latest~1"]),
    ],
)
def test_names_of_each_kind(names: completion.Names, typed: str, expected: list[str]) -> None:
    """What begins as it is typed, in full."""
    assert names(typed) == expected


def test_a_run_is_offered_by_its_folder(suite_data: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those below results, as `compare` takes them."""
    (tmp_path / "results" / "mine").mkdir(parents=True)
    (tmp_path / "results" / "mine" / "run.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert completion.run_folder("results/m") == [str(Path("results") / "mine")]


def test_a_broken_plugin_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback appears in the line that is being typed."""

    def broken(_group: str) -> list[str]:
        raise registry.PluginError("two plug-ins of one name")

    monkeypatch.setattr(registry, "names", broken)
    assert completion.model("wav") == []
    assert completion.builds("bf16,int") == []
