"""Sizes of published students: their shapes built by transformers' classes, less what these add by name."""

import pytest

torch = pytest.importorskip("torch")

ADDED = ("lm_head.weight", "lm_head.bias", "hubert.masked_spec_embed")
"""What transformers has beside the published encoders: a head for tokens, and the embedding of masked frames."""


@pytest.mark.parametrize(("feature_norm", "n_params"), [(False, 26_871_936), (True, 26_872_960)])
def test_twelve_half_as_wide_layers_are_the_published_sizes(feature_norm: bool, n_params: int) -> None:
    """26.87M of 12-L Half (Ashihara et al., arXiv 2207.06867), and the 27M of LightHuBERT's small default slice
    (arXiv 2203.15610), which has a norm of the features."""
    from transformers import HubertConfig, HubertForCTC

    config = HubertConfig(
        hidden_size=384, intermediate_size=1536, num_attention_heads=6, feat_proj_layer_norm=feature_norm
    )
    with torch.device("meta"):
        named = dict(HubertForCTC(config).named_parameters())
    assert {*ADDED} <= {*named}
    assert sum(weight.numel() for name, weight in named.items() if name not in ADDED) == n_params
