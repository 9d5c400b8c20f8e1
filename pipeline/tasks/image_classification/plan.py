"""Planning an image project."""

from pipeline.tasks.image_classification.parameters import Goals


def headline_goal(goals: Goals) -> float:
    """The share of unseen items that must be right: what the plan must be able to verify."""
    return goals.accuracy_min
