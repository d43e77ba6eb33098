"""Who is whose parent, whatever it is called: by chains of methods on weights, and by name where a row does not say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench.analysis import gate
from greenbench.analysis.gains import all_gains
from greenbench.analysis.summary import summary
from greenbench.errors import InputError
from greenbench.models import ancestry
from greenbench.models.ancestry import NO_REFERENCE, STATED, Identity
from greenbench.report import compression, content, sentences, terminal
from greenbench.suite import config
from greenbench.suite.descent import origin
from greenbench.suite.entries import build_variant

FakeRun = Callable[..., Path]


def row(variant: str, *identity: str, ancestors: list[Identity] | None = None, **columns: Any) -> dict[str, Any]:
    return {
        "variant": variant, "parent": None, "identity": ancestry.written([identity]),
        "ancestors": ancestry.written(ancestors or []), **columns,
    }  # fmt: skip


def parent(child: dict[str, Any], *others: dict[str, Any]) -> str | None:
    found = ancestry.nearest(child, others, lambda one: one)
    return None if found is None else found["variant"]


BASE, CUT, BOTH = row("ours", "w"), row("mine", "w", "cut"), row("other", "w", "cut", "int8")


@pytest.mark.parametrize(
    ("child", "others", "expected"),
    [
        (CUT, [BASE, BOTH], "ours"),
        (BOTH, [BASE, CUT], "mine"),  # the nearest, under a name of its own
        (BOTH, [BASE], "ours"),  # a step between was not measured
        (BOTH, [row("q", "w", "int8"), CUT], "mine"),  # of two as near the one that the chain went through
        (BOTH, [row("q", "w", "int8")], "q"),  # fewer builds of the same weights
        (BOTH, [row("q", "w", "int8", "cut")], None),  # as many
        (BASE, [CUT, row("again", "w")], None),  # the same model under two names descends from neither
        (CUT, [row("ours", "x")], None),  # other weights
        (CUT | {"parent": "ours"}, [row("ours", "x")], None),  # which a name does not outweigh
        (CUT | {"parent": "ours"}, [row("ours")], "ours"),  # a row from before there were identities
        (row("s") | {"parent": "t"}, [row("t", "w")], "t"),
        (row("s") | {"parent": "s"}, [row("s")], None),
    ],
)
def test_the_nearest_ancestor_is_the_parent(child: Any, others: list[Any], expected: str | None) -> None:
    """The same weights with fewer methods, whatever the rows are called and in whatever order they stand."""
    assert parent(child, *others) == expected
    assert parent(child, *reversed(others)) == expected


def test_a_student_descends_from_what_it_states_the_nearest_first() -> None:
    """Its own weights with fewer builds go before its teacher, that before the teacher's teacher; or a name alone."""
    student = row("s8", "s", "int8", ancestors=[("t",), ("tt",)])
    assert parent(student, row("a", "tt"), row("b", "t"), row("c", "s")) == "c"
    assert parent(student, row("a", "tt"), row("b", "t")) == "b"
    assert parent(student, row("a", "tt")) == "a"
    named = row("s", "s", ancestors=[("name:big",)])
    assert parent(named, row("big", "z"), row("small", "y")) == "big"


def test_of_as_near_ones_the_same_decoding_and_run_are_taken() -> None:
    """An int8 model decoded greedily is held against the greedy float model, and within its own run."""
    child = row("q", "w", "int8", decoding="greedy", run_id="r2")
    known = [row(f"{d}-{r}", "w", decoding=d, run_id=r) for d in ("beam 5", "greedy") for r in ("r1", "r2")]
    assert parent(child, *known) == "greedy-r2"


def test_settings_cannot_break_a_chain() -> None:
    """A build's settings are one step of the column, whatever is in them."""
    step = ancestry.plain('cut{"why": "a > b ; c"}')
    assert ancestry.read(str(ancestry.written([("w", step), ("t",)]))) == (("w", step), ("t",))


# --- what a suite says -----------------------------------------------------------------------------------


def origins(*variants: Any) -> dict[str, dict[str, Any]]:
    loaded = config.load({"name": "s", "datasets": ["quickstart"], "variants": list(variants)})
    return {str(entry.name): origin(entry, build_variant(entry), loaded.variants) for entry in loaded.variants}


