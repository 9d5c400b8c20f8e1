"""The OpenAPI document of an image service, made from its model and from the table of errors."""

from typing import Any

from serving.http_errors import COMMON, IMAGES
from serving.image_input import Limits
from serving.image_model import ImageModel
from serving.openapi import SESSION, SHARE, STRING, TRIAL, Document, a_list, an_object, following, ref


def document(model: ImageModel, limits: Limits) -> dict[str, Any]:
    channels, height, width = model.image
    pixel = {"type": "integer", "minimum": 0, "maximum": 255}
    cell = pixel if channels == 1 else a_list(pixel, 3)
    pixels = a_list(a_list(cell, width), height)
    picture = {"type": "string", "format": "binary"}
    base64 = {"type": "string", "contentEncoding": "base64"}
    made = Document(f"{model.name}: image classification", model.version, COMMON | IMAGES)
    made.schemas |= {
        "Label": {"type": "string", "enum": list(model.classes)},
        "Pixels": an_object({"pixels": pixels}),
        "Picture": an_object({"image_base64": base64}),
        "Prediction": an_object(
            {
                "prediction_id": STRING,
                "label": ref("Label"),
                "probabilities": an_object(dict.fromkeys(model.classes, SHARE)),
                "model": ref("Model"),
            }
        ),
    }
    made.post(
        "/predict",
        "Classify one picture",
        f"A PNG or JPEG of {limits.pixels:,} pixels at most, or the {height}x{width} pixels themselves.",
        {
            "image/png": picture,
            "image/jpeg": picture,
            "multipart/form-data": an_object({"image": picture}),
            "application/json": ref("Pixels"),
        },
        ref("Prediction"),
        parameters=[SESSION],
    )
    batch = an_object({"items": a_list({"oneOf": [ref("Pixels"), ref("Picture")]}, 1, limits.batch)})
    made.post(
        "/predict_batch",
        "Classify many pictures",
        f"{limits.batch} at most; answers come in the order of the items.",
        {"application/json": batch},
        an_object({"predictions": {"type": "array", "items": ref("Prediction")}}),
        parameters=[SESSION],
    )
    made.post(
        "/feedback",
        "Say what a picture really showed",
        "Stored for good before it is answered. The same feedback may be sent again.",
        {"application/json": an_object({"prediction_id": STRING, "label": ref("Label")})},
        an_object({"prediction_id": STRING, "label": ref("Label"), "agrees": {"type": "boolean"}}),
        [404, 409],
    )
    description = an_object(
        {
            "name": STRING,
            "version": STRING,
            "sha256": STRING,
            "classes": a_list(STRING, len(model.classes)),
            "image": an_object({name: {"type": "integer"} for name in ("height", "width", "channels")}),
            **following(),
        },
        {"trial": TRIAL},
    )
    made.get("/model", "Which model answers", "", description)
    return made.as_json()
