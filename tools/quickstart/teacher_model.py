"""The quick-start teacher: its wav2vec 2.0 configuration, first weights, growth in depth and processor."""

import copy
import json
from pathlib import Path

import torch
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
)

from greenbench.files import whole
from greenbench.models import opening

CHARACTERS = ["<pad>", "<unk>", "|", "'", *"abcdefghijklmnopqrstuvwxyz"]
FILTERS, PHASES, TAPS = 32, 4, 64


def config(layers: int, **masking: float) -> Wav2Vec2Config:
    """Return the teacher's configuration: pre-norm, 20 ms frames, few convolutions at a high rate."""
    return Wav2Vec2Config(
        vocab_size=len(CHARACTERS),
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=layers,
        num_attention_heads=4,
        conv_dim=(FILTERS * PHASES, 192, 192, 192),
        conv_kernel=(TAPS, 8, 4, 4),
        conv_stride=(20, 4, 2, 2),
        num_feat_extract_layers=4,
        feat_extract_norm="group",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=8,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        final_dropout=0.0,
        layerdrop=0.0,
        ctc_zero_infinity=True,
        **masking,
    )


def gabor_filters() -> torch.Tensor:
    """Return mel-spaced band-pass filters in four phases, (FILTERS * PHASES, 1, TAPS)."""
    top = 2595 * torch.log10(torch.tensor(1 + 7600 / 700))
    mel = torch.linspace(100, float(top), FILTERS)
    hertz = 700 * (10 ** (mel / 2595) - 1)
    time = (torch.arange(TAPS) - (TAPS - 1) / 2) / 16000
    phase = torch.arange(PHASES) * torch.pi / 2
    wave = torch.cos(2 * torch.pi * hertz[:, None, None] * time + phase[:, None])
    return (wave * torch.hann_window(TAPS, periodic=False)).reshape(-1, 1, TAPS) / TAPS**0.5


def new_teacher(layers: int, **masking: float) -> Wav2Vec2ForCTC:
    """Return an untrained teacher whose first convolution is a filter bank; `masking` is SpecAugment's settings."""
    model = Wav2Vec2ForCTC(config(layers, **masking))
    with torch.no_grad():
        model.wav2vec2.feature_extractor.conv_layers[0].conv.weight.copy_(gabor_filters())
    return model


def grow(model: Wav2Vec2ForCTC, layers: int) -> Wav2Vec2ForCTC:
    """Insert copies of layers whose output projections are zero: the function stays the same.

    Args:
        model: A pre-norm teacher, where a layer with zero output projections is the identity.
        layers: New depth, a multiple of the old one.

    Returns:
        The deeper teacher.
    """
    encoder = model.wav2vec2.encoder
    copies = layers // len(encoder.layers) - 1
    deeper = torch.nn.ModuleList()
    for layer in encoder.layers:
        deeper.append(layer)
        for _ in range(copies):
            extra = copy.deepcopy(layer)
            for projection in (extra.attention.out_proj, extra.feed_forward.output_dense):
                torch.nn.init.zeros_(projection.weight)
                torch.nn.init.zeros_(projection.bias)
            deeper.append(extra)
    encoder.layers = deeper
    model.config.num_hidden_layers = layers
    return model


def processor(aside: Path) -> Wav2Vec2Processor:
    """Build the processor from the characters, leaving its files in a new folder."""
    aside.mkdir(parents=True, exist_ok=True)
    vocabulary = aside / "vocab.json"
    whole.write(vocabulary, json.dumps({character: i for i, character in enumerate(CHARACTERS)}, indent=1) + "\n")
    tokenizer = Wav2Vec2CTCTokenizer(
        str(vocabulary), bos_token=None, eos_token=None, unk_token=CHARACTERS[1], pad_token=CHARACTERS[0]
    )
    extractor = Wav2Vec2FeatureExtractor(
        feature_size=1, sampling_rate=16000, padding_value=0.0, do_normalize=True, return_attention_mask=False
    )
    built = Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer)
    built.save_pretrained(aside)
    extractor.save_pretrained(aside)
    return built


def write_folder(model: Wav2Vec2ForCTC, folder: Path) -> None:
    """Save weights in half precision, which load as float32, with configuration and processor."""
    with whole.folder(folder) as aside:
        opening.save(copy.deepcopy(model).half(), aside)
        processor(aside)
