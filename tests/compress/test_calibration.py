"""Calibration speech: any data set, by its content; what is wrong with it is one line."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml

from greenbench import registry
from greenbench.compress import calibration
from greenbench.compress.openvino import OpenVinoInt8
from greenbench.errors import InputError, MissingError
from greenbench.suite.config import load
from greenbench.suite.descent import identity
from greenbench.suite.entries import VariantEntry, build_variant

LISTED = {"name": "s", "datasets": ["quickstart"]}


def build(**settings: Any) -> OpenVinoInt8:
    """Return the build as a suite makes it."""
    made = registry.create("methods", "openvino-int8", settings)
    assert isinstance(made, OpenVinoInt8)
    return made


def test_the_default_is_the_bundled_unlabelled_speech() -> None:
    """Without the setting, and with the same speech named, the same utterances of the bundled speech are taken."""
    known = build().calibrated_on()
    assert known.name == "quickstart/unlabelled"
    assert len(known.digest) == 16
    assert build(calibration={"use": "quickstart", "part": "unlabelled"}).calibrated_on() == known
    assert len({clip.speaker for clip in calibration.clips(build().calibration, 64)[0]}) > 1, "of several voices"


def test_speech_counts_by_what_is_taken_from_it_wherever_it_lies(manifest: Path, tmp_path: Path) -> None:
    """A copy in another folder is the same speech; one sample, or one utterance more to take, makes it other speech."""
    here = {"use": "manifest", "path": str(manifest)}
    copied = Path(shutil.copytree(manifest.parent, tmp_path / "copy")) / manifest.name
    there = {"use": "manifest", "path": str(copied)}

    def digest(speech: dict[str, str], *n: int) -> str:
        return calibration.described(speech, *n).digest

    said = digest(here, 2)
    assert digest(there, 2) == said
    assert digest(here, 3) != said
    assert digest(here, 2, 1) != said, "what layers are validated on decides, too"
    calibration._described.cache_clear()
    chosen, _ = calibration.clips(there, 2)
    audio, rate = soundfile.read(copied.parent / f"{chosen[0].id}.wav", dtype="int16")
    soundfile.write(copied.parent / f"{chosen[0].id}.wav", audio ^ 1, rate)
    assert digest(there, 2) != said


def test_others_are_validated_on(manifest: Path) -> None:
    """No utterance is calibrated and validated on, unless there are no others."""
    speech = {"use": "manifest", "path": str(manifest)}
    chosen, others = calibration.clips(speech, 2, 3)
    assert (len(chosen), len(others)) == (2, 3)
    assert not {clip.id for clip in chosen} & {clip.id for clip in others}
    everything, same = calibration.clips(speech, 1000, 2)
    assert {clip.id for clip in same} <= {clip.id for clip in everything}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("quickstrat", "calibration: unknown dataset 'quickstrat'. Did you mean 'quickstart'"),
        ({"use": "quickstart", "parts": "unlabelled"}, "calibration: parts: unknown key for dataset 'quickstart'"),
        ({"part": "unlabelled"}, "calibration: a data set is expected: its name, or {use: NAME, ...}"),
        (3, "calibration: "),
    ],
)
def test_a_mistake_is_one_line(given: Any, told: str) -> None:
    """The message names the setting, what is wrong, and the nearest valid name."""
    with pytest.raises(InputError) as caught:
        build(calibration=given)
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


def test_a_suites_paths_are_resolved_and_stay_out_of_names(manifest: Path, tmp_path: Path, tiny_model: Path) -> None:
    """A manifest beside the suite is found from any folder; steps name the data set, the identity its content."""
    shutil.copytree(manifest.parent, tmp_path / "speech")
    speech = {"use": "manifest", "path": f"speech/{manifest.name}"}
    chained = {"use": "wav2vec2", "model": str(tiny_model), "builds": [{"use": "openvino-int8", "calibration": speech}]}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump({**LISTED, "variants": [chained]}))
    (entry,) = load(tmp_path / "suite.yaml").variants
    assert entry.builds[0].settings["calibration"]["path"] == str(tmp_path / "speech" / manifest.name)
    variant = build_variant(entry)
    assert variant.steps == ("openvino-int8(calibration=manifest)",)
    known = variant.calibration()
    assert known is not None
    assert known.digest == build(calibration={**speech, "path": str(manifest)}).calibrated_on().digest
    step = identity(entry, variant)[-1]
    assert known.digest in step
    assert str(tmp_path) not in step


def test_speech_that_is_not_here_is_a_missing_one(tmp_path: Path, tiny_model: Path) -> None:
    """A suite that names it is read; the export is still to be made, and says what is missing."""
    speech = {"use": "manifest", "path": str(tmp_path / "gone.jsonl")}
    entry = VariantEntry(use="wav2vec2", model=str(tiny_model),
                         builds=[{"use": "openvino-int8", "calibration": speech}])  # fmt: skip
    variant = build_variant(entry)
    assert identity(entry, variant) == ()
    for call in (variant.calibration, variant.to_fetch, variant.fetch):
        with pytest.raises(MissingError, match=r"gone\.jsonl"):
            call()


def test_speech_to_download_is_known_before_anything_runs(tmp_path: Path, tiny_model: Path) -> None:
    """What would be downloaded is said with the weights', and nothing is downloaded to say so."""
    speech = {"use": "librispeech", "subset": "dev-clean-2", "root": str(tmp_path / "new")}
    entry = VariantEntry(use="wav2vec2", model=str(tiny_model),
                         builds=[{"use": "openvino-int8", "calibration": speech}])  # fmt: skip
    assert str(build_variant(entry).to_fetch()).startswith("librispeech/dev-clean-2 from ")
    assert not (tmp_path / "new").exists()
    entry = VariantEntry(use="wav2vec2", model=str(tiny_model), builds=["openvino-int8"])
    assert build_variant(entry).to_fetch() is None


@pytest.mark.slow
def test_ranges_come_from_the_speech_that_is_named(
    tiny_model: Path, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clips of the data set are what NNCF gets, and its ranges are others than those of the bundled speech."""
    pytest.importorskip("nncf", reason="not installed")
    from greenbench.compress import openvino
    from greenbench.variants.wav2vec2 import Wav2Vec2

    inputs, seen = openvino._inputs, []

    def watched(extractor: Any, clips: Any) -> Any:
        seen.append([clip.id for clip in clips])
        return inputs(extractor, clips)

    monkeypatch.setattr(openvino, "_inputs", watched)
    written = []
    for name, settings in (("own", {"calibration": {"use": "manifest", "path": str(manifest)}}), ("bundled", {})):
        model, extractor, _ = Wav2Vec2(model=str(tiny_model)).open()
        (tmp_path / name).mkdir()
        build(**settings, n_calibration=2).export(model, extractor, tmp_path / name)
        written.append((tmp_path / name / "model.bin").read_bytes())
    own = [clip.id for clip in calibration.clips({"use": "manifest", "path": str(manifest)}, 2)[0]]
    assert seen[0] == own
    assert written[0] != written[1]
