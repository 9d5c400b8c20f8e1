"""What a recommendation service counts besides what every service does."""

from functools import cache


class RecommendationMetrics:
    def __init__(self) -> None:
        from prometheus_client import Counter  # imported late for the reason that metrics.py gives

        self.recommendations = Counter(
            "fullcycle_recommendations", "Lists answered.", ["version", "served_by", "mode"]
        )
        self.items = Counter("fullcycle_recommended_items", "Items in the lists answered.", ["mode"])
        self.events = Counter("fullcycle_events", "Events received.", ["kind", "source"])


@cache
def recommendation_metrics() -> RecommendationMetrics:
    """The one set of counters of this process."""
    return RecommendationMetrics()
