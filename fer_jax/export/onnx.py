"""ONNX by jax2onnx, and its 8-bit form by onnxruntime's quantiser; label names and origin are in metadata_props."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from fer_jax.errors import UserError
from fer_jax.export.content import INPUT, OUTPUT, Content, Loaded
from fer_jax.export.quiet import quiet

# The libraries are imported in the functions: other formats do without them, and a file is opened by its runtime alone.

OPSET = 18
"""Of 2022: old enough for the runtimes in browsers and on phones, new enough for everything that a network has here."""
CALIBRATED_AT_ONCE = 50
"""Images in a batch of the calibration; it changes memory only."""


def write(path: Path, content: Content) -> None:
    """Writes the network, the number of images left open.

    Raises:
      UserError: the network has an operation that jax2onnx does not know.
    """
    import jax
    from jax.export import symbolic_shape

    from fer_jax.export.function import probabilities_of

    with quiet():
        from jax2onnx import to_onnx

    function = probabilities_of(content.model, content.variables)
    images = jax.ShapeDtypeStruct((*symbolic_shape("N"), *content.model.image_shape), np.uint8)
    name = json.loads(content.metadata["config"])["model"]["name"]
    try:
        with quiet():
            model = to_onnx(
                function, [images], model_name=name, opset=OPSET, input_names=[INPUT], output_names=[OUTPUT]
            )
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the network '{name}' cannot be written as ONNX: jax2onnx says '{reason}'") from error
    _drop_scalar_biases(model)
    _save(path, model, content.metadata)


def _drop_scalar_biases(model: Any) -> None:
    """Takes the bias 0, a single number, from each matrix product: onnxruntime's quantiser expects one a channel."""
    from onnx import numpy_helper

    zeros = {
        tensor.name: tensor
        for tensor in model.graph.initializer
        if not tensor.dims and not numpy_helper.to_array(tensor)
    }
    for node in model.graph.node:
        if node.op_type == "Gemm" and len(node.input) == 3 and node.input[2] in zeros:
            del node.input[2]
    used = {name for node in model.graph.node for name in node.input}
    for name in zeros.keys() - used:
        model.graph.initializer.remove(zeros[name])


def _save(path: Path, model, metadata: dict[str, str]) -> None:
    from onnx import checker, helper

    helper.set_model_props(model, metadata)
    model.producer_name, model.doc_string = "fer_jax", metadata.get("stand_in", "")
    checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def add_metadata(path: Path, metadata: dict[str, str]) -> None:
    """Replaces the metadata of a file; the network stays as it is."""
    import onnx

    _save(path, onnx.load(path), metadata)


def open_file(path: Path) -> Loaded:
    """The file, by nothing but onnxruntime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # What is wrong is raised too.
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    return Loaded(
        lambda images: session.run([OUTPUT], {INPUT: images})[0], metadata, f"onnxruntime {onnxruntime.__version__}"
    )


def write_int8(path: Path, float_file: Path, images: np.ndarray, metadata: dict[str, str]) -> None:
    """Writes the 8-bit form of a file: weights and activations of convolutions and dense layers are integers.

    Weights are quantised for each output channel, activations to the range that they have on the images. What stands
    before the first layer and behind the last stays float, so pixels are read and probabilities given as before.

    Args:
      path: what is written.
      float_file: a file of `write`.
      images: to calibrate on, uint8 [N, H, W, C], of the training split.
      metadata: of the new file.
    """
    with quiet():
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = (
                {INPUT: images[start : start + CALIBRATED_AT_ONCE]}
                for start in range(0, len(images), CALIBRATED_AT_ONCE)
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._batches, None)

    # Constants are computed and BatchNorm goes into the convolution in front of it, which leaves less to round.
    plain = path.with_name(f"plain-{path.name}")
    with quiet():
        quant_pre_process(str(float_file), str(plain), skip_symbolic_shape=True)
        quantize_static(
            str(plain),
            str(path),
            Images(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    plain.unlink()
    _save(path, onnx.load(path), metadata)
