"""What must not be in a deployed network, found without running it or importing onnx.

The serving process has no onnx; what is looked for are few fields of its protocol buffers (onnx.proto of
the ONNX project): tensors that lie in another file, and numbers that are none.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

TENSOR = "TensorProto"
# message -> number of a field -> the message in it; tensors lie nowhere else.
INSIDE = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: TENSOR, 15: "SparseTensorProto"},
    "SparseTensorProto": {1: TENSOR, 2: TENSOR},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: TENSOR,
        6: "GraphProto",
        10: TENSOR,
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
}
GRAPH = 7  # of ModelProto
# Of TensorProto:
DATA_TYPE, FLOAT_DATA, INT32_DATA, NAME, RAW_DATA, DOUBLE_DATA = 2, 4, 5, 8, 9, 10
EXTERNAL_DATA, DATA_LOCATION = 13, 14
NUMBERS = (FLOAT_DATA, INT32_DATA, RAW_DATA, DOUBLE_DATA)
BFLOAT16, FLOAT16 = 16, 10
FLOATS = {1: "<f4", FLOAT16: "<f2", 11: "<f8", 14: "<f4", 15: "<f8"}  # complex numbers are two floats each
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5  # how a field is written


def refuse_unsound(path: Path) -> None:
    """ModelError: it is no ONNX file, some of its tensors lie in another file, or hold NaN or infinity.

    Minus infinity is let pass: it masks in attention.
    """
    try:
        for tensor in _tensors(memoryview(path.read_bytes())):
            _look_at(tensor, path)
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: not an ONNX file ({error}). It is not loaded.") from None


def _tensors(content: memoryview) -> Iterator[memoryview]:
    if not any(number == GRAPH for number, _ in _fields(content)):
        raise ValueError("it holds no graph")
    todo = [("ModelProto", content)]
    while todo:  # no recursion: how deep it goes is for the file to say
        message, data = todo.pop()
        if message == TENSOR:
            yield data
            continue
        for number, value in _fields(data):
            inside = INSIDE[message].get(number)
            if inside and isinstance(value, memoryview):
                todo.append((inside, value))


def _look_at(tensor: memoryview, path: Path) -> None:
    import numpy as np

    data_type, name = 0, ""
    written: list[tuple[int, memoryview]] = []
    for number, value in _fields(tensor):
        if number == EXTERNAL_DATA or (number == DATA_LOCATION and value):
            raise ModelError(
                f"{path}: a tensor lies in another file, whose checksum nobody has. It is not loaded. Export "
                "the network as one file."
            )
        if number == DATA_TYPE and isinstance(value, int):
            data_type = value
        elif number == NAME and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number in NUMBERS and isinstance(value, memoryview):
            written.append((number, value))
    for number, value in written:
        numbers = _numbers(number, data_type, value)
        if numbers is not None and (np.isnan(numbers).any() or np.isposinf(numbers).any()):
            raise ModelError(
                f"{path}: the tensor {name!r} is not finite: it holds NaN or infinity. It is not loaded. "
                "Train it again."
            )


def _numbers(field: int, data_type: int, value: memoryview) -> "np.ndarray | None":
    """As floats; None where they are none that could be infinite."""
    import numpy as np

    if field == FLOAT_DATA:
        return np.frombuffer(value, dtype="<f4")
    if field == DOUBLE_DATA:
        return np.frombuffer(value, dtype="<f8")
    if field == INT32_DATA:  # 16 bits of each are one float
        if data_type not in (BFLOAT16, FLOAT16):
            return None
        value = memoryview(np.array(list(_varints(value)), dtype="<u2").tobytes())
    if data_type == BFLOAT16:  # the upper half of a float32
        return (np.frombuffer(value, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(value, dtype=FLOATS[data_type]) if data_type in FLOATS else None


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message. ValueError, IndexError: it is none."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            whole, at = _varint(data, at)
            yield number, whole
            continue
        if kind == BYTES:
            length, at = _varint(data, at)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            length = 8 if kind == EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field is written in a way {kind} that does not exist")
        if at + length > len(data):
            raise ValueError("it ends too early")
        yield number, data[at : at + length]
        at += length


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        whole, at = _varint(data, at)
        yield whole & 0xFFFF


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for place in range(10):
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number has more than 64 bits")
