"""Calibration speech: any data set, by its content; what is wrong with it is one line."""

import shutil
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from greenbench import registry
from greenbench.compress import calibration
from greenbench.compress.calibration import BUNDLED
from greenbench.compress.layers import LayerDrop
from greenbench.compress.openvino import OpenVinoInt8
from greenbench.compress.probe import probe
from greenbench.datasets.nested import NamedSpeech
from greenbench.errors import InputError, MissingError
from greenbench.plugins import CalibrationData, Context
from greenbench.recipes import origin
from greenbench.suite.config import load
from greenbench.suite.descent import identity
from greenbench.suite.entries import VariantEntry, build_variant

torch = pytest.importorskip("torch")

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


def test_every_method_with_calibration_speech_refuses_to_look_at_nothing() -> None:
    """Of all that are registered, in a suite and from Python alike; by position its own settings come first."""
    needed: dict[str, dict[str, Any]] = {
        "elastic": {"distill": {"steps": 1}, "layers": [1]},
        "layer-drop": {"keep": 1},
        "prune-ffn": {"keep": 0.5},
        "thin-conv": {"keep": 0.5},
    }
    calibrated = [
        name for name in registry.names("methods") if hasattr(registry.load("methods", name), "n_calibration")
    ]
    assert {"heal-layers", "low-rank", "openvino-int8", "product-twins", "prune-heads", *needed} <= {*calibrated}
    for name in calibrated:
        with pytest.raises(InputError, match=r"^n_calibration: give at least 1"):
            registry.create("methods", name, {**needed.get(name, {}), "n_calibration": 0})
        with pytest.raises(ValueError, match=r"^n_calibration: give at least 1"):
            registry.load("methods", name)(**needed.get(name, {}), n_calibration=0)
    assert LayerDrop(2).keep == 2


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
    (known,) = variant.calibration()
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
    from greenbench.variants.wav2vec2 import Wav2Vec2

    inputs, seen = calibration.inputs, []

    def watched(extractor: Any, clips: Any) -> Any:
        seen.append([clip.id for clip in clips])
        return inputs(extractor, clips)

    monkeypatch.setattr(calibration, "inputs", watched)
    written = []
    for name, settings in (("own", {"calibration": {"use": "manifest", "path": str(manifest)}}), ("bundled", {})):
        model, extractor, _ = Wav2Vec2(model=str(tiny_model)).open()
        (tmp_path / name).mkdir()
        build(**settings, n_calibration=2).export(model, extractor, tmp_path / name)
        written.append((tmp_path / name / "model.bin").read_bytes())
    own = [clip.id for clip in calibration.clips({"use": "manifest", "path": str(manifest)}, 2)[0]]
    assert seen[0] == own
    assert written[0] != written[1]


@dataclass(frozen=True)
class Listening:
    """A method that only keeps what calibration gives it."""

    calibration: NamedSpeech = field(default_factory=lambda: dict(BUNDLED))
    n_calibration: int = 3

    def unsupported(self, device: str) -> str | None:
        return None

    def calibrated_on(self) -> CalibrationData:
        return calibration.described(self.calibration, self.n_calibration)

    def __call__(self, model: Any, context: Context) -> Any:
        model.kept = calibration.speech_for(model, context, self.calibration, self.n_calibration)
        return model


def test_a_chained_method_gets_the_speech_as_the_model_reads_it(tiny_model: Path) -> None:
    """Each utterance alone, as its feature extractor makes it; what was taken is named, whatever else is chained."""
    from transformers import AutoFeatureExtractor

    from greenbench.variants.wav2vec2 import Wav2Vec2

    method = Listening()
    variant = Wav2Vec2(model=str(tiny_model))("v", [("listening", method), ("int8", build(n_calibration=2))])
    assert variant.calibration() == [method.calibrated_on(), build(n_calibration=2).calibrated_on()]
    alone = Wav2Vec2(model=str(tiny_model))("v", [("listening", method)])
    extractor = AutoFeatureExtractor.from_pretrained(tiny_model)
    clips = calibration.clips(BUNDLED, 3)[0]
    for inputs, clip in zip(alone.load("cpu").model.kept, clips, strict=True):
        expected = extractor(clip.read(), sampling_rate=16_000, return_tensors="pt")["input_values"]
        assert torch.equal(inputs["input_values"], expected)


def test_without_a_feature_extractor_speech_cannot_be_read(tiny_model: Path) -> None:
    """A method that is called with a model alone says what it lacks, in a line."""
    from greenbench.variants.wav2vec2 import Wav2Vec2

    with pytest.raises(InputError, match="give `extractor` in the context"):
        Listening()(Wav2Vec2(model=str(tiny_model)).open()[0], Context())


def test_a_students_lineage_names_the_speech_by_its_digest(manifest: Path) -> None:
    """Its settings hold the data set's name and digest, and no path; a setting that is not used is empty."""
    method = Listening({"use": "manifest", "path": str(manifest)}, 2)
    settings = origin.settings(method)
    assert settings == {"calibration": str(method.calibrated_on()), "n_calibration": 2}
    assert str(manifest.parent) not in str(settings)


def test_the_probe_is_zero_for_the_same_model_and_a_divergence_for_another(tiny_model: Path) -> None:
    """Of two models it is the mean over all frames of sum p log(p / q), computed here frame by frame in float64."""
    from greenbench.variants.wav2vec2 import Wav2Vec2

    model, extractor, _ = Wav2Vec2(model=str(tiny_model)).open()
    other = deepcopy(model).eval()
    with torch.no_grad():
        other.lm_head.weight.add_(torch.randn(other.lm_head.weight.shape, generator=torch.Generator().manual_seed(0)))
    speech = calibration.speech_for(model, Context(extractor=extractor), BUNDLED, 2)
    assert probe(model, model, speech) == 0
    found = []
    for inputs in speech:
        with torch.no_grad():
            p, q = (m(**inputs).logits[0].double().softmax(-1).numpy() for m in (model, other))
        found += [sum(p[t] * np.log(p[t] / q[t])) for t in range(len(p))]
    assert probe(other, model, speech) == pytest.approx(np.mean(found), rel=1e-4)
    assert probe(other, model, speech) > 0.01
