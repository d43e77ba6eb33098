"""Products: how each installed engine multiplies two square matrices; the fastest of all ways is a machine's peak."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from greenbench.hardware import environment
from greenbench.models.precision import torch_dtype

Prepare = Callable[[int], Callable[[], Any]]
"""Makes two matrices of so many rows and returns what multiplies them."""

NEEDS = {
    "torch": ("torch",),
    "numpy": ("numpy",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino",),
}
"""Engine -> the packages that it takes. Their kernels differ: MKL, which torch uses for float32, has no AVX-512 for
AMD's processors, where the kernels of oneDNN, OpenBLAS and MLAS are twice as fast."""


def engines(device: str) -> tuple[str, ...]:
    """Return the installed engines that multiply on a device, torch first."""
    known = [name for name, packages in NEEDS.items() if all(find_spec(package) for package in packages)]
    return tuple(name for name in known if name == "torch" or device == "cpu")


def threads(engine: str) -> int:
    """Return with how many threads of the CPU an engine multiplies in this process: the environment says so."""
    if engine == "torch":
        import torch

        return torch.get_num_threads()
    return environment.stated_threads()


def products(engine: str, precision: str, device: str) -> list[Prepare]:
    """Return an engine's ways to multiply in a precision; none where it has no way.

    Args:
        engine: from ``engines``.
        precision: one of ``PRECISIONS``.
        device: where.
    """
    if engine == "torch":
        return _torch(precision, device)
    if engine == "numpy":
        return [_numpy] if precision == "fp32" else []
    if engine == "onnxruntime":
        return [partial(_onnxruntime, precision)] if precision in ("fp32", "int8") else []
    return [partial(_openvino, precision)] if precision in _HINTS else []


# --- torch -----------------------------------------------------------------------------------------------


def _torch(precision: str, device: str) -> list[Prepare]:
    """Return torch's own ways; of float32 and int8 there are two on the CPU, of which neither is faster everywhere."""
    import torch

    if precision == "int8":
        return [partial(_int_mm, device), *([_quantized_linear] if device == "cpu" else [])]
    if precision == "tf32" and not (device.startswith("cuda") and torch.cuda.get_device_capability(device)[0] >= 8):
        return []
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    return [partial(_mm, precision, device), *([_onednn_linear] if (precision, device) == ("fp32", "cpu") else [])]


def _mm(precision: str, device: str, n: int) -> Callable[[], Any]:
    import torch

    dtype = torch_dtype("fp32" if precision == "tf32" else precision)
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    return partial(torch.mm, a, b, out=torch.empty_like(a))


def _onednn_linear(n: int) -> Callable[[], Any]:
    """Prepare a linear layer in oneDNN's own layout, where ``torch.mm`` goes to MKL."""
    import torch

    return partial(torch._C._nn.mkldnn_linear, *(torch.randn(n, n).to_mkldnn() for _ in range(2)))


def _int_mm(device: str, n: int) -> Callable[[], Any]:
    import torch

    a, b = (torch.randint(-64, 64, (n, n), device=device).to(torch.int8) for _ in range(2))
    return partial(torch._int_mm, a, b.t())  # both contiguous along what is summed over


def _quantized_linear(n: int) -> Callable[[], Any]:
    """Prepare what ``int8-dynamic`` runs, without the quantisation of its inputs."""
    import torch

    x = torch.quantize_per_tensor(torch.randn(n, n), 0.05, 64, torch.quint8)
    weight = torch.quantize_per_tensor(torch.randn(n, n), 0.05, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(weight, None)
    return partial(torch.ops.quantized.linear, x, packed, 0.1, 64)


# --- the others, on the CPU ------------------------------------------------------------------------------


def _floats(n: int) -> Any:
    return np.random.default_rng(n).standard_normal((n, n), dtype=np.float32)


def _numpy(n: int) -> Callable[[], Any]:
    a, b = _floats(n), _floats(n)
    return partial(np.matmul, a, b, out=np.empty_like(a))


def _onnxruntime(precision: str, n: int) -> Callable[[], Any]:
    """Prepare ``MatMul``, or ``MatMulInteger`` of uint8 by int8, with the second matrix a weight."""
    from onnx import TensorProto, helper, numpy_helper

    from greenbench.models.onnx_session import open_session

    is_int8 = precision == "int8"
    a, b = np.random.default_rng(n).integers(0, 64, (2, n, n)) if is_int8 else (_floats(n), _floats(n))
    types = (TensorProto.UINT8, TensorProto.INT32) if is_int8 else (TensorProto.FLOAT, TensorProto.FLOAT)
    ports = [helper.make_tensor_value_info(name, kind, [n, n]) for name, kind in zip("ay", types, strict=True)]
    node = helper.make_node("MatMulInteger" if is_int8 else "MatMul", ["a", "b"], ["y"])
    weight = numpy_helper.from_array(b.astype(np.int8) if is_int8 else b, "b")
    graph = helper.make_graph([node], "product", [ports[0]], [ports[1]], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = open_session(model.SerializeToString(), threads("onnxruntime"))
    return partial(session.run, None, {"a": a.astype(np.uint8) if is_int8 else a})


_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
"""Precision -> OpenVINO's name of the type in which floats are computed."""

_RUNS_IN = {"fp32": ("f32",), "bf16": ("bf16",), "fp16": ("f16",), "int8": ("u8", "i8")}
"""Precision -> what OpenVINO calls it where it says in what a product runs."""


def _openvino(precision: str, n: int) -> Callable[[], Any]:
    """Prepare a product by OpenVINO's CPU plug-in.

    Raises:
        RuntimeError: it would run in another precision here.
    """
    import openvino
    from openvino import opset13 as op

    from greenbench.compress.openvino_core import core

    a = op.parameter([n, n], np.float32)
    product = op.matmul(*_quantized(op, a, n) if precision == "int8" else (a, op.constant(_floats(n))), False, True)
    hints = {"INFERENCE_PRECISION_HINT": _HINTS[precision], "INFERENCE_NUM_THREADS": threads("openvino")}
    compiled = core().compile_model(openvino.Model([product], [a]), "CPU", {**hints, "PERFORMANCE_HINT": "LATENCY"})
    ran = precisions(compiled)
    if not ran or not ran <= set(_RUNS_IN[precision]):
        raise RuntimeError(f"OpenVINO multiplies in {', '.join(sorted(ran)) or 'nothing known'} here")
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(_floats(n)))
    return partial(request.infer)


def _quantized(op: Any, a: Any, n: int) -> tuple[Any, Any]:
    """Return both operands of a product that OpenVINO runs in int8."""
    low, high, scale = (op.constant(np.float32(value)) for value in (-4.0, 4.0, 0.03))
    weight = np.random.default_rng(n).integers(-127, 128, (n, n)).astype(np.int8)
    return op.fake_quantize(a, low, high, low, high, 256), op.multiply(op.convert(op.constant(weight), "f32"), scale)


def precisions(compiled: Any) -> set[str]:
    """Return in what a compiled OpenVINO model multiplies, as its runtime graph says: ``f32``, ``bf16``, ``u8``."""
    infos = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    products = [info for info in infos if info["layerType"].astype(str) in ("FullyConnected", "MatMul", "Convolution")]
    return {info["runtimePrecision"].astype(str) for info in products}
