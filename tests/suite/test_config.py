"""Suite files: one shape, strictly checked, with the place and the nearest name in every complaint."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from greenbench.errors import InputError
from greenbench.suite import config, entries, protocol
from greenbench.suite.plan import content_hash, plan
from greenbench.suite.protocol import PROTOCOLS, short_form

WHOLE = """
name: librispeech
description: one line
protocol: quick
datasets:
  - {use: librispeech, root: ../shared/speech/LibriSpeech, subset: test-other, limit: 20}
  - {use: manifest, path: ../shared/speech/an4/test.jsonl}
variants:
  - wav2vec2/large-960h
  - wav2vec2/large-960h+int8-dynamic
  - {use: wav2vec2, model: some/hub-id-or-folder, name: mine, builds: [bf16]}
  - {use: wav2vec2, config: large, weights: random, name: large-random}
  - {use: faster-whisper, model: /path/or/hub-id, compute_type: int8, name: whisper-tiny.en-int8}
devices: [cpu]
scenarios: [offline, single-stream]
batch_sizes: [8]
threads: 2
normalizer: whisper-english
carbon: {g_per_kwh: 56, source: "RTE", year: 2023}
"""


@pytest.fixture
def write(tmp_path: Path):
    """Write a suite file and return its path."""

    def write(text: str, name: str = "suite.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def changed(**values) -> str:
    """The whole suite with some values replaced."""
    return yaml.safe_dump({**yaml.safe_load(WHOLE), **values})


def test_every_key_of_the_documented_shape_loads(write) -> None:
    """The documented suite loads; names, subsets and builds come out as rows will show them."""
    loaded = config.load(write(WHOLE))
    assert [d.name for d in loaded.datasets] == ["librispeech/test-other[:20]", "an4/test"]
    assert [v.name for v in loaded.variants] == [
        "wav2vec2/large-960h",
        "wav2vec2/large-960h+int8-dynamic",
        "mine",
        "large-random",
        "whisper-tiny.en-int8",
    ]
    assert loaded.carbon is not None
    assert loaded.carbon.g_per_kwh == 56


def test_loading_a_loaded_suite_changes_nothing(write) -> None:
    """Resolving is idempotent, so what a worker or a resumed run loads is what was planned."""
    loaded = config.load(write(WHOLE))
    assert config.load(loaded) == loaded
    assert config.load(loaded.model_dump(mode="json")) == loaded


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ({"length_buckets": 4}, ["an4/test/short", "an4/test/medium", "an4/test/long", "an4/test/longer"]),
        ({"length_buckets": 2, "name": "mine"}, ["mine/length-1-of-2", "mine/length-2-of-2"]),
        ({"length_buckets": 4, "length_bucket": 3}, ["an4/test/long"]),
        ({"length_buckets": 4, "length_bucket": 3, "name": "mine"}, ["mine"]),
        ({"length_buckets": 4, "length_bucket": 4, "limit": 32}, ["an4/test/longer of 32"]),
        ({"limit": 32}, ["an4/test[:32]"]),
    ],
)
def test_length_buckets_are_data_sets_of_their_own(write, entry: dict, names: list[str]) -> None:
    """An entry with length buckets becomes one entry a bucket, each with its name, and loading them again the same."""
    manifest = {"use": "manifest", "path": "an4/test.jsonl"}
    loaded = config.load(write(changed(datasets=[manifest | entry])))
    assert [d.name for d in loaded.datasets] == names
    assert {d.length_buckets for d in loaded.datasets} == {entry.get("length_buckets")}
    assert config.load(loaded) == loaded


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"variant": []}, r"suite.yaml:\d+: variant: unknown key. Did you mean 'variants'\?"),
        ({"threads": "two"}, r"suite.yaml:\d+: threads: a whole number is expected \(got 'two'\)"),
        ({"threads": 0}, r"suite.yaml:\d+: threads: at least 1 is expected"),
        ({"batch_sizes": [0]}, r"suite.yaml:\d+: batch_sizes: a batch size is at least 1"),
        ({"scenarios": ["ofline"]}, "scenarios.0: 'offline', 'single-stream', 'server' or 'streaming' is expected"),
        ({"devices": ["gpu"]}, r"suite.yaml:\d+: devices: unknown device 'gpu'. Valid: auto, cpu, cuda"),
        ({"normalizer": "whisper"}, r"suite.yaml:\d+: normalizer: .*'whisper'. Did you mean 'whisper-basic'\?"),
        ({"protocol": "quik"}, r"suite.yaml:\d+: protocol: unknown protocol 'quik'. Did you mean 'quick'\?"),
        ({"protocol": {"use": "quick", "repeat": 1}}, r"protocol: unknown step 'repeat'. Did you mean 'repeats'\?"),
        ({"protocol": {"use": "quick", "repeats": "1"}}, r"protocol: repeats: a whole number is expected"),
        ({"protocol": {"use": "quick", "repeats": 0}}, r"protocol: repeats: at least 1 is expected"),
        (
            {"carbon": {"g_per_kwh": 56, "source": "RTE", "year": 1, "sorce": "RTE"}},
            r"carbon.sorce: unknown key. Did you mean 'source'",
        ),
        ({"variants": ["wav2vec2/large-960"]}, r"variants.0: unknown variant .* Did you mean 'wav2vec2/large-960h'"),
        (
            {"variants": ["wav2vec/base-960h"]},
            r"variants.0: unknown variant 'wav2vec/base-960h'. Did you mean 'wav2vec2/base-960h'",
        ),
        (
            {"variants": ["wav2vec2/base-960h+int8-dynamc"]},
            r"variants.0: unknown method .* Did you mean 'int8-dynamic'",
        ),
        (
            {"variants": [{"use": "wav2vec2/base-960h", "builds": [{"use": "layer-drop", "kep": 4}]}]},
            r"variants.0: kep: unknown key for method 'layer-drop'. Did you mean 'keep'\?",
        ),
        (
            {"variants": ["wav2vec2/base-960h+layer-drop"]},
            "variants.0: give `keep`, or the layers as `list`",
        ),
        ({"variants": ["faster-whisper/tiny.en+bf16"]}, "variants.0: builds: faster-whisper variants take none"),
        ({"variants": [{"use": "wav2vec2", "modle": "x"}]}, r"variants.0: modle: unknown key .* mean 'model'\?"),
        ({"variants": [{"use": "wav2vec2"}]}, "variants.0: give `model`"),
        ({"variants": [{"use": "wav2vec2", "config": "large"}]}, "variants.0: give `model`"),
        ({"variants": []}, "variants: at least 1 is expected"),
        ({"variants": "wav2vec2/base-960h"}, "variants: a list is expected"),
        ({"variants": ["null/instant", "null/instant"]}, "variants.1: two entries are named 'null/instant'"),
        (
            {"datasets": [{"use": "quickstart", "name": name} for name in ("caf\u00e9", "cafe\u0301")]},
            "datasets.1: two entries are named",
        ),
        ({"datasets": [{"use": "librispeach", "root": "."}]}, r"datasets.0: .* Did you mean 'librispeech'\?"),
        (
            {"datasets": [{"use": "librispeech", "root": ".", "subset": "test"}]},
            "datasets.0: subset: 'dev-clean', 'dev-other'",
        ),
        (
            {"datasets": [{"use": "manifest", "path": "x", "limit": "5"}]},
            r"datasets.0.limit: a whole number is expected",
        ),
        ({"datasets": [{"use": "manifest"}]}, "datasets.0: path: "),
        (
            {"datasets": [{"use": "manifest", "path": "x", "length_bucket": 1}]},
            "datasets.0: length_bucket: 1 is not among no length_buckets",
        ),
        (
            {"datasets": [{"use": "manifest", "path": "x", "length_buckets": 4, "length_bucket": 5}]},
            "datasets.0: length_bucket: 5 is not among 4 length_buckets",
        ),
        (
            {"datasets": [{"use": "manifest", "path": "x", "length_buckets": 1}]},
            "datasets.0.length_buckets: at least 2",
        ),
        ({"meters": {"codecarbon": {"tdp": 65}}}, r"meters.codecarbon: tdp: unknown key .* mean 'tdp_w'\?"),
        ({"server": {"rate": 5}}, r"suite.yaml:\d+: server.rate: unknown key. Did you mean 'rate_hz'\?"),
        ({"server": {"rate_hz": 0}}, r"suite.yaml:\d+: server.rate_hz: more than 0 is expected"),
        ({"streaming": {"chunk": 1}}, r"suite.yaml:\d+: streaming.chunk: unknown key. Did you mean 'chunk_s'\?"),
        ({"streaming": {"aligner": "null/instant"}}, "streaming.aligner: name a variant of wav2vec2 without builds"),
        ({"streaming": {"aligner": "wav2vec2/quickstart+bf16"}}, "streaming.aligner: name a variant of wav2vec2 witho"),
        ({"streaming": {"aligner": "wav2vec2/quick"}}, "streaming.aligner: unknown variant 'wav2vec2/quick'"),
        ({"streaming": {"chunk_s": 0}}, r"suite.yaml:\d+: streaming.chunk_s: at least 0.01 is expected"),
        (
            {"streaming": {"streams": 0}},
            r"suite.yaml:\d+: streaming.streams: a whole number .*, or search, is expected",
        ),
        ({"streaming": {"streams": "all"}}, r"streams: a whole number .* or search, is expected \(got 'all'\)$"),
        ({"streaming": {"pace": "fast"}}, r"suite.yaml:\d+: streaming.pace: 'simulated' or 'real-time' is expected"),
        ({"server": {"percentile": 98}}, r"suite.yaml:\d+: server.percentile: 90, 95 or 99 is expected"),
        ({"name": "../up"}, "name: letters, digits, .* are expected"),
    ],
)
def test_a_mistake_is_one_line_with_file_path_and_remedy(write, values: dict, message: str) -> None:
    """Each mistake gives one line naming the file, the path inside it and what to write instead."""
    with pytest.raises(InputError, match=message) as caught:
        config.load(write(changed(**values)))
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.exit_code == 2


def test_entries_may_share_settings_by_an_anchor(tmp_path: Path) -> None:
    """YAML's merge key copies settings; what is given beside it wins; a key given twice is still refused."""
    path = tmp_path / "suite.yaml"
    path.write_text(
        "name: s\ndatasets: [quickstart]\nvariants:\n"
        "  - &a {use: wav2vec2, config: base, weights: random}\n"
        "  - {<<: *a, config: large, builds: [bf16]}\n"
    )
    first, second = config.load(path).variants
    assert (first.settings["config"], second.settings["config"]) == ("base", "large")
    assert second.settings["weights"] == "random"
    path.write_text(path.read_text().replace("config: large,", "config: large, config: base,"))
    with pytest.raises(InputError, match="key 'config' is given twice"):
        config.load(path)


