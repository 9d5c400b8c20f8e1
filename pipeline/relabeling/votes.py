"""What people said of items, and what holds where several of them said it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.labels.corrections import Correction


@dataclass(frozen=True)
class Vote:
    """One label that one person gave to one item.

    by: who; "" where the file does not say. time: seconds since 1970, later ones replace earlier ones
    of the same person; where: the place in the file, for messages.
    """

    item_id: str
    label: str
    by: str
    time: float
    where: str


@dataclass
class Reading:
    """What a file said. skipped: answers left empty or cancelled; problems: rows that are wrong."""

    votes: list[Vote] = field(default_factory=list)
    skipped: int = 0
    problems: list[str] = field(default_factory=list)


def settle(votes: Iterable[Vote]) -> tuple[dict[str, Correction], list[str]]:
    """item_id -> what more than half of those who labelled it said; and the items without such a label.

    Of each person the last vote counts.
    """
    last: dict[str, dict[str, Vote]] = {}
    for vote in votes:
        of_item = last.setdefault(vote.item_id, {})
        earlier = of_item.get(vote.by)
        if earlier is None or vote.time >= earlier.time:
            of_item[vote.by] = vote
    settled, open_items = {}, []
    for item, of_item in last.items():
        label, count = Counter(vote.label for vote in of_item.values()).most_common(1)[0]
        if 2 * count > len(of_item):
            agreeing = sorted(by for by, vote in of_item.items() if vote.label == label)
            settled[item] = Correction(label, " + ".join(filter(None, agreeing)))
        else:
            open_items.append(item)
    return settled, sorted(open_items)
