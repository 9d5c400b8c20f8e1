"""What the network knows of products and candidates, layer by layer, as linear probes find it (Alain and
Bengio 2016, arXiv:1610.01644), and a picture of the products.

A probe is a ridge regression on what a layer puts out. The department of a product, which the network is not
told, is learnt from the products of some types and asked of those of other types: products of a type look
alike. Whether a candidate is bought next is learnt from some questions and asked of others.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core import pictures
from pipeline.core.statistics import auroc
from pipeline.tasks.recommendation.data.dataset import CODES, Catalogue
from pipeline.tasks.recommendation.testing.explanations import Read
from pipeline.tasks.recommendation.testing.wanted import Answered
from pipeline.testing.evaluation import Part

if TYPE_CHECKING:
    from torch import Tensor

PRODUCTS = 3000  # bought by most customers
DRAWN = 8  # departments with a colour of their own
RIDGE = 1.0
LEAST = 10  # products of a department, to learn from and to ask about
DRAWS = 500
TYPE, DEPARTMENT = CODES.index("type"), CODES.index("department")


def measure(seen: Read, unseen: Answered, seed: int, folder: Path) -> Part:
    """Writes products.png and layers.png."""
    catalogue, bought_by = unseen.past.catalogue, unseen.bought_by
    described = np.flatnonzero(catalogue.codes[:, DEPARTMENT] > 0)
    products = described[np.argsort(-bought_by[described], kind="stable")[:PRODUCTS]]
    of_products = _of_products(seen, products)
    departments, types = catalogue.codes[products, DEPARTMENT], catalogue.codes[products, TYPE]
    _draw_products(of_products["product"], departments, catalogue, folder / "products.png")
    by_department = {
        name: department(values, departments, types, np.random.default_rng(seed))
        for name, values in of_products.items()
    }
    by_purchase = _purchases(seen, np.random.default_rng(seed))
    _draw_layers(by_department, by_purchase, folder / "layers.png")
    return Part(details={"representation": {"department": by_department, "bought_next": by_purchase}})


def _of_products(seen: Read, products: np.ndarray) -> dict[str, np.ndarray]:
    """float32 (P, D): the looked-up figures of type, category, ... beside each other, and the product's
    vector."""
    import torch

    with torch.inference_mode():
        looked_up = seen.ranker.looked_up(torch.from_numpy(products))
        return {"look-up": looked_up.numpy(), "product": seen.ranker.product(looked_up).numpy()}


def department(
    values: np.ndarray, departments: np.ndarray, types: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    """Share of a department's products that the probe puts there, mean of the departments, so that the
    largest does not decide; of the products of types that it was not fitted on. Its interval is drawn over
    types.

    values: float (P, D); departments, types: int (P,)
    """
    learnt = np.isin(types, rng.permutation(np.unique(types))[::2])
    often = [np.bincount(departments[which], minlength=departments.max() + 1) for which in (learnt, ~learnt)]
    kinds = np.flatnonzero(np.minimum(*often) >= LEAST)
    among = np.isin(departments, kinds)
    if len(kinds) < 2:
        return {
            "departments": len(kinds),
            "products": 0,
            "share": 0.0,
            "interval": (0.0, 1.0),
            "by_guessing": 1.0,
        }
    fitted, asked = learnt & among, ~learnt & among
    wanted = (departments[fitted][:, None] == kinds).astype(float)
    weight = (1 / wanted.sum(axis=0))[wanted.argmax(axis=1)]  # each department counts alike
    said = kinds[_probe(values[fitted], wanted, values[asked], weight).argmax(axis=1)]
    _, of_type = np.unique(types[asked], return_inverse=True)
    cell = of_type * len(kinds) + np.searchsorted(kinds, departments[asked])
    shape = (of_type.max() + 1, len(kinds))
    right, every = (
        np.bincount(cell, counted, shape[0] * shape[1]).reshape(shape)
        for counted in (said == departments[asked], None)
    )
    weights = rng.multinomial(shape[0], np.full(shape[0], 1 / shape[0]), size=DRAWS)
    drawn = (weights @ right / np.maximum(weights @ every, 1)).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    share = float((right.sum(axis=0) / every.sum(axis=0)).mean())
    return {
        "departments": len(kinds),
        "products": int(asked.sum()),
        "share": share,
        "interval": (min(low, share), max(high, share)),
        "by_guessing": 1 / len(kinds),
    }


def _probe(values: np.ndarray, wanted: np.ndarray, asked: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Ridge regression on standardised figures, rows weighted; float64 (asked, outputs)."""
    mean, std = values.mean(axis=0), values.std(axis=0) + 1e-6
    x = ((values - mean) / std).astype(np.float64)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    weight = weight * len(weight) / weight.sum()
    penalty = RIDGE * np.eye(x.shape[1])
    penalty[-1, -1] = 0  # of the constant
    fitted = np.linalg.solve((x * weight[:, None]).T @ x + penalty, (x * weight[:, None]).T @ wanted)
    return ((asked - mean) / std) @ fitted[:-1] + fitted[-1]


