"""A stand-in for Moonshine's files: graphs with the inputs, outputs and names of the real ones, which spell by a rule.

The encoder's frames are every 400th sample. The next token is the last one plus a frame, modulo 8: the first token
takes the first frame, and so on. As in the real decoder, the encoder's keys are given at the first step only, and those
of the text grow.
"""

import struct
from pathlib import Path

SAMPLES_PER_FRAME, N_TOKENS = 400, 8

PIECES = [b"<unk>", b"<s>", b"</s>", b"\xe2\x96\x81a", b"b", b"\xe2\x96\x81c", b"\xc3", b"\xa9"]
"""The tokens: a space before ``a`` and ``c``, and one letter in two parts."""

_ENCODER = """<ir_version: 8, opset_import: ["": 17]>
encoder (float[b, n] input_values, int64[b, n] attention_mask) => (float[b, f, 1] last_hidden_state) {
    mask = CastLike(attention_mask, input_values)
    heard = Mul(input_values, mask)
    start = Constant<value: tensor = int64[1] {0}>()
    end = Constant<value: tensor = int64[1] {9000000}>()
    axis = Constant<value: tensor = int64[1] {1}>()
    every = Constant<value: tensor = int64[1] {400}>()
    frames = Slice(heard, start, end, axis, every)
    last = Constant<value: tensor = int64[1] {2}>()
    last_hidden_state = Unsqueeze(frames, last)
}"""

_DECODER = """<ir_version: 8, opset_import: ["": 17]>
decoder (int64[b, m] encoder_attention_mask, int64[b, s] input_ids, float[b, f, 1] encoder_hidden_states,
         float[b, 1, p, 1] past_dk, float[b, 1, p, 1] past_dv, float[b, 1, q, 1] past_ek, float[b, 1, q, 1] past_ev,
         bool[1] use_cache_branch)
     => (float[b, s, v] logits,
         float[b, 1, t, 1] now_dk, float[b, 1, t, 1] now_dv, float[b, 1, u, 1] now_ek, float[b, 1, u, 1] now_ev) {
    number = Cast<to: int = 1>(input_ids)
    one_each = Constant<value: tensor = int64[4] {1, 1, 1, 1}>()
    token = Reshape(number, one_each)
    nought = Constant<value: tensor = int64[1] {0}>()
    heads = Constant<value: tensor = int64[1] {1}>()
    places = Constant<value: tensor = int64[1] {2}>()
    frame, now_dk, now_ek = If(use_cache_branch) <
        then_branch: graph = later () => (float[b, 1, 1, 1] f1, float[b, 1, t, 1] dk1, float[b, 1, u, 1] ek1) {
            n_past = Shape<start: int = 2, end: int = 3>(past_dk)
            f1 = Gather<axis: int = 2>(past_ek, n_past)
            dk1 = Concat<axis: int = 2>(past_dk, token)
            ek1 = Slice(past_ek, nought, nought, places)
        },
        else_branch: graph = first () => (float[b, 1, 1, 1] f0, float[b, 1, t, 1] dk0, float[b, 1, u, 1] ek0) {
            ek0 = Unsqueeze(encoder_hidden_states, heads)
            f0 = Gather<axis: int = 2>(ek0, nought)
            dk0 = Identity(token)
        }
    >
    now_dv = Identity(now_dk)
    now_ev = Identity(now_ek)
    total = Add(frame, token)
    eight = Constant<value: tensor = float[1] {8.0}>()
    rest = Mod<fmod: int = 1>(total, eight)
    flat = Constant<value: tensor = int64[2] {1, 1}>()
    row = Reshape(rest, flat)
    next = Cast<to: int = 7>(row)
    depth = Constant<value: tensor = int64[1] {8}>()
    values = Constant<value: tensor = float[2] {0.0, 1.0}>()
    chosen = OneHot(next, depth, values)
    zero = Constant<value: tensor = float[1] {0.0}>()
    doubt = Mul(row, zero)
    logits = Add(chosen, doubt)
}"""

_NAMES = {f"{word}_{side[0]}{kind[0]}": f"{real}.0.{side}.{kind}"
          for word, real in (("past", "past_key_values"), ("now", "present"))
          for side in ("decoder", "encoder") for kind in ("key", "value")}  # fmt: skip
"""Names that the text form of a graph cannot have, since they have dots."""


def write(folder: Path) -> Path:
    """Write the three files of a model into a folder, the graphs in ONNX Runtime's own format."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_graph(_ENCODER, folder / "encoder_model.ort")
    _write_graph(_DECODER, folder / "decoder_model_merged.ort")
    (folder / "tokenizer.bin").write_bytes(b"".join(struct.pack("B", len(piece)) + piece for piece in PIECES))
    return folder


def _write_graph(text: str, file: Path) -> None:
    import onnx.parser
    import onnxruntime

    model = onnx.parser.parse_model(text)
    _rename(model.graph)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(file)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _rename(graph) -> None:
    for port in (*graph.input, *graph.output):
        port.name = _NAMES.get(port.name, port.name)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [_NAMES.get(name, name) for name in names]
        for attribute in node.attribute:
            _rename(attribute.g)