def test_several_mistakes_are_a_line_each(write) -> None:
    """All mistakes are reported at once, not one a run."""
    with pytest.raises(InputError) as caught:
        config.load(write(changed(variants=["wav2vec2/nothing-like", "null/instantt"])))
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nname: b\n", "suite.yaml:2: not valid YAML: key 'name' is given twice"),
        ("name: [", "suite.yaml:1: not valid YAML"),
        ("- a\n", "suite.yaml: a suite is a mapping"),
        ("", "suite.yaml: a suite is a mapping"),
    ],
)
def test_what_is_no_suite_says_so(write, text: str, message: str) -> None:
    """YAML that is broken, ambiguous or not a mapping gives one line with its place."""
    with pytest.raises(InputError, match=message):
        config.load(write(text))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    """A suite that does not exist is bad input, not a traceback."""
    with pytest.raises(InputError, match="cannot read the suite: No such file"):
        config.load(tmp_path / "none.yaml")


def test_the_suite_folder_wins_over_the_working_directory(write, tmp_path: Path, monkeypatch) -> None:
    """A relative path is taken beside the suite file if it exists there, else from the working directory."""
    here, there = tmp_path, tmp_path / "cwd"
    there.mkdir()
    monkeypatch.chdir(there)
    text = changed(datasets=[{"use": "manifest", "path": "both.jsonl"}, {"use": "manifest", "path": "cwd.jsonl"}])
    for path in (here / "both.jsonl", there / "both.jsonl", there / "cwd.jsonl"):
        path.touch()
    beside, from_cwd = config.load(write(text)).datasets
    assert beside.settings["path"] == str(here / "both.jsonl")
    assert from_cwd.settings["path"] == str(there / "cwd.jsonl")


