"""Early exits: entropies are their closed forms, layers run until a branch is sure, and everything else sees all."""

import math
from collections import Counter
from copy import deepcopy
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from greenbench.models import exits  # noqa: E402
from greenbench.models.edits.exits import Exits  # noqa: E402

NOISE = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))


def ran(model: Any) -> list[int]:
    """Return a list that gets the number of each layer that runs, counted from 1."""
    found: list[int] = []
    for number, layer in enumerate(model.base_model.encoder.layers, 1):
        layer.register_forward_hook(lambda *_, number=number: found.append(number))
    return found


def run(model: Any, *given: Any, **named: Any) -> Any:
    """Run a model without gradients."""
    with torch.no_grad():
        return model(*given, **named)


def with_exits(model: Any, threshold: float, over: str = "frames", after: tuple[int, ...] = (1, 2)) -> Any:
    """Give a model exits whose branches differ from each other and from the head."""
    Exits(after, threshold, over).make(model)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for branch in exits.branches(exits.of(model)).values():
            branch.lm_head.weight += torch.randn(branch.lm_head.weight.shape, generator=generator) / 4
    return model.eval()


def test_entropy_is_its_closed_form() -> None:
    """Uniform over 30 tokens it is ln 30 = 3.4012 nats, of a certain token 0; half and half ln 2."""
    uniform, certain = torch.zeros(1, 4, 30), torch.full((1, 4, 30), -math.inf)
    certain[..., 3] = 0
    halves = torch.full((1, 4, 30), -math.inf)
    halves[..., :2] = 7.0
    assert exits.mean_entropy(uniform).item() == pytest.approx(3.4012, abs=1e-4)
    assert exits.mean_entropy(certain).item() == 0
    assert exits.mean_entropy(halves).item() == pytest.approx(math.log(2))


def test_entropy_leaves_out_padding_and_blanks() -> None:
    """Of one frame that is a letter, one blank and one of padding, by hand; without letters the blanks count."""
    logits = torch.zeros(2, 3, 4)
    logits[0, 0, 1] = math.log(3)  # 1/2 and three of 1/6
    logits[0, 1, 0] = 50.0
    logits[1, :, 0] = math.log(3)
    letter = math.log(2) / 2 + math.log(6) / 2
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert exits.mean_entropy(logits, mask).tolist() == pytest.approx([letter / 2, letter], abs=1e-6)
    assert exits.mean_entropy(logits, mask, blank=0).tolist() == pytest.approx([letter, letter], abs=1e-6)


def test_without_a_sure_branch_the_model_is_as_before(small: Any) -> None:
    """With a threshold of -1 logits and hidden states are those of the plain model, bit for bit; all layers run."""
    expected = run(small, NOISE, output_hidden_states=True)
    model = with_exits(deepcopy(small), -1.0)
    numbers = ran(model)
    given = run(model, NOISE, output_hidden_states=True)
    assert torch.equal(given.logits, expected.logits)
    assert len(given.hidden_states) == len(expected.hidden_states) == 4
    assert numbers == [1, 2, 3]
    assert exits.of(model).layers_run == Counter({3: 2})


def test_the_first_sure_branch_answers(small: Any) -> None:
    """With a threshold above any entropy it is the first, on the states behind its layer; the others do not run."""
    states = run(small, NOISE, output_hidden_states=True).hidden_states
    model = with_exits(small, math.inf)
    numbers = ran(model)
    given = run(model, NOISE, output_hidden_states=True)
    assert numbers == [1]
    assert len(given.hidden_states) == 2, "the states end where the layers do"
    branch = exits.branches(exits.of(model))[1]
    assert torch.equal(given.logits, run(branch, states[1]))
    assert exits.of(model).layers_run == Counter({1: 2})


def test_a_branch_begins_as_the_last_norm_and_the_head(small: Any) -> None:
    """Behind the last layer it says what the model says: exactly where a norm follows the layers, for the other kind
    up to norming twice."""
    expected = run(small, NOISE).logits
    Exits((3,), math.inf, "frames").make(small)
    given = run(small, NOISE).logits
    if small.config.do_stable_layer_norm:
        assert torch.equal(given, expected)
    else:
        assert torch.allclose(given, expected, atol=1e-3)


