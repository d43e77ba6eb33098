"""Refitting by ridge regression: against numpy's least squares of the same objective, and on small models."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from greenbench.compress import PruneFfn
from greenbench.compress.calibration import BUNDLED, speech_for
from greenbench.compress.probe import probe
from greenbench.compress.refit import feed_forward_outputs, ridge
from greenbench.plugins import Context

torch = pytest.importorskip("torch")


def closed_form(z: Any, y: Any, weight: Any, bias: Any, damping: float) -> Any:
    """Return the W of the least |Y - ZW|^2 + damping x mean(diag Z'Z) x |W - W0|^2, ``(n_in + 1, n_out)``, by numpy.

    The second term is a row more for each weight, so that both are one problem without it. Without a bias there is no
    row for it.
    """
    ones = z if bias is None else np.hstack([z, np.ones((len(z), 1))])
    size = np.sqrt(damping * np.mean(np.square(ones).sum(0)))
    left = np.vstack([ones, size * np.eye(ones.shape[1])])
    right = np.vstack([y, size * (weight.T if bias is None else np.vstack([weight.T, bias]))])
    return np.linalg.lstsq(left, right, rcond=None)[0]


@pytest.mark.parametrize("damping", [0.0, 0.01, 1.0])
def test_the_ridge_reaches_the_least_of_its_objective(damping: float) -> None:
    """In however many parts the frames come, with a bias and without."""
    draw = np.random.default_rng(0)
    z, y, weight, bias = (draw.standard_normal(shape) for shape in ((50, 6), (50, 3), (3, 6), (3,)))
    parts = [(torch.from_numpy(z[part]), torch.from_numpy(y[part])) for part in (slice(20), slice(20, None))]
    found = ridge(parts, torch.from_numpy(weight), torch.from_numpy(bias), damping)
    expected = closed_form(z, y, weight, bias, damping)
    assert np.allclose(found[0], expected[:-1].T)
    assert found[1] is not None
    assert np.allclose(found[1], expected[-1])
    found = ridge(parts, torch.from_numpy(weight), None, damping)
    assert np.allclose(found[0], closed_form(z, y, weight, None, damping).T)
    assert found[1] is None


def test_what_fits_already_stays() -> None:
    """Outputs that the weights give leave them as they are, however strong the damping, inputs that repeat included."""
    draw = torch.Generator().manual_seed(0)
    z, weight, bias = (torch.randn(shape, generator=draw).double() for shape in ((9, 20), (3, 20), (3,)))
    found = ridge([(z, z @ weight.T + bias)], weight, bias)
    assert found[1] is not None
    assert torch.allclose(found[0], weight, atol=1e-10)
    assert torch.allclose(found[1], bias, atol=1e-10)


def test_without_an_edit_a_refit_changes_nothing(small: Any, context: Context) -> None:
    """No parameter moves by more than 1e-5."""
    whole = deepcopy(small)
    feed_forward_outputs(small, whole, speech_for(small, context, BUNDLED, 2))
    for name, parameter in small.named_parameters():
        assert torch.allclose(parameter, whole.get_parameter(name), atol=1e-5), name


def seen(model: Any, layer: int, speech: Any) -> tuple[Any, Any]:
    """Return what goes into a layer's output matrix and what comes out, frames of all speech in rows, in float64."""
    found: list[tuple[Any, Any]] = []
    part = model.wav2vec2.encoder.layers[layer].feed_forward.output_dense
    hook = part.register_forward_hook(lambda _, given, out: found.append((given[0][0], out[0])))
    with torch.no_grad():
        for inputs in speech:
            model(**inputs)
    hook.remove()
    return tuple(np.vstack([one[side].double().numpy() for one in found]) for side in (0, 1))


def test_layer_after_layer_the_outputs_are_fitted_to_those_of_the_whole_model(small: Any, context: Context) -> None:
    """Each output matrix is the closed form on the inputs that it has once the layers before are refitted; the rest
    is as it was."""
    whole, speech = deepcopy(small), speech_for(small, context, BUNDLED, 2)
    pruned = PruneFfn(keep=0.5)(deepcopy(small))
    refitted = deepcopy(pruned)
    feed_forward_outputs(refitted, whole, speech)
    for layer in range(3):
        z = seen(refitted, layer, speech)[0]
        before, after = (m.wav2vec2.encoder.layers[layer].feed_forward.output_dense for m in (pruned, refitted))
        weight, bias = (tensor.detach().double().numpy() for tensor in (before.weight, before.bias))
        expected = closed_form(z, seen(whole, layer, speech)[1], weight, bias, 0.01)
        assert np.allclose(after.weight.detach(), expected[:-1].T, atol=1e-3)
        assert np.allclose(after.bias.detach(), expected[-1], atol=1e-3)
        assert not np.allclose(after.weight.detach(), weight, atol=1e-2)
    for name, parameter in refitted.named_parameters():
        assert "output_dense" in name or torch.equal(parameter, pruned.get_parameter(name)), name


def test_a_refit_of_neurons_that_leads_away_is_undone(
    small: Any, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pruned model stays as it was, bit for bit; the refit itself is never further away than none."""
    whole, speech = deepcopy(small), speech_for(small, context, BUNDLED, 2)
    pruned = PruneFfn(keep=0.5)(deepcopy(small))
    fitted = PruneFfn(keep=0.5, refit=True, n_calibration=2)(deepcopy(small), context)
    assert probe(fitted, whole, speech) <= probe(pruned, whole, speech)

    def worse(model: Any, *_: Any) -> None:
        model.lm_head.weight.data.mul_(-1)

    monkeypatch.setattr("greenbench.compress.prune.feed_forward_outputs", worse)
    undone = PruneFfn(keep=0.5, refit=True, n_calibration=2)(small, context)
    assert all(torch.equal(tensor, pruned.state_dict()[name]) for name, tensor in undone.state_dict().items())