def _purchases(seen: Read, rng: np.random.Generator) -> dict[str, Any]:
    """Area under the curve for each layer that a candidate goes through: bought ones against the others."""
    layers = _layers(seen)
    questions = np.flatnonzero(seen.there.any(axis=1))
    learnt = np.isin(np.arange(len(seen.there)), rng.permutation(questions)[::2])
    first, second = seen.there & learnt[:, None], seen.there & ~learnt[:, None]
    relevant = seen.made.relevant > 0
    found = {}
    for name, values in layers.items():
        if not relevant[first].any() or not relevant[second].any():
            continue
        said = values[second][:, 0] if values.shape[-1] == 1 else _probe(
            values[first], relevant[first].astype(float)[:, None], values[second], np.ones(first.sum())
        )[:, 0]  # fmt: skip
        area, interval = auroc(said[~relevant[second]], said[relevant[second]])
        found[name] = {"auroc": area, "interval": interval}
    return found


def _layers(seen: Read) -> Mapping[str, np.ndarray]:
    """float32 (B, C, D): what goes into the last layers, what each hidden one puts out, and the score."""
    import torch
    from torch import nn

    kept: dict[str, Tensor] = {"input": seen.known}

    def keep(name: str) -> Any:
        return lambda _module, _given, out: kept.__setitem__(name, out)

    hidden = [layer for layer in seen.ranker.score if isinstance(layer, nn.GELU)]
    hooks = [layer.register_forward_hook(keep(f"hidden {i}")) for i, layer in enumerate(hidden, start=1)]
    with torch.inference_mode():
        kept["score"] = seen.ranker.score(seen.known)
    for hook in hooks:
        hook.remove()
    return {name: values.numpy() for name, values in kept.items()}


def _draw_products(vectors: np.ndarray, departments: np.ndarray, catalogue: Catalogue, path: Path) -> None:
    """The two directions in which the products' vectors differ most (principal components)."""
    centred = vectors - vectors.mean(axis=0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    flat = centred @ directions[:2].T
    share = spread**2 / (spread**2).sum()
    fig = pictures.figure(7.5, 5)
    ax = fig.subplots()
    names = catalogue.vocabularies["department"]
    kinds, often = np.unique(departments, return_counts=True)
    largest = kinds[np.argsort(-often)][:DRAWN]
    others = ~np.isin(departments, largest)
    ax.scatter(flat[others, 0], flat[others, 1], s=5, color="lightgrey", label="others")
    for place, kind in enumerate(largest.tolist()):
        own = departments == kind
        ax.scatter(flat[own, 0], flat[own, 1], s=7, color=f"C{place}", alpha=0.7, label=names[kind].lower())
    ax.set(xlabel=f"first component ({share[0]:.0%} of the variance)", ylabel=f"second ({share[1]:.0%})")
    fig.legend(fontsize=8, markerscale=2, loc="outside right upper")
    fig.savefig(path)


def _draw_layers(by_department: Mapping[str, Any], by_purchase: Mapping[str, Any], path: Path) -> None:
    fig = pictures.figure(8.5, 3.4)
    left, right = fig.subplots(1, 2)
    for ax, rows, figure, label in (
        (left, by_department, "share", "department found, mean of all"),
        (right, by_purchase, "auroc", "bought next: area under the curve"),
    ):
        for place, row in enumerate(rows.values()):
            ax.plot([place, place], row["interval"], color=pictures.ACCENT, lw=2)
            ax.plot(place, row[figure], "o", color=pictures.ACCENT)
        ax.set_xticks(range(len(rows)), list(rows))
        ax.set(ylabel=label)
        ax.margins(x=0.3)
        ax.grid(alpha=0.3, axis="y")
    for ax, level in ((left, next(iter(by_department.values()))["by_guessing"]), (right, 0.5)):
        ax.axhline(level, color="grey", ls="--", label="by guessing")
        ax.set(ylim=(0, 1))
        ax.legend(fontsize=8)
    fig.savefig(path)