def test_a_batch_leaves_with_its_last_utterance(small: Any) -> None:
    """Of two utterances one is sure after the first layer, the other after the second: together after the second."""
    model = with_exits(small, -1.0)
    layers = exits.of(model)
    with exits.leaving_never():
        given = run(model, NOISE).exits
    entropies = torch.stack([exits.mean_entropy(logits) for logits in given])  # (2 exits, 2 utterances)
    order = entropies[0].argsort()
    layers.threshold = float(entropies[0].mean())
    branch = exits.branches(layers)[2]
    with torch.no_grad():
        branch.lm_head.weight *= 1e4  # sure of everything
    numbers = ran(model)
    for utterances, expected in (([order[0]], [1]), ([order[1]], [1, 2]), (order, [1, 2])):
        numbers.clear()
        run(model, NOISE[torch.as_tensor(utterances)])
        assert numbers == expected
    assert layers.layers_run == Counter({1: 1, 2: 3})


def test_padding_says_nothing_of_how_sure_a_branch_is(small: Any) -> None:
    """A short utterance padded into a batch has, by its mask, the entropy that it has alone."""
    if small.config.feat_extract_norm == "group":
        pytest.skip("a group norm sees the padding itself")
    model = with_exits(small, -1.0)
    seen: list[Any] = []
    entropy = exits.mean_entropy

    def keep(*given: Any) -> Any:
        seen.append(entropy(*given))
        return seen[-1]

    batch, mask = NOISE.clone(), torch.ones(2, 16_000, dtype=torch.long)
    batch[1, 9_000:] = 0
    mask[1, 9_000:] = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exits, "mean_entropy", keep)
        run(model, batch, attention_mask=mask)
        run(model, batch[1:, :9_000])
    together, alone = seen[:2], seen[2:]
    for one, other in zip(together, alone, strict=True):
        assert float(one[1]) == pytest.approx(float(other[0]), rel=1e-4)


def test_other_code_sees_all_layers(small: Any) -> None:
    """Outside of a run, after one that was left and after one that failed, and the base model alone runs them all."""
    model = with_exits(small, math.inf)
    run(model, NOISE)

    def fail(*_: Any) -> None:
        raise RuntimeError("no memory")

    hook = model.base_model.encoder.layers[2].register_forward_pre_hook(fail)
    with exits.leaving_never(), pytest.raises(RuntimeError, match="no memory"):
        run(model, NOISE)
    hook.remove()
    assert len(list(model.base_model.encoder.layers)) == 3
    numbers = ran(model)
    run(model.base_model, NOISE)
    assert numbers == [1, 2, 3]


def test_within_a_block_all_models_leave_where_it_says(small: Any) -> None:
    """After a number of layers, or never with infinity; neither is counted as an utterance."""
    model = with_exits(small, math.inf)
    numbers = ran(model)
    for after, expected in ((math.inf, [1, 2, 3]), (2, [1, 2]), (1, [1])):
        numbers.clear()
        with exits.leaving_after(after):
            given = run(model, NOISE)
        assert numbers == expected
        assert len(given.exits) == min(2, after)
    assert not exits.of(model).layers_run


def test_all_branches_answer_while_they_train(small: Any) -> None:
    """No layer is left out then, also where only the branches train."""
    model = with_exits(small, math.inf)
    exits.branches(exits.of(model))[1].lm_head.train()
    exits.branches(exits.of(model))[2].lm_head.train()
    given = model(NOISE)
    assert len(given.exits) == 2
    assert all(logits.requires_grad for logits in given.exits)
    assert exits.of(model).run is None


def test_copies_are_independent(small: Any) -> None:
    """A copy made after a run has its own layers, counts and threshold."""
    model = with_exits(small, math.inf)
    model(NOISE)
    other = deepcopy(model)
    exits.of(other).threshold = -1.0
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert float(run(model, NOISE).logits.abs().sum()) > 0
    run(other, NOISE)
    assert exits.of(model).layers_run == Counter({1: 4})
    assert exits.of(other).layers_run == Counter({1: 2, 3: 2})


@pytest.mark.parametrize(
    ("after", "kind", "says"),
    [((4,), "wav2vec2", "exits: there is no layer 4 of 3"), ((1,), "sew", "exits: models of the type sew have none")],
)
def test_exits_that_cannot_be_are_one_line(small: Any, after: tuple[int, ...], kind: str, says: str) -> None:
    """A layer that is not there, and an encoder of another kind."""
    small.config.model_type = kind
    with pytest.raises(ValueError, match=says):
        Exits(after, 0.1, "labels").make(small)
