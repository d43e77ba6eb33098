"""The paper's tables beside ours: which of our cells are the paper's models, and which ratios are set side by side."""

from collections.abc import Callable
from pathlib import Path

import pytest

from greenbench.analysis.gains import CellGains, all_gains
from greenbench.report import bigfoot
from greenbench.report.bigfoot import ORIGINAL, PRINTED, TEACHER

FakeRun = Callable[..., Path]

FOUR_LAYERS = PRINTED[0].n_params
JOULES = {"energy_method": "counter", "energy_scope": "cpu"}


def cell(name: str, steps: str | None, n_params: int, mb: float, rtfx: float) -> dict[str, object]:
    """Return a cell of the paper's teacher or of a student of it, in two rounds."""
    figures = {"n_params": n_params, "model_bytes": mb * 1e6, "rtfx": rtfx, "energy_j_per_audio_s": 10 / rtfx}
    parent = {"steps": steps, "parent": "large"} if steps else {}
    return {"variant": name, "heard": None, "rounds": [figures, figures], **JOULES, **parent}


@pytest.fixture
def found(fake_run: FakeRun) -> list[CellGains]:
    """The original, 4 layers, int8, and 4 layers in int8, which the paper never tried."""
    both = "layer-drop(keep=4)+int8-dynamic"
    return all_gains([fake_run(
        "r",
        cell("large", None, TEACHER, 1262.0, 5.0),
        cell("4l", "layer-drop(keep=4)", FOUR_LAYERS, 254.2, 18.5),
        cell("int8", "int8-dynamic", TEACHER, 354.5, 9.0),
        cell("4l-int8", both, FOUR_LAYERS, 102.0, 22.5),
    )])  # fmt: skip


def test_each_model_of_the_paper_is_found_by_what_it_is(found: list[CellGains]) -> None:
    """4 layers and int8 stand beside their lines of Table 1, ratio by ratio; both together are beyond the paper."""
    lines = {
        (line["model"].partition(" (")[0], line["ratio"]): (line["paper"], line["here"])
        for line in bigfoot.against_paper(found)
    }
    assert lines["distilled, 4 layers", "size"] == ("4.82x", "4.96x")
    assert lines["distilled, 4 layers", "speed"] == ("2.84x", "3.70x [3.70, 3.70]")
    assert lines["distilled, 4 layers", "energy"] == ("2.42x (GPU, estimated)", "3.70x [3.70, 3.70] (counter)")
    assert lines["distilled, 4 layers", "WER"] == ("+6.88 points", "–")
    assert lines["quantised", "size"] == ("3.56x", "3.56x")
    assert lines["quantised", "speed"] == ("1.09x", "1.80x [1.80, 1.80]")
    assert {model for model, _ in lines} == {"distilled, 4 layers", "quantised"}
    assert [d.student.shared["variant"] for d in bigfoot.beyond(found)] == ["4l-int8"]


def test_students_of_another_teacher_are_not_the_papers(fake_run: FakeRun) -> None:
    """Half the layers of another model have nothing to do with the paper's figures."""
    cells = [cell("large", None, 6_000_000, 24.0, 100.0), cell("s", "layer-drop(keep=6)", 3_000_000, 13.5, 150.0)]
    assert bigfoot.against_paper(all_gains([fake_run("r", *cells)])) == []


def test_what_the_paper_measured_on_a_gpu_alone_says_so(fake_run: FakeRun) -> None:
    """Table 2 has GPU seconds only; beside a CPU they are named as such."""
    n_params = next(printed.n_params for printed in PRINTED if printed.name == "distilled, 12 layers")
    cells = [cell("large", None, TEACHER, 1262.0, 5.0), cell("s", "layer-drop(keep=12)", n_params, 657.0, 9.0)]
    speed = [
        line["paper"] for line in bigfoot.against_paper(all_gains([fake_run("r", *cells)])) if line["ratio"] == "speed"
    ]
    assert speed == ["1.52x (GPU)"]


def test_the_parameters_are_those_of_transformers() -> None:
    """The numbers by which our models are known are counted, layer by layer, without allocating them."""
    import torch
    from transformers import AutoModelForCTC, Wav2Vec2Config

    from greenbench.variants.checkpoints import ARCHITECTURES, VOCABULARY

    for printed in (ORIGINAL, *PRINTED):
        layers = int(printed.name.split(", ")[1].split()[0]) if "layers" in printed.name else 24
        config = Wav2Vec2Config(**{**ARCHITECTURES["large"], "num_hidden_layers": layers}, vocab_size=len(VOCABULARY))
        with torch.device("meta"):
            model = AutoModelForCTC.from_config(config)
        assert sum(p.numel() for p in model.parameters()) == printed.n_params, printed.name


def test_every_ratio_says_why_it_may_differ(found: list[CellGains]) -> None:
    """No ratio stands without its reason to differ."""
    assert {line["ratio"] for line in bigfoot.against_paper(found)} <= bigfoot.DIFFER.keys()