def test_set_replaces_single_values(write) -> None:
    """--set reaches into lists and mappings, adds keys, and reads its value as YAML."""
    path = write(WHOLE)
    loaded = config.load(path, ["datasets.0.limit=5", "threads=1", "carbon.pue=1.2", "scenarios=[offline]"])
    assert loaded.datasets[0].limit == 5
    assert loaded.datasets[0].name == "librispeech/test-other[:5]"
    assert (loaded.threads, loaded.scenarios) == (1, ["offline"])
    assert loaded.carbon is not None
    assert loaded.carbon.pue == 1.2


def test_set_reaches_into_what_is_short_or_left_out(write) -> None:
    """--set changes a step of a protocol that is a mere name, an entry that is a mere name, and a mapping left out."""
    text = yaml.safe_dump({key: value for key, value in yaml.safe_load(WHOLE).items() if key != "carbon"})
    carbon = ["carbon.g_per_kwh=56", "carbon.source=RTE", "carbon.year=2023"]
    price = ["price.per_hour=0.5", "price.currency=EUR", "price.source=list"]
    others = ["meters={codecarbon: {tdp_w: 65}}", "server.percentile=90", "streaming.chunk_s=0.5"]
    loaded = config.load(write(text), ["protocol.repeats=1", "variants.0.name=first", *others, *carbon, *price])
    assert loaded.server.percentile == 90
    assert loaded.streaming.chunk_s == 0.5
    assert short_form(loaded.protocol) == {"use": "quick", "repeats": 1}
    assert loaded.variants[0].name == "first"
    assert loaded.meters == {"codecarbon": {"tdp_w": 65}}
    assert loaded.carbon is not None
    assert (loaded.price.per_hour, loaded.price.currency) == (0.5, "EUR")


