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

    def fault(self, model: Recommender, question: Ask, answer: Answer) -> str | None:
        if len(answer.items) > question.k:
            return f"the answer has {len(answer.items)} items where {question.k} were asked for"
        finite = all(math.isfinite(item.score) for item in answer.items)
        return None if finite else "the answer holds what is no finite number"

    def logged(self, model: Recommender, answer: Answer) -> list[dict[str, Any]]:
        return [
            {
                "items": [item.product_id for item in answer.items],
                "scores": [item.score for item in answer.items],
                "served_by": answer.served_by,
            }
        ]
