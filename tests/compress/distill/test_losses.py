"""Losses of distillation agree with their definitions, and padding does not count."""

import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from greenbench.compress.distill.losses import LOSSES, Outputs, Target, combine, drawn  # noqa: E402
from greenbench.compress.distill.settings import HIDDEN_LOSSES, LOSS_NAMES  # noqa: E402


@pytest.fixture
def target() -> Target:
    """A teacher of two utterances, six frames and four tokens, of which the second utterance has three frames."""
    torch.manual_seed(0)
    teacher = Outputs(torch.randn(2, 6, 4), hidden=[torch.randn(2, 6, 8) for _ in range(5)])
    mask = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    return Target(teacher, mask, [torch.tensor([1, 2]), torch.tensor([3])], blank=0, temperature=1.0)


def student(seed: int = 1) -> Outputs:
    """Return a student of two layers, with an exit behind the first."""
    generator = torch.Generator().manual_seed(seed)
    logits, features = (torch.randn(2, 6, n, generator=generator) for n in (4, 5))
    hidden = [torch.randn(2, 6, 8, generator=generator) for _ in range(3)]
    return Outputs(logits, features, hidden, [torch.randn(2, 6, 4, generator=generator)])


def test_every_name_has_a_loss() -> None:
    """The names that a recipe may give are those that exist."""
    assert set(LOSSES) == set(LOSS_NAMES)


def test_kl_is_its_sum(target: Target) -> None:
    """The divergence of each valid frame by hand, summed, over two utterances."""
    ours = student()
    by_hand = 0.0
    for b, t in [(0, t) for t in range(6)] + [(1, t) for t in range(3)]:
        p, q = target.teacher.logits[b, t].softmax(-1), ours.logits[b, t].softmax(-1)
        by_hand += sum(float(p[k]) * math.log(float(p[k]) / float(q[k])) for k in range(4))
    assert float(LOSSES["kl"](ours, target).sum()) == pytest.approx(by_hand / 2, rel=1e-5)


def test_a_temperature_softens_and_is_made_good(target: Target) -> None:
    """At a high temperature T^2 KL tends to half of the squared distance of the centred logits over the tokens."""
    ours, hot = student(), Target(target.teacher, target.mask, target.labels, 0, 100.0)
    distance = ours.logits - target.teacher.logits
    centred = distance - distance.mean(-1, keepdim=True)
    expected = (centred.square().mean(-1) / 2 * target.mask).sum() / 2
    assert float(LOSSES["kl"](ours, hot).sum()) == pytest.approx(float(expected), rel=3e-2)


@pytest.mark.parametrize("name", ["kl", "kl_near_labels", "one_best", *HIDDEN_LOSSES])
def test_a_student_like_its_teacher_has_nothing_to_learn(target: Target, name: str) -> None:
    """The loss of the teacher itself has no gradient: it is at its least."""
    logits = target.teacher.logits.clone().requires_grad_()
    hidden = [h.clone().requires_grad_() for h in target.teacher.hidden]
    loss = LOSSES[name](Outputs(logits, None, hidden), target).sum()
    loss.backward()
    if name in HIDDEN_LOSSES:
        worse = LOSSES[name](Outputs(logits, None, [h + 0.1 * torch.randn_like(h) for h in hidden]), target)
        assert worse.sum() > loss
    else:
        assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
        assert logits.grad.abs().max() < 1e-6


@pytest.mark.parametrize("name", LOSSES)
def test_padding_does_not_count(target: Target, name: str) -> None:
    """Whatever stands in the frames of padding, the loss is the same."""
    ours, other = student(1), student(1)
    for tensor in (other.logits, other.features, *other.hidden, *other.exits):
        tensor[1, 3:] = 99.0
    assert LOSSES[name](ours, target).tolist() == pytest.approx(LOSSES[name](other, target).tolist(), rel=1e-6)


def test_near_labels_leaves_blank_stretches_out() -> None:
    """Only frames within two of a label count: of ten frames with a label at the second, the first four."""
    logits = torch.zeros(1, 10, 3)
    logits[:, :, 0] = 5.0
    logits[0, 1] = torch.tensor([0.0, 5.0, 0.0])
    target = Target(Outputs(logits), torch.ones(1, 10, dtype=torch.bool), [], 0, 1.0)
    ours = torch.zeros(1, 10, 3, requires_grad=True)
    LOSSES["kl_near_labels"](Outputs(ours), target).sum().backward()
    assert [bool(frame.abs().sum() > 0) for frame in ours.grad[0]] == [True] * 4 + [False] * 6