def test_set_has_the_last_word(write) -> None:
    """A value given by --set stands, whatever the options for the whole suite say of it."""
    changes = {"protocol": "standard", "limit": 3}
    loaded = config.load(write(WHOLE), ["protocol.rounds=2", "datasets.1.limit=9"], changes)
    assert short_form(loaded.protocol) == {"use": "standard", "rounds": 2}
    assert [d.limit for d in loaded.datasets] == [3, 9]


def test_a_protocol_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite's steps are parsed when it is loaded; its defaults, its plan and its digest take them as they are."""
    built: list[str] = []
    adapter = protocol.TypeAdapter
    monkeypatch.setattr(protocol, "TypeAdapter", lambda of: built.append("once") or adapter(of))
    loaded = config.load({**yaml.safe_load(WHOLE), "protocol": {"use": "quick", "window_s": 1}})
    plan(loaded), content_hash(loaded), config.load(loaded)
    assert built == ["once"]
    assert (loaded.protocol.window_s, loaded.protocol.repeats) == (1.0, 3)


@pytest.mark.parametrize("stated", ["quick", {"use": "quick"}, {"repeats": 3}, {"use": "quick", "window_s": 2.0}])
def test_protocols_with_the_same_steps_are_one(stated: str | dict) -> None:
    """However a suite spells the steps of quick out, it measures the same, and says so by one digest."""
    loaded = config.load({**yaml.safe_load(WHOLE), "protocol": stated})
    assert loaded.protocol == PROTOCOLS["quick"]
    assert loaded.model_dump(mode="json")["protocol"] == {"use": "quick"}
    assert content_hash(loaded) == content_hash(config.load(yaml.safe_load(WHOLE)))


@pytest.mark.parametrize("given", [3, None, ["quick"]], ids=str)
def test_a_protocol_is_a_name_or_a_mapping(given: object) -> None:
    """Anything else is refused in the words of the other mappings."""
    with pytest.raises(InputError, match="protocol: a mapping is expected"):
        config.load({**yaml.safe_load(WHOLE), "protocol": given})


def test_a_protocols_name_is_a_text() -> None:
    """What cannot be a name at all is an unknown protocol, not a crash."""
    with pytest.raises(InputError, match="unknown protocol"):
        config.load({**yaml.safe_load(WHOLE), "protocol": {"use": ["quick"]}})


def test_overriding_leaves_the_callers_mapping_alone() -> None:
    """A suite given as a mapping is not changed by overrides."""
    data = yaml.safe_load(WHOLE)
    config.load(data, ["datasets.0.limit=5", "carbon.year=2024"])
    assert data == yaml.safe_load(WHOLE)


