"""What a trial must know of image models."""

from typing import Any

import numpy as np

from serving.image_model import ImageModel


class ImageTask:
    """A question is uint8 (N, C, H, W), an answer the probabilities, float32 (N, K)."""

    def differs(self, champion: ImageModel, challenger: ImageModel) -> str:
        if challenger.image != champion.image:
            return f"it takes images of {challenger.image}, the champion of {champion.image}"
        if challenger.classes != champion.classes:
            return f"its classes are {', '.join(challenger.classes)}"
        return ""

    def compute(self, model: ImageModel, question: np.ndarray) -> np.ndarray:
        return model.probabilities(question)

    def fault(self, model: ImageModel, question: np.ndarray, answer: np.ndarray) -> str | None:
        if answer.shape != (len(question), len(model.classes)):
            return f"the answer to {len(question)} images has the shape {answer.shape}"
        return None if np.isfinite(answer).all() else "the answer holds what is no finite number"

    def logged(self, model: ImageModel, answer: np.ndarray) -> list[dict[str, Any]]:
        best = answer.argmax(axis=1)
        return [
            {"label": model.classes[place], "confidence": float(row[place])}
            for place, row in zip(best, answer, strict=True)
        ]