def compared(tokens: list[int], sure: list[float]) -> list[bool]:
    """Return which frames ``one_best`` compares, of a teacher whose frames have these best tokens, so sure of them."""
    teacher = torch.nn.functional.one_hot(torch.tensor([tokens]), 3) * torch.tensor([sure])[..., None]
    target = Target(Outputs(teacher), torch.tensor([[True] * 7 + [False] * 3]), [], 0, 1.0)
    ours = torch.zeros(1, 10, 3, requires_grad=True)
    LOSSES["one_best"](Outputs(ours), target).sum().backward()
    return [bool(frame.abs().sum() > 0) for frame in ours.grad[0]]


@pytest.mark.parametrize(
    ("tokens", "sure", "frames"),
    [
        ([0, 0, 1, 1, 1, 0, 0, 0, 0, 0], [9, 9, 2, 3, 2, 9, 9, 9, 9, 9], [1, 3, 5]),  # the surest of three, and blanks
        ([0, 0, 1, 1, 2, 0, 0, 0, 0, 0], [9, 9, 3, 3, 2, 9, 9, 9, 9, 9], [1, 2, 4, 5]),  # the first of two alike
        ([1, 0, 1, 0, 0, 0, 1, 1, 1, 1], [3, 9, 3, 9, 9, 9, 3, 5, 5, 5], [0, 1, 2, 3, 5, 6]),  # twice; padding is none
        ([0] * 10, [9] * 10, []),
    ],
)
def test_one_best_takes_each_label_once_and_the_blanks_beside_it(
    tokens: list[int], sure: list[float], frames: list[int]
) -> None:
    """By hand, for a teacher that stays on labels for several frames, goes from one to the next, or says nothing."""
    assert [t for t, counts in enumerate(compared(tokens, [float(s) for s in sure])) if counts] == frames


def test_one_best_is_kl_where_every_frame_is_on_the_path(target: Target) -> None:
    """A teacher of peaks, a blank beside each: the sum over all valid frames is that of kl, temperature included."""
    logits = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(7))
    logits[:, :, 0], logits[:, 1::3, 0], logits[:, 1::3, 1] = 6.0, 0.0, 6.0
    peaked = replace(target, teacher=Outputs(logits), temperature=2.0)
    both = [LOSSES[name](student(), peaked).tolist() for name in ("kl", "one_best")]
    assert both[0] == pytest.approx(both[1], rel=1e-6)


def test_hidden_cos_is_the_angle(target: Target) -> None:
    """0 for states of one direction, 1 for right angles, 2 for opposite ones, whatever their lengths."""
    axes = [torch.eye(8)[n].expand(2, 6, 8) for n in range(2)]
    for ours, expected in ((5 * axes[0], 0.0), (axes[1], 1.0), (-0.1 * axes[0], 2.0)):
        one = replace(target, teacher=Outputs(target.teacher.logits, hidden=[axes[0], axes[0]]))
        found = LOSSES["hidden_cos"](Outputs(target.teacher.logits, hidden=[ours, ours]), one)
        assert found.tolist() == pytest.approx([expected * 6 / 9, expected * 3 / 9], abs=1e-6)


def test_gram_is_gatys_formula(target: Target) -> None:
    """Entry by entry for an utterance; the order of frames does not matter, the sign of one feature does."""
    ours, theirs = student().hidden, target.teacher.hidden
    paired = replace(target, layers={2: 4})
    by_hand = []
    for b, n in ((0, 6), (1, 3)):
        a, c = (h[b, :n].double() for h in (ours[2], theirs[4]))
        total = sum(float(a[:, i] @ a[:, j] - c[:, i] @ c[:, j]) ** 2 for i in range(8) for j in range(8))
        by_hand.append(total / (4 * 8**2 * n**2) / 2)
    assert LOSSES["gram"](student(), paired).tolist() == pytest.approx(by_hand, rel=1e-5)
    moved = Outputs(ours[0], None, [h.flip(1) for h in theirs])
    alone = replace(paired, layers={4: 4}, mask=torch.ones(2, 6, dtype=torch.bool))
    assert LOSSES["gram"](moved, alone).tolist() == pytest.approx([0, 0], abs=1e-10)
    turned = Outputs(ours[0], None, [h * torch.tensor([-1.0] + [1] * 7) for h in theirs])
    assert min(LOSSES["gram"](turned, alone).tolist()) > 1e-3