@pytest.mark.parametrize(
    "override", ["datasets.7.limit=5", "nothing.there=1", "threads", "name.first=x", "datasets.x=1"]
)
def test_set_refuses_paths_that_do_not_exist(write, override: str) -> None:
    """A --set that hits nothing is an error that repeats it, never silently ignored."""
    with pytest.raises(InputError, match=f"--set {override}"):
        config.load(write(WHOLE), [override])


def test_options_change_the_whole_suite(write) -> None:
    """--limit, --device, --protocol and --estimate-energy replace what the file says."""
    changes = {"limit": 3, "device": "cuda:0", "protocol": "standard", "estimate_energy": True}
    loaded = config.load(write(WHOLE), changes=changes)
    assert [d.limit for d in loaded.datasets] == [3, 3]
    assert loaded.devices == ["cuda:0"]
    assert short_form(loaded.protocol) == {"use": "standard"}
    assert loaded.estimate_energy


def test_null_needs_no_quotes(write) -> None:
    """`use: null` means the null family, although YAML reads None."""
    loaded = config.load(write(changed(variants=[{"use": None, "rtfx": 50.0}])))
    assert loaded.variants[0].name == "null:rtfx-50"


def test_a_build_may_have_settings(write) -> None:
    """A build in mapping form takes settings, and the variant's default name shows them."""
    entry = {"use": "wav2vec2/base-960h", "builds": [{"use": "layer-drop", "keep": 4}, "int8-dynamic"]}
    loaded = config.load(write(changed(variants=[entry])))
    assert loaded.variants[0].name == "wav2vec2/base-960h+layer-drop(keep=4)+int8-dynamic"
    variant = entries.build_variant(loaded.variants[0])
    assert variant.parent == "wav2vec2/base-960h"
    assert variant.steps == ("layer-drop(keep=4)", "int8-dynamic")
    assert config.load(loaded) == loaded


def test_the_hash_follows_the_content(write) -> None:
    """The digest ignores name and description, and changes with anything that is measured."""
    base = content_hash(config.load(write(WHOLE)))
    assert content_hash(config.load(write(changed(name="other", description="another")))) == base
    assert content_hash(config.load(write(changed(threads=1)))) != base
    assert content_hash(config.load(write(WHOLE), ["datasets.0.limit=5"])) != base


def test_a_typo_never_imports_torch(write) -> None:
    """Checking every name of a suite costs no heavy library, whatever builds the other entries have."""
    beside = {"use": "wav2vec2", "config": "base", "weights": "random", "each": ["bf16", "int8-dynamic", "openvino"]}
    path = write(changed(variants=["wav2vec2/large-960hh", beside]))
    code = (
        "import sys\nfrom greenbench.cli import main\n"
        f"sys.argv = ['greenbench', 'run', {str(path)!r}]\n"
        "try:\n    main()\nexcept SystemExit as error:\n    assert error.code == 2, error.code\n"
        "heavy = {'torch', 'transformers', 'openvino', 'pandas', 'codecarbon', 'ctranslate2', 'scipy'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Did you mean 'wav2vec2/large-960h'?" in done.stderr


def test_what_is_wrong_in_keys_steps_and_entries_is_said_at_once() -> None:
    """A wrong key hides neither a wrong step, nor a wrong name or setting of a data set or variant."""
    suite = {
        "name": "wrong", "bogus": 1, "protocol": {"use": "quick", "foo": 1, "bar": 2, "window_s": -1},
        "datasets": ["quickstrt", {"use": "quickstart", "limit": 0}],
        "variants": [
            "nul/rtfx-100", {"use": "wav2vec2", "modle": "x"}, {"use": "wav2vec2/quickstart", "builds": ["bf"]},
        ],
        "devices": ["gpu"], "batch_sizes": [0],
    }  # fmt: skip
    with pytest.raises(InputError) as told:
        config.load(suite)
    lines = str(told.value).splitlines()
    for words in (
        "bogus: unknown key", "unknown step 'foo'", "unknown step 'bar'", "window_s: at least 0", "datasets.0: ",
        "datasets.1.limit: at least 1", "variants.0: ", "variants.1: modle: ", "variants.2: ", "unknown device 'gpu'",
        "batch_sizes: ",
    ):  # fmt: skip
        assert [words in line for line in lines].count(True) == 1, words
