"""Whether the deep network is worth its trouble: held against methods without one."""

from dataclasses import asdict
from pathlib import Path

from pipeline.core.gates import Gate
from pipeline.core.pictures import intervals
from pipeline.core.statistics import wilson_interval
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.learning import shallow
from pipeline.tasks.image_classification.parameters import Evaluate
from pipeline.tasks.image_classification.testing.answers import Answers
from pipeline.testing.evaluation import Part


def measure(answers: Answers, train: Split, test: Split, limits: Evaluate, folder: Path) -> Part:
    """Writes shallow.png."""
    right = answers.right
    comparisons = shallow.compare(limits, train, test, right)
    best = comparisons[0]
    rows = {"this network": (float(right.mean()), wilson_interval(int(right.sum()), len(right)))}
    rows |= {made.title: (made.accuracy, made.accuracy_interval) for made in comparisons}
    intervals(rows, "accuracy", folder / "shallow.png")
    return Part(
        metrics={"gain_over_shallow": best.gain, "shallow_accuracy": best.accuracy},
        intervals={"gain_over_shallow": best.gain_interval},
        gates=(
            Gate("gain_over_shallow_low", best.gain_interval[0], "at least", 0.0, "training",
                 f"the network does not beat {best.title}; use that, or train better.", best.gain_interval),
        ),
        details={"shallow": [asdict(made) for made in comparisons]},
    )  # fmt: skip


def sentence(part: Part) -> str:
    best = part.details["shallow"][0]
    return f"{best['gain']:+.4f} over {best['name'].replace('_', ' ')}, the best shallow comparator"
