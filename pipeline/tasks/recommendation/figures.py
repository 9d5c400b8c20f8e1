"""How the files of a recommender's evaluation are shown; docs/testing.md says more."""

from pipeline.testing.figures import Figure, Intervals

FIGURES = (
    Figure(
        "lists",
        "Against simpler lists",
        "The network's list and the lists that it must beat, on the same questions, with 95 % intervals.",
        Intervals("list", "recall_at_20", "recall_at_20_low", "recall_at_20_high"),
    ),
    Figure("beyond_accuracy", "Beyond accuracy", "How much of the catalogue is shown, and how much new."),
    Figure("losses", "Where recall is lost", "The parts of what recall at 20 lacks, with 95 % intervals."),
    Figure("misses", "What became of the products that were wanted", "By whether they were bought before."),
    Figure(
        "slices",
        "Slices",
        "Recall at 20 for groups of customers, the lowest first, each with its 95 % interval.",
        Intervals("slice", "recall_at_20", "low", "high"),
    ),
    Figure("reliability", "Calibration", "What the scores promise, and what came of it."),
    Figure("confidence", "How sure it is", "What is reached where the network is more or less sure."),
    Figure("robustness", "Robustness", "Recall at 20 when less is known, or what is known is worse."),
    Figure(
        "behaviour",
        "Behaviour",
        "What anyone would expect of it, whatever its recall: the share of cases that pass.",
        Intervals("test", "passed", "low", "high"),
    ),
    Figure("behaviour_failures", "Behaviour that failed", "Case by case."),
    Figure("explanations", "What the scores rest on", "Groups of features, and how far each moves a score."),
    Figure("products", "What the network makes of products", "Products in a plane, by department."),
    Figure("layers", "What the layers keep", "How well each tells department and purchase."),
    Figure("worst", "The customers served worst", "Much was wanted, and little of it found."),
)
