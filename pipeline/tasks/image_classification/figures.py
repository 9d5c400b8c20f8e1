"""How the files of an image classifier's evaluation are shown."""

from pipeline.core.figures import Confusion, Figure, Lines

FIGURES = (
    Figure(
        "confusion",
        "Confusion",
        "Rows are the true classes, columns the answers; mistakes are coloured.",
        Confusion(),
    ),
    Figure(
        "reliability",
        "Calibration",
        "Where the network says 80 %, it should be right in 80 of 100 cases, on the diagonal. Below it, the "
        "network is too sure of itself.",
    ),
    Figure(
        "robustness",
        "Robustness",
        "Accuracy on a sample of unseen images that were spoilt, from severity 0 (not at all) to 3.",
        Lines(x="severity"),
    ),
    Figure(
        "shallow",
        "Against methods that are not deep",
        "Each with its 95 % interval, on the same unseen images.",
    ),
    Figure("errors", "Errors", "The most confident ones first; (label?) marks labels that the audit doubts."),
)
