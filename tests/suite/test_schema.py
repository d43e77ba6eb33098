"""The JSON Schema: it accepts every suite that loads and marks a typo where it stands."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from greenbench import registry
from greenbench.suite.schema import json_schema

SUITES = sorted((Path(__file__).parents[2] / "suites").glob("*.yaml"))

WHOLE = """
name: librispeech
description: one line
protocol: {use: standard, repeats: 2}
datasets:
  - {use: librispeech, root: data/LibriSpeech, subset: test-other, limit: 20, on_bad_audio: skip}
  - {use: manifest, path: an4/test.jsonl, name: an4}
variants:
  - wav2vec2/large-960h+int8-dynamic
  - {use: wav2vec2/large-960h, name: mine, builds: [bf16]}
  - {use: wav2vec2, config: large, weights: random, name: large-random}
  - {use: faster-whisper, model: /path/or/hub-id, compute_type: int8, name: whisper-tiny.en-int8}
  - {use: "null", rtfx: 50}
devices: [cpu, "cuda:1", auto]
scenarios: [offline, single-stream, server, streaming]
streaming: {chunk_s: 0.5, pace: real-time, window: chunked, left_s: 2, right_s: 0.5, finalise: end-of-audio,
  streams: search, max_chunk_latency_s: 0.25, aligner: {use: wav2vec2, model: mine}}
server: {rate_hz: 5, latency_base_s: 1, latency_per_audio_s: 0, percentile: 95, min_queries: 9, seed: 3, max_probes: 8}
batch_sizes: [1, 8]
threads: 2
normalizer: librispeech
estimate_energy: true
meters: {codecarbon: {tdp_w: 65}}
carbon: {g_per_kwh: 56, source: "RTE", year: 2023, pue: 1.2}
price: {per_hour: 0.53, currency: USD, source: "price list"}
timeout_s: 600
"""


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    """A validator of suite files."""
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.name)
def test_our_own_suites_fit(validator, path: Path) -> None:
    """Every suite file that comes with the project is accepted."""
    validator.validate(yaml.safe_load(path.read_text()))


def test_the_documented_shape_fits(validator) -> None:
    """A suite with every key in every form is accepted."""
    validator.validate(yaml.safe_load(WHOLE))


@pytest.mark.parametrize(
    "key", ["description", "protocol", "devices", "threads", "carbon", "meters", "server", "streaming"]
)
def test_what_is_optional_may_be_left_out(validator, key: str) -> None:
    """A key with a default is not required."""
    data = yaml.safe_load(WHOLE)
    del data[key]
    validator.validate(data)


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"variant": []}, ""),
        ({"protocol": "quik"}, "protocol"),
        ({"protocol": {"use": "quick", "repeat": 1}}, "protocol"),
        ({"protocol": {"use": "quick", "repeats": 0}}, "protocol"),
        ({"devices": ["gpu"]}, "devices.0"),
        ({"scenarios": ["ofline"]}, "scenarios.0"),
        ({"normalizer": "whisper"}, "normalizer"),
        ({"carbon": {"g_per_kwh": 56, "source": "RTE", "year": 2023, "pu": 1}}, "carbon"),
        ({"price": {"per_hour": 0.53, "currency": "dollars", "source": "list"}}, "price"),
        ({"server": {"rate": 5}}, "server"),
        ({"streaming": {"chunk": 5}}, "streaming"),
        ({"server": {"percentile": 98}}, "server.percentile"),
        ({"datasets": []}, "datasets"),
        ({"datasets": [{"use": "manifest", "pth": "x"}]}, "datasets.0"),
        ({"datasets": [{"use": "librispeech", "root": ".", "subset": "test"}]}, "datasets.0"),
        ({"datasets": [{"use": "manifest", "path": "x", "limit": 0}]}, "datasets.0"),
        ({"variants": [{"use": "wav2vec"}]}, "variants.0"),
        ({"variants": [{"use": "wav2vec2/large-960"}]}, "variants.0"),
        ({"variants": [{"name": "no use"}]}, "variants.0"),
        *(
            (
                {"variants": [{"use": "wav2vec2", "model": "x", "builds": [{"use": name, "n_calibration": 0}]}]},
                "variants.0",
            )
            for name in ("heal-layers", "low-rank", "openvino-int8")
        ),
        *(
            (
                {
                    "variants": [
                        {
                            "use": "wav2vec2",
                            "model": "x",
                            "builds": [{"use": "distill", "steps": 1, "losses": {"hidden": 1}, **nested}],
                        }
                    ]
                },
                "variants.0",
            )
            for nested in (
                {"heads": {"layers": [0]}},
                {"heads": {"layer": [4]}},
                {"weighting": {"use": "adakd", "k": -1}},
            )
        ),
        ({"variants": [{"use": "faster-whisper", "model": "x", "tdp_w": 5}]}, "variants.0"),
    ],
)
def test_a_typo_is_marked(validator, changed: dict, path: str) -> None:
    """A wrong key or value is refused at its place, and nowhere else."""
    errors = list(validator.iter_errors(yaml.safe_load(WHOLE) | changed))
    assert [".".join(map(str, error.absolute_path)) for error in errors] == [path]


def test_settings_within_settings_fit(validator) -> None:
    """A training's weights and heads, also where the training is itself a setting."""
    training = {"steps": 1, "losses": {"hidden": 1}, "heads": {"layers": [4]}, "weighting": {"use": "adakd", "k": 1}}
    builds = [{"use": "distill", **training}, {"use": "prune-learned", "keep": 0.5, "distill": training}]
    validator.validate(yaml.safe_load(WHOLE) | {"variants": [{"use": "wav2vec2", "model": "x", "builds": builds}]})


@pytest.mark.parametrize("missing", ["name", "datasets", "variants"])
def test_what_every_suite_needs(validator, missing: str) -> None:
    """A suite has a name, data sets and variants."""
    data = yaml.safe_load(WHOLE)
    del data[missing]
    assert not validator.is_valid(data)


@pytest.mark.parametrize("group", ["datasets", "variants"])
def test_every_registered_plugin_is_offered(group: str) -> None:
    """Each registered data set and family has a mapping form of its own."""
    forms = json_schema()["properties"][group]["items"]["anyOf"][1:]
    assert [form["properties"]["use"]["enum"][0] for form in forms] == registry.names(group)
