"""The OpenAPI 3.1 document of an image service, made from its model and from the table of errors."""

from typing import Any

from serving.http_errors import STATUS
from serving.image_input import BATCH_MAX, PIXELS_MAX
from serving.onnx_model import OnnxModel


def document(model: OnnxModel) -> dict[str, Any]:
    channels, height, width = model.image
    pixel = {"type": "integer", "minimum": 0, "maximum": 255}
    cell = pixel if channels == 1 else _list(pixel, 3)
    pixels = _list(_list(cell, width), height)
    picture = {"type": "string", "format": "binary"}
    base64 = {"type": "string", "contentEncoding": "base64"}
    label = {"type": "string", "enum": list(model.classes)}
    schemas = {
        "Label": label,
        "Pixels": _object({"pixels": pixels}),
        "Picture": _object({"image_base64": base64}),
        "Model": _object({"name": _STRING, "version": _STRING}),
        "Prediction": _object(
            {
                "prediction_id": _STRING,
                "label": _ref("Label"),
                "probabilities": _object(dict.fromkeys(model.classes, _SHARE)),
                "model": _ref("Model"),
            }
        ),
        "Error": _object(
            {"error": _object({"code": {"type": "string", "enum": sorted(STATUS)}, "message": _STRING})}
        ),
    }
    batch = _object({"items": _list({"oneOf": [_ref("Pixels"), _ref("Picture")]}, 1, BATCH_MAX)})
    description = _object(
        {
            "name": _STRING,
            "version": _STRING,
            "sha256": _STRING,
            "classes": _list(_STRING, len(model.classes)),
            "image": _object({name: {"type": "integer"} for name in ("height", "width", "channels")}),
        }
    )
    paths = {
        "/predict": _post(
            "Classify one picture",
            f"A PNG or JPEG of {PIXELS_MAX:,} pixels at most, or the {height}x{width} pixels themselves.",
            {
                "image/png": picture,
                "image/jpeg": picture,
                "multipart/form-data": _object({"image": picture}),
                "application/json": _ref("Pixels"),
            },
            _ref("Prediction"),
            [400, 413, 415, 500],
        ),
        "/predict_batch": _post(
            "Classify many pictures",
            f"{BATCH_MAX} at most; answers come in the order of the items.",
            {"application/json": batch},
            _object({"predictions": {"type": "array", "items": _ref("Prediction")}}),
            [400, 413, 415, 500],
        ),
        "/feedback": _post(
            "Say what a picture really showed",
            "Stored for good before it is answered. The same feedback may be sent again.",
            {"application/json": _object({"prediction_id": _STRING, "label": _ref("Label")})},
            _object({"prediction_id": _STRING, "label": _ref("Label"), "agrees": {"type": "boolean"}}),
            [400, 404, 409, 413, 415, 503],
        ),
        "/model": {"get": _operation("Which model answers", "", description, [500])},
    }
    info = {"title": f"{model.name}: image classification", "version": model.version}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


_STRING = {"type": "string"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: dict[str, Any], least: int, most: int | None = None) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most or least}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _post(
    summary: str,
    description: str,
    bodies: dict[str, Any],
    answer: dict[str, Any],
    errors: list[int],
) -> dict[str, Any]:
    content = {media_type: {"schema": schema} for media_type, schema in bodies.items()}
    operation = _operation(summary, description, answer, errors)
    return {"post": operation | {"requestBody": {"required": True, "content": content}}}


def _operation(summary: str, description: str, answer: dict[str, Any], errors: list[int]) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "OK", "content": _json(answer)}}
    for status in errors:
        codes = [code for code, value in STATUS.items() if value == status]
        responses[str(status)] = {"description": ", ".join(codes), "content": _json(_ref("Error"))}
    return {"tags": ["service"], "summary": summary, "description": description, "responses": responses}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
