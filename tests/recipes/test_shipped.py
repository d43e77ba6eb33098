"""The shipped recipes that need only what is bundled: each makes a student of the size that arithmetic says."""

from pathlib import Path
from typing import Any

import pytest

from greenbench.datasets.quickstart import Quickstart
from greenbench.recipes import recipe
from greenbench.recipes.student import make_student
from greenbench.suite import config
from greenbench.suite.entries import VariantEntry, build_variant

SUITES = Path(__file__).parents[2] / "suites"

TEACHER, LAYER, D, F, HEAD, N_TOKENS = 6_029_630, 444_864, 192, 768, 48, 30
"""Parameters of the bundled teacher and of one of its twelve layers, their widths, that of a head, and tokens."""

NEURON = 2 * D + 1
"""Its weights in and out, and its bias."""

FRONT_END, THIN_FRONT_END = 499_968, 392_256
"""Parameters of its convolutions, and of those of the thin student."""


def narrow(d: int) -> int:
    """Return the parameters of a projection from 192 channels, a positional convolution, a norm and a head."""
    return (2 * D + D * d + d) + (d * d // 8 * 32 + d + 32) + 2 * d + N_TOKENS * (d + 1)


SIZES = {
    "vieting-cut": TEACHER - 2 * LAYER,
    "ludwig": TEACHER - 12 * 13 * (F // 32) * NEURON,
    "lin-heads": TEACHER - 24 * (4 * D * HEAD + 3 * HEAD),
    "lin-low-rank": TEACHER - 24 * (D * F - 64 * (D + F)),
    "adakd": TEACHER - 6 * LAYER,
    "distil-whisper": TEACHER - 6 * LAYER,
    "distilhubert": TEACHER - 10 * LAYER,
    "multi-teacher": TEACHER - 9 * LAYER,
    "w2v2-light": TEACHER - 8 * LAYER,
    "daisy": TEACHER - 2 * LAYER + 4 * (2 * D + N_TOKENS * (D + 1)),
    "distillw2v2": TEACHER - 6 * LAYER,
    "mixed-3bit": TEACHER,
    "mixed-3bit-learned": TEACHER,
    "effuse": TEACHER,
    "elastic": TEACHER - 2 * LAYER - 10 * (4 * D * HEAD + 3 * HEAD + (F - 576) * NEURON),
    "deep-vs-wide": FRONT_END + narrow(96) + 12 * (12 * 96 * 96 + 13 * 96),
    "fithubert": THIN_FRONT_END + narrow(96) + 12 * (6 * 96 * 96 + 10 * 96) + (4 * 96 * 96 + 4 * 96),
    "lean": TEACHER - 2 * LAYER - 40 * (HEAD - 16) * (4 * D + 3) - F * 10 // 5 * NEURON,
}
"""Parameters of each student: a fifth of the neurons is rounded to multiples of eight a layer, all else is exact."""

REDUCED: dict[str, dict[str, Any]] = {
    "distill": {"steps": 2, "batch_s": 8, "validate_every": 1},
    "elastic": {"distill.steps": 2, "distill.batch_s": 8, "distill.validate_every": 1, "n_calibration": 2},
    "early-exit": {"distill.steps": 2, "n_calibration": 4},
    "mixed-precision": {"n_calibration": 1, "bits": "[2, 4]"},
    "mixed-precision gumbel": {"distill.steps": 2, "distill.batch_s": 8, "steps_after": 1},
    "layer-drop": {"refit_steps": 2, "n_calibration": 2},
    "predict-features": {"steps": 2, "n_calibration": 2},
    "prune-ffn": {"n_calibration": 2},
    "prune-ffn genetic": {"n_calibration": 2, "population": 3, "generations": 1},
    "prune-heads": {"n_calibration": 2},
}
"""Settings of a method, and what it searches by, by which a student is made in a moment, of the same shape."""


def reduced(name: str) -> recipe.Recipe:
    """A shipped recipe with little speech and few steps."""
    path = SUITES / "recipes" / f"{name}.yaml"
    loaded = recipe.load(path)
    steps = [
        f"steps.{number}.{key}={value}"
        for number, step in enumerate(loaded.steps)
        for key, value in REDUCED.get(f"{step.use} {step.settings.get('search', '')}".strip(), {}).items()
    ]
    speech = ["train.0.limit=8", "validation_share=0.25"] if loaded.train else []
    return recipe.load(path, [*steps, *speech])


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_a_shipped_recipe_makes_a_student_of_its_size(name: str, tmp_path: Path) -> None:
    """From the bundled teacher to a folder that runs: its parameters are those that closed forms give."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    made = reduced(name)
    student = build_variant(VariantEntry(use="wav2vec2", model=str(make_student(made, tmp_path / name))))
    assert student.parent == "wav2vec2/quickstart"
    assert student.steps == tuple(step.use for step in made.steps)
    loaded = student.load("cpu")
    assert loaded.footprint.n_params == pytest.approx(SIZES[name], rel=0.005 if name == "lean" else 0)
    assert isinstance(loaded([next(Quickstart()()).read()])[0], str)


def test_the_suite_has_the_chain_of_the_lean_recipe() -> None:
    """What is measured without training is what the recipe trains, and then the student itself; both in int8, too."""
    steps = [step for step in recipe.load(SUITES / "recipes" / "lean.yaml").steps if step.use != "distill"]
    variants = config.load(SUITES / "lean.yaml").variants
    chains = [variant.builds for variant in variants if variant.builds]
    assert all(steps[:n] in chains for n in range(1, len(steps) + 1))
    assert [step.use for chain in chains if chain[:-1] == steps for step in chain[-1:]] == ["openvino-int8"]
    ends = [variant.name.rpartition("models/")[2] for variant in variants if "models/" in str(variant.name)]
    assert ends == ["lean", "lean+openvino-int8"]
