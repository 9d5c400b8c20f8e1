"""How shops usually call their columns; used to guess them, never to read them.

A name counts whatever its case and its signs between words: `Customer ID` is `customer_id`.
"""

import re
from collections.abc import Iterable

USUAL: dict[str, tuple[str, ...]] = {
    "customer": ("customer", "customer_id", "household_id", "household", "user_id", "user", "client_id",
                 "client", "member_id", "shopper_id", "visitor_id", "card_id", "account_id"),
    "product": ("product", "product_id", "item_id", "item", "sku", "article_id", "article", "stock_code",
                "upc", "ean", "gtin", "asin", "product_code"),
    "time": ("time", "timestamp", "transaction_timestamp", "datetime", "event_time", "purchase_time",
             "invoice_date", "order_date", "order_time", "purchase_date", "created_at", "t_dat", "ts", "date",
             "day"),
    "basket": ("basket", "basket_id", "order_id", "order", "invoice", "invoice_no", "receipt_id",
               "transaction_id", "cart_id", "ticket_id"),
    "store": ("store", "store_id", "shop_id", "branch_id", "outlet_id", "location_id", "sales_channel_id"),
    "quantity": ("quantity", "qty", "units", "pieces", "count"),
    "value": ("value", "sales_value", "total", "amount", "sales", "revenue", "line_total", "paid", "price"),
    "discount": ("discount", "discounts", "retail_disc", "coupon_disc", "coupon_match_disc",
                 "discount_amount"),
    "coupon": ("coupon", "coupon_id", "coupon_upc"),
    "campaign": ("campaign", "campaign_id"),
    "kind": ("kind", "event", "event_type", "type", "action", "behavior", "behaviour"),
    "name": ("name", "product_name", "title", "description", "prod_name"),
    "type": ("type", "product_type", "subcategory", "sub_category", "product_type_name", "product_group"),
    "category": ("category", "product_category", "category_id", "category_name"),
    "department": ("department", "department_name", "section"),
    "manufacturer": ("manufacturer", "manufacturer_id", "vendor", "supplier"),
    "brand": ("brand", "brand_name", "brand_id"),
    "size": ("size", "package_size", "pack_size"),
    "display": ("display", "display_location"),
    "mailer": ("mailer", "mailer_location", "leaflet", "flyer"),
    "week": ("week", "week_no"),
    "start": ("start", "start_date", "week_start", "date"),
    "end": ("end", "end_date"),
}  # fmt: skip
SEVERAL = ("discount",)  # all that are found are added up
KINDS: dict[str, tuple[str, ...]] = {
    "view": ("view", "pageview", "page_view", "detail", "click", "pv"),
    "cart": ("cart", "addtocart", "add_to_cart", "basket"),
    "purchase": ("purchase", "buy", "transaction", "order", "sale", "bought"),
    "exposure": ("exposure", "impression", "email", "display", "shown"),
    "redeem": ("redeem", "redemption", "coupon"),
}


def guess(name: str, columns: Iterable[str]) -> list[str]:
    """The columns that are usually called so, the likeliest first; at most one but for SEVERAL."""
    spelled = {_plain(column): column for column in reversed(list(columns))}
    found = [spelled[_plain(usual)] for usual in USUAL.get(name, ()) if _plain(usual) in spelled]
    return found if name in SEVERAL else found[:1]


def kind_of(word: str) -> str | None:
    """The kind of event that a word in a column of kinds usually means."""
    return next((kind for kind, words in KINDS.items() if _plain(word) in map(_plain, words)), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
