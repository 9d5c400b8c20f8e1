"""What an image service counts besides what every service does."""

from functools import cache


class ImageMetrics:
    def __init__(self) -> None:
        from prometheus_client import Counter  # imported late for the reason that metrics.py gives

        self.predictions = Counter("fullcycle_predictions", "Predictions made.", ["version", "label"])
        self.feedback = Counter("fullcycle_feedback", "Feedback received.", ["agrees"])


@cache
def image_metrics() -> ImageMetrics:
    """The one set of counters of this process."""
    return ImageMetrics()
