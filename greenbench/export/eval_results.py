"""Error rates as model repositories of the Hugging Face hub hold them: ``.eval_results/*.yaml``, a file a variant."""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from greenbench.analysis import summary
from greenbench.datasets.corruptions import Corruption
from greenbench.datasets.openasr import OpenAsr
from greenbench.export import Documents, Results
from greenbench.export.cards import by_variant, shown
from greenbench.metrics import METRICS, missing
from greenbench.provenance import as_text
from greenbench.results import comparability
from greenbench.results.record import CELL

TASKS = {
    name: f"{name.replace('.', '_')}_wer"
    for name in (
        "ami", "earnings22", "gigaspeech", "librispeech.clean", "librispeech.other", "spgispeech", "tedlium",
        "voxpopuli",
    )
}  # fmt: skip
"""Set of the Open ASR Leaderboard -> its task, as the model repositories of the hub name it. How they name those of the
cleaned sets was not to be found, so these are left out."""

_CHANGES = ("limit", "length_buckets", "length_bucket", *(field.name for field in fields(Corruption)))
"""Settings of a data set with which it is no longer the benchmark."""

_HUB = re.compile(r"[\w.-]+/[\w.-]+")


def documents(results: Results) -> Documents:
    """Return each variant's error rates on whole data sets of the hub, for its model repository's ``.eval_results/``.

    The form is that of https://huggingface.co/docs/hub/eval-results (``docs/hub/eval-results.md`` in the repository
    huggingface/hub-docs), which ``huggingface_hub.parse_eval_result_entries`` reads: a list of ``dataset`` (``id``,
    ``task_id``, ``revision``), ``value``, ``date`` and ``notes``. Of the data set ``open-asr`` the task is its set's;
    of ``hf`` it is the configuration, or ``default``, as in that page's examples: the hub checks it against the data
    set's ``eval.yaml``. Values are percentages, as in the repositories that have such files. The first cell of a
    variant and data set counts; one that failed or carries a flag is left out, and so is a part of a data set, or a
    changed one.
    """
    lines = summary.summary(results.rows)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for line in lines[summary.rankable(lines)].to_dict("records"):
        benchmark = _benchmark(line, results.runs[line["run_id"]])
        rate = comparability.primary(line)
        if benchmark and not missing(line[rate]):
            entries = found.setdefault(str(line["variant"]), {})
            entries.setdefault(str(line["dataset"]), _entry(line, rate, benchmark, results))
    return by_variant({variant: list(entries.values()) for variant, entries in found.items()})


def _benchmark(line: Mapping[Any, Any], run: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the data set and task on the hub that a line is of as a whole; None where it is not of one."""
    entries = (run.get("suite") or {}).get("datasets") or ()
    entry: Mapping[str, Any] = next((one for one in entries if one.get("name") == line["dataset"]), {})
    path = str(entry.get("path") or (OpenAsr.path if entry.get("use") == "open-asr" else ""))
    if not _HUB.fullmatch(path) or any(entry.get(name) is not None for name in _CHANGES):
        return None
    tasks = {"open-asr": TASKS.get(str(entry.get("subset"))), "hf": entry.get("config") or "default"}
    task = tasks.get(str(entry.get("use")))
    revision = str(entry.get("revision"))
    known = {"revision": revision} if re.fullmatch("[0-9a-f]{40}", revision) else {}
    return {"id": path, "task_id": str(task), **known} if task else None


def _entry(line: Mapping[Any, Any], rate: str, benchmark: Mapping[str, str], results: Results) -> dict[str, Any]:
    own = (results.rows[list(CELL)] == [line[name] for name in CELL]).all(axis=1)
    measured = results.rows.loc[own, "timestamp_utc"].max()
    return {
        "dataset": dict(benchmark),
        "value": shown(rate, line[rate]),
        **({"date": as_text(measured)} if not missing(measured) else {}),
        "notes": _notes(line, rate, results.runs[line["run_id"]]),
    }


def _notes(line: Mapping[Any, Any], rate: str, run: Mapping[str, Any]) -> str:
    """Say how the figure was made: its interval, what counted it, and how the model ran."""
    ends = [shown(rate, line[f"{rate}_ci_{end}"]) for end in ("low", "high") if not missing(line[f"{rate}_ci_{end}"])]
    interval = f", 95 % interval [{ends[0]:.2f}, {ends[1]:.2f}]" if len(ends) == 2 else ""
    ran = {name: as_text(line[name]) for name in ("normalizer", "scorer", "decoding", "compute_dtype", "device_name")}
    version = (run.get("versions") or {}).get("greenbench")
    known = (f"{name} {value}" for name, value in ran.items() if value is not None)
    said = [f"{METRICS[rate].label} in per cent{interval}", *known]
    return "; ".join([*said, f"measured by greenbench {version}" if version else "measured by greenbench"])
