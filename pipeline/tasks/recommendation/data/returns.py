"""Which purchases came back, and how long after: a label is final only when that is known.

A return (negative quantity or value) belongs to the latest earlier purchase of the same product by the same
customer that none has taken yet. The purchase stays: on the day of the purchase nobody knew that it would
come back, and a history without it would tell the past what came later. That it came back is counted, and
so is what came back after label.maturity_days: then the policy waits too short a time.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tasks.recommendation.data.baskets import codes
from pipeline.tasks.recommendation.data.cleaning import Rule
from pipeline.tasks.recommendation.data.columns import SECONDS_A_DAY, seconds


@dataclass(frozen=True)
class Returns:
    """rule: purchases that came back; late: of the matched returns, those after the maturity; unmatched:
    returns without an earlier purchase"""

    rule: Rule
    matched: int
    late: int
    unmatched: int
    days_max: float

    def as_json(self) -> dict[str, float]:
        return {
            "late_returns": self.late,
            "late_returns_share": self.late / max(self.matched, 1),
            "unmatched_returns": self.unmatched,
            "return_days_max": self.days_max,
        }


def match(lines: pa.Table, maturity_days: int) -> Returns:
    """lines: of purchases, each with customer, product and time; quantity and value may be missing"""
    figures = [np.asarray(pc.fill_null(lines[name], 0.0)) for name in ("quantity", "value")]
    back = (figures[0] < 0) | (figures[1] < 0)
    waits = _seconds_until_return(lines, back)
    found = waits[waits >= 0]
    rule = Rule("returned", len(found), lines.num_rows, 0,
                "came back later: counts as bought, as nobody knew it then")  # fmt: skip
    return Returns(
        rule=rule,
        matched=len(found),
        late=int((found > maturity_days * SECONDS_A_DAY).sum()),
        unmatched=int(back.sum()) - len(found),
        days_max=float(found.max(initial=0)) / SECONDS_A_DAY,
    )


def _seconds_until_return(lines: pa.Table, back: np.ndarray) -> np.ndarray:
    """int64 (R,) of each return, -1 where nothing was bought before; back: bool (N,)"""
    if not back.any():
        return np.zeros(0, dtype=np.int64)
    customer, product, time = codes(lines["customer"]), codes(lines["product"]), seconds(lines["time"])
    pair = customer * (product.max(initial=0) + 1) + product
    # What was bought in the same moment was bought before it came back.
    order = np.lexsort((back, time, pair))
    order = order[np.isin(pair[order], pair[back])]
    open_purchases: list[int] = []
    waits, last = [], -1
    for row in order:
        if pair[row] != last:
            open_purchases, last = [], pair[row]
        if not back[row]:
            open_purchases.append(int(time[row]))
        else:
            waits.append(int(time[row]) - open_purchases.pop() if open_purchases else -1)
    return np.array(waits, dtype=np.int64)
