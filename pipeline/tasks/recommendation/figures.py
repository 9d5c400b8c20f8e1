"""How the files of a recommender's evaluation are shown."""

from pipeline.core.figures import Figure, Intervals

FIGURES = (
    Figure(
        "lists",
        "Against simpler lists",
        "Recall and NDCG of the network's list and of the lists that it must beat, on the same questions.",
        Intervals("list", "recall_at_20", "recall_at_20_low", "recall_at_20_high"),
    ),
    Figure(
        "history", "By the length of the history", "Recall at 20 for customers of whom more or less is known."
    ),
    Figure("worst", "The customers served worst", "Much was wanted, and little of it found."),
)
