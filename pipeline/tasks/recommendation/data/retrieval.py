"""How candidates are found and counted: what a state is built with, beside the purchases themselves.

The values stand in params.yaml (`train.retrieval`) and travel with the model in model.json, so that the
service counts as the training did.
"""

from dataclasses import dataclass

# What a state is built with; the rest says how it is asked.
COUNTED_WITH = ("similarity_items", "ridge", "neighbours", "neighbour_pool")


@dataclass(frozen=True)
class Retrieval:
    """repeats: products that the customer bought, most promising by frequency and recency; similar:
    new ones by item similarity; affine: new ones by the customer's types and what sells in them;
    popular: what sells everywhere; together: new ones bought in a basket with what is in the live one

    similarity_items: best-selling products that the item similarity knows; ridge: its regularisation
    neighbours: customers whose mean is a customer's outlook on new products; neighbour_pool: customers
    among whom they are looked for, so that the cost does not grow with the square of the customers
    baskets, basket_products: newest baskets that the network reads, and products of each
    """

    repeats: int
    similar: int
    affine: int
    popular: int
    together: int
    similarity_items: int
    ridge: float
    neighbours: int
    neighbour_pool: int
    baskets: int
    basket_products: int
