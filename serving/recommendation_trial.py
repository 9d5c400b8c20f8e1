"""What a trial must know of recommenders."""

import math
from typing import Any

from pipeline.tasks.recommendation.data.asking import Answer, Ask
from serving.recommendation_application import Recommender


class RecommendationTask:
    """Any two recommenders answer the same questions: what one does not know, it says in a note."""

    def differs(self, champion: Recommender, challenger: Recommender) -> str:
        return ""

    def compute(self, model: Recommender, question: Ask) -> Answer:
        (answer,) = model.recommend([question])
        return answer

    def is_sound(self, answer: Answer) -> bool:
        return all(math.isfinite(item.score) for item in answer.items)

    def logged(self, model: Recommender, answer: Answer) -> list[dict[str, Any]]:
        return [
            {
                "items": [item.product_id for item in answer.items],
                "scores": [item.score for item in answer.items],
                "served_by": answer.served_by,
            }
        ]
