"""The plan: which cells, in which order."""

from greenbench.suite import config
from greenbench.suite.plan import content_hash, digest, plan


def cells(data: dict, **values) -> list:
    return plan(config.load({**data, **values}))


def test_batch_sizes_are_for_offline_only(suite_data: dict) -> None:
    """Every batch size makes an offline cell; each other scenario is one cell at batch size 1."""
    planned = cells(suite_data, scenarios=["offline", "single-stream", "server", "streaming"], batch_sizes=[4, 8])
    assert [(c.scenario, c.batch_size) for c in planned] == [
        ("offline", 4), ("offline", 8), ("single-stream", 1), ("server", 1), ("streaming", 1),
    ]  # fmt: skip


def test_quick_runs_as_written(suite_data: dict) -> None:
    """The quick protocol keeps the order of the file, one process a cell."""
    planned = cells(suite_data, variants=["null/rtfx-100", "null/instant", "null/rtfx-20"])
    assert [c.variant.name for c in planned] == ["null/rtfx-100", "null/instant", "null/rtfx-20"]


def test_interleaved_rounds_are_seeded_shuffles_of_all_cells(suite_data: dict) -> None:
    """Each round holds every cell once in an order of its own, the same for the same seed."""
    variants = [{"use": "null", "rtfx": float(n)} for n in range(10, 18)]
    first, again = (cells(suite_data, variants=variants, protocol="standard") for _ in range(2))
    assert first == again
    rounds = [[c.variant.name for c in first if c.round == number] for number in range(5)]
    assert all(sorted(names) == sorted(rounds[0]) and len(set(names)) == 8 for names in rounds)
    assert len({tuple(names) for names in rounds}) > 1
    other = cells(suite_data, variants=variants, protocol={"use": "standard", "seed": 1})
    assert [c.variant.name for c in other] != [c.variant.name for c in first]


def test_only_matches_variant_or_label(suite_data: dict) -> None:
    """A glob picks cells by variant name or by the whole label."""
    loaded = config.load(
        {**suite_data, "variants": ["null/rtfx-100", "null/instant"], "scenarios": ["offline", "single-stream"]}
    )
    assert {c.variant.name for c in plan(loaded, "null/inst*")} == {"null/instant"}
    assert {c.scenario for c in plan(loaded, "*single-stream")} == {"single-stream"}
    assert plan(loaded, "nothing") == []


def test_a_key_that_is_new_leaves_the_digest_of_older_suites(suite_data: dict) -> None:
    """A suite that does not stream has the digest that it had before suites could; other chunks make another one."""
    loaded = config.load(suite_data)
    older = loaded.model_dump(mode="json")
    del older["streaming"]
    assert digest(older) == content_hash(loaded)
    assert content_hash(config.load({**suite_data, "streaming": {"chunk_s": 0.5}})) != content_hash(loaded)


def test_auto_is_a_device(suite_data: dict, monkeypatch) -> None:
    """`auto` becomes the accelerator where there is one, and is not run twice beside its own name."""
    monkeypatch.setattr("greenbench.hardware.environment.accelerator", lambda: "cuda")
    assert [c.device for c in cells(suite_data, devices=["auto", "cuda", "cpu"])] == ["cuda", "cpu"]


def test_a_gpu_by_two_names_runs_once(suite_data: dict) -> None:
    """`cuda` and `cuda:0` are one device; `cuda:1` is another."""
    assert [c.device for c in cells(suite_data, devices=["cuda:0", "cpu", "cuda", "cuda:1"])] == [
        "cuda:0",
        "cpu",
        "cuda:1",
    ]
