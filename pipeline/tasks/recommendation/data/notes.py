"""What of a question could not be used, and what was done instead; one sentence each."""

from collections.abc import Sequence

from pipeline.tasks.recommendation.data.asking import Ask, Id
from pipeline.tasks.recommendation.data.ranking import List

SHOWN = 5  # unknown products that are named


def of_ask(
    ask: Ask, known: bool, has_history: bool, unknown: Sequence[Id], unknown_store: bool, carts: int
) -> tuple[str, ...]:
    """known: the customer, or nobody was named; unknown: products of the basket; carts: products that
    live events say are in the cart, where the question named none"""
    said = []
    nothing = not has_history and not carts and len(unknown) == len(set(ask.basket))
    instead = ": this is what sells best" if nothing else ""
    if not known:
        said.append(f"customer {ask.customer} is unknown{instead}")
    elif ask.customer is not None and not has_history:
        said.append(f"customer {ask.customer} has bought nothing yet{instead}")
    elif nothing:
        said.append(f"neither a customer nor a basket was named{instead}")
    if unknown:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        named = ", ".join(str(id_) for id_ in unknown[:SHOWN]) + more
        one = len(unknown) == 1
        said.append(
            f"{'product' if one else 'products'} {named} "
            f"{'is unknown and was' if one else 'are unknown and were'} left out"
        )
    if carts:
        some = "product that was" if carts == 1 else "products that were"
        said.append(f"{carts} {some} put into the cart within two hours: taken as the basket")
    if unknown_store:
        said.append(f"store {ask.store} is unknown: the list is that of the whole shop")
    if ask.demographics:
        said.append("demographics are not used: they did not make the lists any better when it was measured")
    return tuple(said)


def of_list(ask: Ask, listed: List) -> tuple[str, ...]:
    if len(listed.products) < ask.k and ask.mode == "replenish":
        return (f"only {len(listed.products)} products bought before are left",)
    if len(listed.products) < ask.k:
        return (f"only {len(listed.products)} products are left to recommend",)
    if listed.filled and ask.mode != "replenish":
        return (f"the last {listed.filled} are what sells best",)
    return ()