def test_a_build_under_a_name_of_its_own_has_its_parent(tiny_model: Path) -> None:
    """Names say nothing; defaults that are spelt out, a relative path and a copy of the folder change nothing."""
    model = {"use": "wav2vec2", "model": str(tiny_model)}
    found = origins(
        model | {"name": "ours"},
        model | {"name": "ours-cut", "builds": [{"use": "layer-drop", "keep": 1}]},
        model | {"name": "small", "builds": [{"use": "layer-drop", "keep": 1, "select": "every_k"}, "int8-dynamic"]},
        model | {"name": "named", "builds": [{"use": "int8-dynamic", "name": "our-int8"}]},
    )
    assert {name: told["parent"] for name, told in found.items()} == {
        "ours": None, "ours-cut": "ours", "small": "ours-cut", "named": "ours",
    }  # fmt: skip


def test_the_same_weights_are_one_model_wherever_they_lie(tiny_model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """A copy by a relative path is the same model; other weights in the same place are another one."""
    import shutil

    shutil.copytree(tiny_model, tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    found = origins(
        {"use": "wav2vec2", "model": str(tiny_model), "name": "here"},
        {"use": "wav2vec2", "model": "copy", "name": "there", "builds": ["bf16"]},
        "file:copy",
        {"use": "wav2vec2", "config": "base", "weights": "random", "name": "r0"},
        {"use": "wav2vec2", "config": "base", "weights": "random", "seed": 1, "name": "r1", "builds": ["fp16"]},
    )
    assert found["here"]["identity"] == found["file:copy"]["identity"]
    assert found["there"]["parent"] in {"here", "file:copy"}
    assert found["r1"]["parent"] == "wav2vec2:base-random"  # which was not measured: other random weights
    weights = tmp_path / "copy" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert origins("file:copy")["file:copy"]["identity"] != found["here"]["identity"]


def test_a_students_folder_names_its_teacher_whatever_that_is_called_here() -> None:
    """The bundled students say `wav2vec2/quickstart`, which this suite measures under another name."""
    found = origins(
        {"use": "wav2vec2/quickstart", "name": "big"},
        "wav2vec2/quickstart-6l",
        {"use": "wav2vec2/quickstart-6l", "name": "q", "builds": ["int8-dynamic"]},
    )
    assert found["wav2vec2/quickstart-6l"]["parent"] == "big"
    assert found["wav2vec2/quickstart-6l"]["ancestors"] == found["big"]["identity"]
    assert found["q"]["parent"] == "wav2vec2/quickstart-6l"
    assert origins({"use": "wav2vec2/quickstart", "name": "big"}, {"use": "wav2vec2/quickstart-6l", "name": "q",
                   "builds": ["int8-dynamic"]})["q"]["parent"] == "big"  # fmt: skip


def test_compute_types_of_one_whisper_are_builds_of_it(tmp_path: Path) -> None:
    """int8 descends from float32, and int8_float16 from float16 too; what decodes otherwise is still the same model."""
    (tmp_path / "model.bin").write_bytes(b"weights")
    model = {"use": "faster-whisper", "model": str(tmp_path)}
    found = origins(
        model | {"name": "full", "compute_type": "float32"}, model | {"name": "half", "compute_type": "float16"},
        model | {"name": "q", "compute_type": "int8", "beam_size": 5},
        model | {"name": "hq", "compute_type": "int8_float16"}, model | {"name": "stored"},
    )  # fmt: skip
    parents = {name: told["parent"] for name, told in found.items()}
    assert parents == {"full": None, "stored": None, "half": "full", "q": "full", "hq": "half"}


def test_a_suite_states_the_teacher_of_a_student_made_elsewhere() -> None:
    """By its name in the suite or a registered one, and its teacher's teachers with it."""
    found = origins(
        {"use": "null", "name": "big", "text": "a"}, {"use": "null", "name": "middle", "text": "b", "teacher": "big"},
        {"use": "null", "name": "small", "text": "c", "teacher": "middle"},
        {"use": "null", "name": "tiny", "text": "d", "teacher": "wav2vec2/base-960h"},
    )  # fmt: skip
    assert (found["small"]["parent"], found["small"]["ancestors_from"]) == ("middle", "suite")
    assert found["small"]["ancestors"] == f"{found['middle']['identity']} ; {found['big']['identity']}"
    assert found["tiny"]["ancestors"] == "name:wav2vec2/base-960h"  # whose weights are not on this machine


@pytest.mark.parametrize(
    ("teachers", "message"),
    [
        (
            {"a": "bigg"},
            r"variants.0: teacher: 'bigg' is neither a variant of this suite nor a registered one. Did you mean 'big'",
        ),
        ({"a": "wav2vec2/base-960"}, r"Did you mean 'wav2vec2/base-960h'\?"),
        ({"a": "a"}, "variants.0: teacher: 'a' would descend from itself"),
        ({"a": "big", "big": "a"}, "variants.0: teacher: 'a' would descend from itself"),
    ],
)
def test_a_teacher_that_cannot_be_meant_is_refused(teachers: dict[str, str], message: str) -> None:
    """When the suite is read, with the nearest name, as any other mistake."""
    variants = [{"use": "null", "name": name, "text": name} for name in ("a", "big")]
    with pytest.raises(InputError, match=message):
        origins(*({**v, "teacher": teachers[v["name"]]} if v["name"] in teachers else v for v in variants))


@pytest.mark.parametrize("teacher", ["big", "null/rtfx-100"])
def test_a_model_is_no_student_of_itself(teacher: str) -> None:
    """An entry that is its teacher under another name is refused, whether the teacher is in the suite or registered."""
    big, one = {"use": "null", "name": "big", "text": "a"}, {"use": "null/rtfx-100", "name": "copy", "teacher": teacher}
    copy = one if teacher != "big" else {**big, "name": "copy", "teacher": teacher}
    with pytest.raises(InputError, match=f"variants.1: teacher: '{teacher}' is the same model with the same settings"):
        origins(big, copy)


# --- what results say ------------------------------------------------------------------------------------


@pytest.fixture
def split(fake_run: FakeRun, said: list[str]) -> list[Path]:
    """A base model in one run, and in another its build and a student of it, 30 of 320 words worse."""
    worse = [text.replace("said", "sad") if i < 30 else text for i, text in enumerate(said)]
    fast = [{"rtfx": 20.0}, {"rtfx": 21.0}]
    return [
        fake_run("r1", {"variant": "ours", "identity": "w", "heard": said, "rounds": [{"rtfx": 10.0}, {"rtfx": 11.0}]}),
        fake_run(
            "r2",
            {"variant": "ours-cut", "identity": "w > cut", "parent": "wav2vec2:m", "heard": worse, "rounds": fast},
            {"variant": "made", "identity": "s", "parent": "ours", "ancestors": "w", "ancestors_from": "suite",
             "heard": worse, "rounds": fast},
        ),
    ]  # fmt: skip


def test_gate_lineage_headline_and_arrows_follow_the_identity(split: list[Path]) -> None:
    """Two runs brought together: both are held back by the gate, and the page draws and names their parent."""
    held = {str(cell[1]): reason for cell, reason in gate.outside(split).items()}
    assert held.keys() == {"ours-cut", "made"}
    assert all(reason.startswith("outside the WER margin: +9.4 pp") for reason in held.values())
    told = {line["variant"]: line["against"] for line in compression.table(all_gains(split))}
    assert told == {"ours-cut": "ours", "made": "ours (stated by the suite)"}
    found = content.load(split)
    lines = summary(found.rows, found.outside, found.gate.by_parent)
    notes = dict(zip(lines["variant"], lines["reference_note"], strict=True))
    assert notes == {"ours": None, "ours-cut": None, "made": STATED}
    from greenbench.analysis import summary as analysis_summary
    from greenbench.report import data

    facts = data.facts(lines, analysis_summary.settings(lines))
    assert dict(zip(facts["variant"], facts["parent"], strict=True)) == {
        "ours": None, "ours-cut": "ours", "made": "ours",
    }  # fmt: skip


def test_what_is_held_against_nothing_says_so(split: list[Path]) -> None:
    """Without its parent a build is ranked with that beside it, unless the gate names a reference or asks nothing."""
    alone = split[1:]
    found = content.load(alone)
    lines = summary(found.rows, found.outside, found.gate.by_parent)
    assert [sentences.standing(line)[1] for line in lines.to_dict("records")] == [NO_REFERENCE] * 2
    assert [line["notes"] for line in terminal.table(found.rows)] == [NO_REFERENCE] * 2
    for asked in (gate.Gate("none"), gate.Gate(reference="made")):
        named = content.load(alone, asked)
        assert summary(named.rows, named.outside, named.gate.by_parent)["reference_note"].isna().all()