def test_ctc_is_torchs(target: Target) -> None:
    """The loss of each utterance alone, over its own frames, mean over two."""
    ours, alone = student(), []
    for b, n in ((0, 6), (1, 3)):
        log_probs = ours.logits[b : b + 1, :n].log_softmax(-1).transpose(0, 1)
        label = target.labels[b][None]
        alone.append(torch.nn.functional.ctc_loss(log_probs, label, [n], [label.shape[1]], reduction="sum"))
    assert float(LOSSES["ctc"](ours, target).sum()) == pytest.approx(float(sum(alone)) / 2, rel=1e-5)


def test_the_total_is_weighted_and_its_parts_are_not(target: Target) -> None:
    """2 kl + 0.5 feature_penalty."""
    total, parts = combine({"kl": 2.0, "feature_penalty": 0.5}, student(), target)
    assert float(total) == pytest.approx(2 * parts["kl"] + 0.5 * parts["feature_penalty"])


@pytest.mark.parametrize("name", LOSSES)
def test_each_utterance_has_a_share_of_its_own(target: Target, name: str) -> None:
    """What one utterance is like changes its own number and no other; a weight multiplies it."""
    ours, other = student(1), student(1)
    for tensor in (other.logits, other.features, *other.hidden, *other.exits):
        tensor[1] = torch.randn(tensor[1].shape, generator=torch.Generator().manual_seed(5))
    shares, changed = LOSSES[name](ours, target), LOSSES[name](other, target)
    assert shares.shape == (2,)
    assert (shares[0] == changed[0], shares[1] == changed[1]) == (True, False)


def test_weights_move_from_the_teacher_to_the_transcript() -> None:
    """An utterance of weight 0.25 counts a quarter for kl, three quarters for ctc, whole for the penalty."""
    torch.manual_seed(0)
    teacher, mask = Outputs(torch.randn(2, 6, 4)), torch.ones(2, 6, dtype=torch.bool)
    target = Target(teacher, mask, [torch.tensor([1, 2]), torch.tensor([3])], 0, 1.0)
    ours = student()
    by_loss = {"kl": [0.25, 1.0], "ctc": [0.75, 0.0], "feature_penalty": [1.0, 1.0]}
    for name, counts in by_loss.items():
        share = LOSSES[name](ours, target)
        total, parts = combine({name: 2.0}, ours, target, torch.tensor([0.25, 1.0]))
        assert float(total) == pytest.approx(2 * float(share @ torch.tensor(counts)), rel=1e-6)
        assert parts[name] == pytest.approx(float(share.sum()), rel=1e-6), "it is logged unweighted"


def test_hints_look_at_the_layers_that_are_paired(target: Target) -> None:
    """Evenly, two layers match the second and the fourth; a map pairs those it names and no others."""
    ours, theirs = student().hidden, target.teacher.hidden
    valid = target.mask[..., None].float()

    def apart(i: int, j: int) -> float:
        return float(((ours[i] - theirs[j]).square() * valid).sum() / valid.sum() / 8)

    even = LOSSES["hidden_mse"](student(), target).sum()
    assert float(even) == pytest.approx((apart(1, 2) + apart(2, 4)) / 2, rel=1e-5)
    mapped = LOSSES["hidden_mse"](student(), replace(target, layers={2: 3})).sum()
    assert float(mapped) == pytest.approx(apart(2, 3), rel=1e-5)


@pytest.mark.parametrize("name", HIDDEN_LOSSES)
def test_a_layer_counts_as_much_as_its_weight(target: Target, name: str) -> None:
    """With a weight of 10 for the second of two layers, the loss is (first + 10 second) / 2; 0 leaves a layer out."""
    first, second = (LOSSES[name](student(), replace(target, layers=pair)) for pair in ({1: 2}, {2: 4}))
    for weight in (10.0, 0.0):
        found = LOSSES[name](student(), replace(target, layer_weights={2: weight}))
        assert found.tolist() == pytest.approx(((first + weight * second) / 2).tolist(), rel=1e-5)


def test_pairs_are_drawn_by_seed_and_step() -> None:
    """As many as asked for, each as it was paired; others for another step, all of them over many, the same again."""
    pairs = {layer: 2 * layer for layer in range(1, 13)}
    found = [drawn(pairs, 3, (42, step)) for step in range(50)]
    assert all(len(one) == 3 and one.items() <= pairs.items() for one in found)
    assert found == [drawn(pairs, 3, (42, step)) for step in range(50)]
    assert found[0] != found[1]
    assert set().union(*found) == set(pairs)
    assert drawn(pairs, 20, (0, 0)) == pairs
