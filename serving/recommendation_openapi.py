"""The OpenAPI document of a recommendation service."""

from typing import Any

from pipeline.tasks.recommendation.data.asking import KINDS, MODES, Ask
from serving.application import Model
from serving.http_errors import COMMON, RECOMMENDATION
from serving.openapi import (
    SESSION,
    STRING,
    TRIAL,
    Document,
    a_list,
    an_object,
    following,
    in_path,
    query,
    ref,
)
from serving.recommendation_input import (
    DEMOGRAPHICS_MAX,
    QUANTITY_MAX,
    TEXT_MAX,
    VALUE_MAX,
    Limits,
)

NUMBER = {"type": "number"}
INTEGER = {"type": "integer"}
BOOLEAN = {"type": "boolean"}
ID = {"oneOf": [{"type": "string", "minLength": 1, "maxLength": TEXT_MAX}, INTEGER]}
MODE = {"type": "string", "enum": list(MODES)}
KIND = {"type": "string", "enum": list(KINDS)}
EXAMPLE = {"customer_id": 1, "basket": [], "k": 5, "mode": "mixed"}


def document(model: Model, limits: Limits) -> dict[str, Any]:
    made = Document(f"{model.name}: recommendation", model.version, COMMON | RECOMMENDATION)
    made.schemas |= _schemas(limits)
    made.post(
        "/recommend",
        "Recommend products",
        "Every field may be left out. A customer or product that nobody knows is no error: `notes` says "
        "what could not be used, `served_by` which model made the list.",
        {"application/json": ref("Ask")},
        ref("Recommendation"),
        parameters=[SESSION],
    )
    made.post(
        "/feedback",
        "Say what became of a recommended product",
        "Stored for good before it is answered, and known to the customer's next recommendation. The same "
        "feedback may be sent again and counts once.",
        {"application/json": ref("Feedback")},
        an_object({**_FEEDBACK, "new": BOOLEAN}),
        [404],
    )
    made.post(
        "/events",
        "Say what customers did",
        f"{limits.events} at most, all or none. Stored for good before it is answered, and known to the "
        "customers' next recommendations. Sent twice, they count twice.",
        {"application/json": an_object({"events": a_list(ref("Event"), 1, limits.events)})},
        an_object({"stored": INTEGER, "notes": _any_number(STRING)}),
    )
    how_many = query("count", {"type": "integer", "minimum": 1, "maximum": 100}, "How many at most.")
    made.get(
        "/customers",
        "Some customers that the model knows",
        "",
        an_object({"customers": _any_number(ID)}),
        [400],
        [how_many],
    )
    made.get(
        "/customers/{id}",
        "What a customer bought",
        "Baskets, newest first, and the products of most of his baskets.",
        ref("Customer"),
        [400, 404],
        [in_path("id", "Of a customer; an unknown one has no baskets."), how_many],
    )
    made.get(
        "/products",
        "Find products by words of their names",
        "",
        an_object({"products": _any_number(ref("Product"))}),
        [400],
        [query("search", STRING, "Words of the name.") | {"required": True}, how_many],
    )
    description = an_object(
        {
            "name": STRING,
            "version": STRING,
            "sha256": STRING,
            "modes": _any_number(MODE),
            "events": _any_number(KIND),
            "attributes": {"type": "object", "additionalProperties": _any_number(STRING)},
            "stores": _any_number(ID),
            **following(),
        },
        {"trial": TRIAL},
    )
    made.get("/model", "Which model answers", "", description)
    return made.as_json()


_FEEDBACK: dict[str, Any] = {"prediction_id": STRING, "product_id": ID, "event": KIND}


def _schemas(limits: Limits) -> dict[str, Any]:
    products = _or_null({"type": "array", "items": ID, "maxItems": limits.basket}, default=[])
    product = {"product_id": ID, "name": STRING}
    basket_item = an_object({**product, "quantity": NUMBER})
    return {
        "Ask": an_object(
            {},
            {
                "customer_id": _or_null(ID),
                "basket": products,
                "k": _or_null(
                    {"type": "integer", "minimum": 1, "maximum": limits.answer},
                    default=min(Ask.k, limits.answer),
                ),
                "mode": _or_null(MODE, default=Ask.mode),
                "exclude": products,
                "store_id": _or_null(ID),
                "demographics": _or_null(
                    {"type": "object", "additionalProperties": ID, "maxProperties": DEMOGRAPHICS_MAX}
                ),
            },
        )
        | {"example": EXAMPLE},
        "Recommendation": an_object(
            {
                "prediction_id": STRING,
                "items": _any_number(an_object({**product, "score": NUMBER, "reason": STRING})),
                "served_by": STRING,
                "model": ref("Model"),
                "notes": _any_number(STRING),
            }
        ),
        "Feedback": an_object(_FEEDBACK),
        "Event": an_object(
            {"customer_id": ID, "product_id": ID, "kind": KIND},
            {
                "quantity": _or_null(
                    {"type": "number", "exclusiveMinimum": 0, "maximum": QUANTITY_MAX}, default=1
                ),
                "value": _or_null({"type": "number", "minimum": 0, "maximum": VALUE_MAX}, default=0),
                "time": _or_null({"type": "string", "format": "date-time"}, description="Left out: now."),
            },
        ),
        "Product": an_object(product),
        "Customer": an_object(
            {
                "customer_id": STRING,
                "known": BOOLEAN,
                "basket_count": INTEGER,
                "baskets": _any_number(an_object({"day": STRING, "items": _any_number(basket_item)})),
                "products": _any_number(an_object({**product, "baskets": INTEGER, "last": STRING})),
            }
        ),
    }


def _any_number(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _or_null(schema: dict[str, Any], **said: Any) -> dict[str, Any]:
    """Of a field that counts as left out where it is null."""
    return {"anyOf": [schema, {"type": "null"}], **said}
