"""How the files of an image classifier's evaluation are shown; docs/testing.md says more."""

from pipeline.testing.figures import Confusion, Figure, Intervals, Lines

FIGURES = (
    Figure(
        "confusion",
        "Confusion",
        "Rows are the true classes, columns the answers; mistakes are coloured.",
        Confusion(),
    ),
    Figure(
        "classes",
        "Class by class",
        "Recall, precision and F1 with their 95 % intervals, the lowest recall on top.",
        Intervals("class", "recall", "recall_low", "recall_high"),
    ),
    Figure(
        "slices",
        "Slices",
        "Accuracy in parts of the unseen images, the worst first, each with its 95 % interval.",
        Intervals("slice", "accuracy", "low", "high"),
    ),
    Figure("slice_examples", "What the worst slices hold", "Unseen images of each, with the answers."),
    Figure(
        "reliability",
        "Calibration",
        "Where the network says 80 %, it should be right in 80 of 100 cases, on the diagonal. Below it, the "
        "network is too sure of itself.",
        Lines("confidence", ("accuracy",)),
    ),
    Figure(
        "coverage",
        "What can be answered without a person",
        "The least confident images go to people: accuracy of the others, by the share that is left.",
        Lines("coverage", ("accuracy",)),
    ),
    Figure(
        "robustness",
        "Robustness",
        "Accuracy on a sample of unseen images that were spoilt, from severity 0 (not at all) upwards.",
        Lines("severity", ("accuracy",), by="corruption"),
    ),
    Figure(
        "behaviour",
        "Behaviour",
        "What anyone would expect of it, whatever its accuracy: the share that passes, and what failed.",
        Intervals("test", "share", "low", "high"),
    ),
    Figure("shallow", "Against methods that are not deep", "With 95 % intervals, on the same images."),
    Figure("errors", "Errors", "The most confident ones first."),
    Figure("attributions", "What right answers rest on", "Pixels for the answer, and against it."),
    Figure("attributions_of_errors", "What wrong answers rest on", "For the answer, and for the true class."),
    Figure(
        "deletion",
        "Whether these explanations can be believed",
        "Taking away the pixels named most important must cost more than taking away as many at random.",
    ),
    Figure("activations", "What the layers answer to", "Activations of some channels, layer by layer."),
    Figure("classes_by_depth", "How the classes part from layer to layer", "Unseen images in a plane."),
    Figure(
        "separability",
        "How well each layer tells the classes apart",
        "Accuracy of the nearest class mean after each layer.",
    ),
)
