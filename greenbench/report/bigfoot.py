"""The paper's tables against ours: each ratio of "Shrinking Bigfoot" with what was measured here, and why they differ.

Peng et al., "Shrinking Bigfoot: Reducing wav2vec 2.0 footprint" (SustaiNLP 2021), Tables 1 to 3, all on LibriSpeech
dev-clean at batch size 1, without repeats or intervals.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenbench.analysis.gains import CellGains
from greenbench.metrics import TEXT_RATES
from greenbench.report.compression import difference, energy, factor

TEACHER = 315_461_792
"""Parameters of wav2vec2-large-960h in transformers, whose students the paper made; by them ours are known."""


@dataclass(frozen=True)
class Printed:
    """One line of the paper's tables.

    Attributes:
        name: what the paper calls it.
        table: its number.
        n_params: parameters of the same model in transformers, for finding ours.
        int8: its Linear layers are in dynamic int8.
        mb: megabytes.
        cpu_s, gpu_s: seconds for dev-clean; None where the paper gives none.
        wer_pct: on dev-clean, in percent.
        kwh: kilowatt hours for dev-clean on a GPU; None where the paper gives none.
    """

    name: str
    table: int
    n_params: int
    int8: bool
    mb: float
    cpu_s: float | None
    gpu_s: float | None
    wer_pct: float
    kwh: float | None = None


ORIGINAL = Printed("original, 24 layers", 1, TEACHER, False, 1262, 4433, 123, 2.63, 0.0087)

PRINTED = (
    Printed("distilled, 4 layers", 1, 63_537_312, False, 262, 1560, 51, 9.51, 0.0036),
    Printed("quantised", 1, TEACHER, True, 354, 4079, None, 2.75),
    Printed("distilled, 12 layers", 2, 164_307_104, False, 665, None, 81, 6.6),
    Printed("distilled, 10 layers", 2, 139_114_656, False, 564, None, 75, 7.59),
    Printed("distilled, 8 layers", 2, 113_922_208, False, 464, None, 69, 10.42),
    Printed("distilled, 6 layers", 2, 88_729_760, False, 363, None, 60, 16.54),
)  # fmt: skip

DIFFER = {
    "size": "The paper's students have some 2 million parameters more than transformers' of so many layers (their "
    "module kept them); bytes here are those of the serialised state that runs.",
    "speed": "The paper names neither its processor nor its GPU. Its int8 attention ran in float32 (fairseq unpacks "
    "those weights), so that int8 was hardly faster; here every Linear layer runs in int8.",
    "energy": "The paper's joules are codecarbon's estimate on a GPU; the origin of ours is stated with them.",
    "WER": "The paper's students were distilled on up to 960 hours of speech and read LibriSpeech dev-clean. Layers "
    "dropped without healing, and random weights, have no WER to compare with theirs.",
}
"""Ratio -> why ours and the paper's may differ."""

TABLE_3 = (
    "Table 3 of the paper times the convolutional front end alone (seven convolutions took 161 s on its CPU, four with "
    "max-pooling 387 s). It is not a recogniser, so there is no line for it here; what it says shows in the table "
    "above: the fewer the layers, the less each one that is left out gains, for the front end stays."
)


def against_paper(all_gains: Iterable[CellGains]) -> list[dict[str, str]]:
    """Compare each line of the paper's tables with the same model measured here.

    Args:
        all_gains: as ``gains.all_gains`` gives them.

    Returns:
        One line for each model and ratio to the original that either has: ``model`` with its table, ``ratio``,
        ``paper``, ``here``, ``measured`` (where); empty where none of the paper's models was measured here.
    """
    ours = list(all_gains)
    found = [(printed, cell_gains) for printed in PRINTED for cell_gains in ours if _is(cell_gains, printed)]
    return [line for printed, cell_gains in found for line in _lines(printed, cell_gains)]


def shown(all_gains: Iterable[CellGains]) -> list[dict[str, str]]:
    """Return the same for a terminal: where ours was measured stands with the model."""
    ratios = ("ratio", "paper", "here")
    return [
        {"model": f"{line['model']}: {line['measured']}"} | {name: line[name] for name in ratios}
        for line in against_paper(all_gains)
    ]


def beyond(all_gains: Iterable[CellGains]) -> list[CellGains]:
    """Return the students of the paper's teacher that the paper has no line for, such as fewer layers in int8."""
    of_teacher = [d for d in all_gains if d.rate in TEXT_RATES and _n_params(d.teacher.rows) == TEACHER]
    return [d for d in of_teacher if not any(_is(d, printed) for printed in PRINTED)]


def _is(cell_gains: CellGains, printed: Printed) -> bool:
    steps = str(cell_gains.student.shared["steps"] or "").split("+")
    builds = {step.partition("(")[0] for step in steps} - {"layer-drop", "distill", ""}
    students = _n_params(cell_gains.teacher.rows) == TEACHER and _n_params(cell_gains.student.rows) == printed.n_params
    same = students and cell_gains.rate in TEXT_RATES
    return same and builds == ({"int8-dynamic"} if printed.int8 else set())


def _n_params(rows: Sequence[Mapping[str, Any]]) -> int | None:
    return next((row["n_params"] for row in rows if row["n_params"] is not None), None)


def _lines(printed: Printed, cell_gains: CellGains) -> list[dict[str, str]]:
    """Return the ratios that the paper or we have of one model."""
    on_gpu = not str(cell_gains.student.shared["device"]).startswith("cpu")
    seconds = (ORIGINAL.gpu_s, printed.gpu_s) if on_gpu else (ORIGINAL.cpu_s, printed.cpu_s)
    theirs = f"{ORIGINAL.kwh / printed.kwh:.2f}x (GPU, estimated)" if ORIGINAL.kwh and printed.kwh else None
    pairs = {
        "size": (f"{ORIGINAL.mb / printed.mb:.2f}x", factor(cell_gains.gains["size"])),
        "speed": (_speed(seconds, printed, on_gpu), factor(cell_gains.gains["speed"])),
        "energy": (theirs, energy(cell_gains)),
        "WER": (f"{printed.wer_pct - ORIGINAL.wer_pct:+.2f} points", difference(cell_gains)),
    }
    shared = cell_gains.student.shared
    return [
        {"model": f"{printed.name} (Table {printed.table})", "ratio": ratio, "paper": paper or "–", "here": here or "–",
         "measured": f"{shared['variant']} · {shared['scenario']} · {shared['device_name'] or shared['device']}"}
        for ratio, (paper, here) in pairs.items() if paper or here
    ]  # fmt: skip


def _speed(seconds: tuple[float | None, float | None], printed: Printed, on_gpu: bool) -> str | None:
    """Return the paper's speed ratio on this kind of device, else on the other, which is then named."""
    original, student = seconds
    if original and student:
        return f"{original / student:.2f}x"
    if printed.gpu_s and ORIGINAL.gpu_s and not on_gpu:
        return f"{ORIGINAL.gpu_s / printed.gpu_s:.2f}x (GPU)"
    return None
