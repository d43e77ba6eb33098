"""Kokoro's graph as runtimes compute it fast: the package ships it in dynamic int8, and it is full of sines."""

from collections import defaultdict

import numpy as np
import onnx
from onnx import helper, numpy_helper

INTEGER = {"ConvInteger": "Conv", "MatMulInteger": "MatMul"}
QUANTISED_LSTM = "DynamicQuantizeLSTM"


class Graph:
    """A graph's constants by name, the node that makes a value, and the nodes that read it."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        """Index a graph as it is now."""
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.maker = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.readers[name].append(node)

    def value(self, name: str) -> np.ndarray:
        """Return a constant."""
        return numpy_helper.to_array(self.constants[name])

    def origin(self, name: str) -> str:
        """Follow first inputs from a value back to the constant that it is computed from."""
        while name not in self.constants:
            name = self.maker[name].input[0]
        return name

    def chain(self, node: onnx.NodeProto, last: str) -> list[onnx.NodeProto]:
        """Return the nodes that read one another's only output, from after `node` to the first of type `last`."""
        found: list[onnx.NodeProto] = []
        while not found or found[-1].op_type != last:
            (node,) = self.readers[node.output[0]]
            found.append(node)
        return found


def in_floats(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace integer convolutions, products and LSTMs by their float counterparts, in place.

    What `onnxruntime.quantization` makes of a layer is known: its input is quantised, multiplied in integers, the bias
    (quantised too) added, and the sum scaled back. The float layer reads the input before it was quantised, has the
    weights times their scale, and the bias as it was.

    Args:
        model: quantised by `onnxruntime.quantization.quantize_dynamic`.

    Returns:
        The same model; what nothing reads any more is gone.
    """
    graph = Graph(model.graph)
    for node in list(model.graph.node):
        if node.op_type in INTEGER:
            _replace_product(model.graph, graph, node)
        elif node.op_type == QUANTISED_LSTM:
            _replace_lstm(model.graph, graph, node)
    _drop_unread(model.graph)
    return model


def _replace_product(target: onnx.GraphProto, graph: Graph, node: onnx.NodeProto) -> None:
    """Let a convolution or product in floats make what the last node of an integer one's chain made."""
    chain = graph.chain(node, "Mul")
    (scales,) = (name for name in chain[-1].input if name != chain[-2].output[0])
    (scale,) = (name for name in graph.maker[scales].input if name in graph.constants)
    weight = (graph.value(node.input[1]).astype(np.float32) - graph.value(node.input[3])) * graph.value(scale)
    source = graph.maker[node.input[0]].input[0]
    inputs = [source, _constant(target, node.input[1], weight)]
    if chain[0].op_type == "Add":
        (bias,) = (name for name in chain[0].input if name != node.output[0])
        inputs.append(graph.origin(bias))
    _put(chain[-1], helper.make_node(INTEGER[node.op_type], inputs, list(chain[-1].output), node.name), node)


def _replace_lstm(target: onnx.GraphProto, graph: Graph, node: onnx.NodeProto) -> None:
    """Let an LSTM in floats stand where one with quantised weights, which are kept transposed, stood."""
    inputs = list(node.input[:7])
    for place, scale in ((1, 8), (2, 10)):
        scales, zeros = (graph.value(node.input[i])[:, None, None] for i in (scale, scale + 1))
        weight = (graph.value(node.input[place]).astype(np.float32) - zeros) * scales
        inputs[place] = _constant(target, node.input[place], weight.transpose(0, 2, 1))
    _put(node, helper.make_node("LSTM", inputs, list(node.output), node.name), node)


def without_sines(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace squared sines, most of the vocoder's activations, by polynomials, in place.

    With u = x / pi and r = u - round(u), sin(x)^2 = sin(pi r)^2, which a polynomial in r^2 gives within 1e-6.
    Runtimes fuse sums and products into one loop, and call the sine of the C library for each number.
    """
    maker = {name: node for node in model.graph.node for name in node.output}
    constants = {"half_turns": np.float32(1 / np.pi), **{f"term{i}": c for i, c in enumerate(_squared_sine())}}
    nodes: list[onnx.NodeProto] = []

    def value(operator: str, inputs: list[str], output: str) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], output))
        return output

    for node in model.graph.node:
        sine = maker.get(node.input[0]) if node.op_type == "Pow" else None
        if sine is None or sine.op_type != "Sin":
            nodes.append(node)
            continue
        (name,) = node.output
        turns = value("Mul", [sine.input[0], "half_turns"], f"{name}.turns")
        rest = value("Sub", [turns, value("Round", [turns], f"{name}.whole")], f"{name}.rest")
        square = value("Mul", [rest, rest], f"{name}.square")
        total = value("Mul", [square, "term0"], f"{name}.0")
        for i in range(1, len(constants) - 1):
            total = value("Add", [total, f"term{i}"], f"{name}.sum{i}")
            total = value("Mul", [total, square], name if i == len(constants) - 2 else f"{name}.{i}")
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    _drop_unread(model.graph)
    return model


def _squared_sine(degree: int = 5) -> np.ndarray:
    """Return the coefficients, highest first and without a constant, of sin(pi r)^2 in r^2 for |r| <= 0.5."""
    r = np.cos(np.pi * (np.arange(2000) + 0.5) / 2000) / 2
    return np.polyfit(r**2, np.sin(np.pi * r) ** 2, degree)[:-1].astype(np.float32)


def _constant(target: onnx.GraphProto, quantised: str, value: np.ndarray) -> str:
    """Store the float form of a constant, once, as layers share weights; return its name."""
    name = f"{quantised}.float"
    if all(tensor.name != name for tensor in target.initializer):
        target.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
    return name


def _put(old: onnx.NodeProto, new: onnx.NodeProto, like: onnx.NodeProto) -> None:
    """Put a node with the attributes of `like` in the place of an old one."""
    new.attribute.extend(like.attribute)
    old.CopyFrom(new)


def _drop_unread(target: onnx.GraphProto) -> None:
    """Remove the nodes and constants that no output depends on."""
    read = {output.name for output in target.output}
    kept = []
    for node in reversed(target.node):
        if read.intersection(node.output):
            kept.append(node)
            read.update(node.input)
    constants = [tensor for tensor in target.initializer if tensor.name in read]
    del target.node[:], target.initializer[:]
    target.node.extend(reversed(kept))
    target.initializer.extend(constants)
