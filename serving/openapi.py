"""The parts that OpenAPI 3.1 documents of services are made of."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from serving.trial import SESSION_HEADER

GUARDED = (401, 403, 429)  # statuses of what is refused before a request is read
STRING = {"type": "string"}
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
# Of GET /model, where a challenger may be tried (serving/trial.py).
TRIAL = {
    "type": "object",
    "properties": {
        "mode": {"type": "string", "enum": ["shadow", "canary"]},
        "share": SHARE,
        "challenger": {"type": ["string", "null"]},
        "state": {"type": "string", "enum": ["waiting", "running", "stopped"]},
        "why": STRING,
    },
    "required": ["mode", "share", "challenger", "state", "why"],
    "additionalProperties": False,
}
# Of requests that a challenger may answer.
SESSION = {
    "name": SESSION_HEADER,
    "in": "header",
    "required": False,
    "schema": STRING,
    "description": "What the caller calls the client's session; not kept. While a challenger is tried, the "
    "same session gets the same model.",
}
ALWAYS = (500, 503)  # a fault of ours, and more asked than can be taken: any operation may answer so
WITH_BODY = (400, 408, 413, 415, *ALWAYS)
RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which to ask again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
HEADERS = {429: RETRY_AFTER, 503: RETRY_AFTER}


class Document:
    """One service's document.

    codes: of the errors that the service may answer, with their status.
    """

    def __init__(self, title: str, version: str, codes: Mapping[str, int]) -> None:
        self.info = {"title": title, "version": version}
        self.codes = codes
        self.paths: dict[str, Any] = {}
        self.schemas: dict[str, Any] = {
            "Model": an_object({"name": STRING, "version": STRING}),
            "Refused": an_object({name: STRING for name in ("alias", "version", "why", "at")}),
            "Error": an_object(
                {"error": an_object({"code": {"type": "string", "enum": sorted(codes)}, "message": STRING})}
            ),
        }

    def post(
        self,
        path: str,
        summary: str,
        description: str,
        bodies: dict[str, Any],
        answer: dict[str, Any],
        errors: Sequence[int] = (),
        parameters: Sequence[dict[str, Any]] = (),
    ) -> None:
        """bodies: media type -> schema; errors: what may be answered besides WITH_BODY; parameters: as of
        `get`, or SESSION."""
        content = {media_type: {"schema": schema} for media_type, schema in bodies.items()}
        operation = self._operation(summary, description, answer, {*errors, *WITH_BODY})
        operation |= {"requestBody": {"required": True, "content": content}}
        self.paths[path] = {"post": operation | _given(parameters)}

    def get(
        self,
        path: str,
        summary: str,
        description: str,
        answer: dict[str, Any],
        errors: Sequence[int] = (),
        parameters: Sequence[dict[str, Any]] = (),
    ) -> None:
        """errors: what may be answered besides ALWAYS; parameters: as made by `query` and `in_path`."""
        operation = self._operation(summary, description, answer, {*errors, *ALWAYS})
        self.paths[path] = {"get": operation | _given(parameters)}

    def as_json(self) -> dict[str, Any]:
        token = {"type": "http", "scheme": "bearer", "description": "Where the service asks for one."}
        return {
            "openapi": "3.1.0",
            "info": self.info,
            "paths": self.paths,
            "components": {"schemas": self.schemas, "securitySchemes": {"token": token}},
            "security": [{}, {"token": []}],
        }

    def _operation(
        self, summary: str, description: str, answer: dict[str, Any], errors: Collection[int]
    ) -> dict[str, Any]:
        responses: dict[str, Any] = {"200": {"description": "OK", "content": _json(answer)}}
        for status in sorted({*errors, *GUARDED}):
            codes = [code for code, value in self.codes.items() if value == status]
            said = {"description": ", ".join(codes), "content": _json(ref("Error"))}
            responses[str(status)] = said | ({"headers": HEADERS[status]} if status in HEADERS else {})
        return {"tags": ["service"], "summary": summary, "description": description, "responses": responses}


def following() -> dict[str, Any]:
    """What /model tells of the registry."""
    reachable = {"type": ["boolean", "null"]}
    return {
        "registry": an_object({"followed": {"type": "boolean"}, "reachable": reachable}),
        "refused": {"type": "array", "items": ref("Refused")},
    }


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def a_list(items: dict[str, Any], least: int, most: int | None = None) -> dict[str, Any]:
    """most: None for exactly `least` items."""
    return {"type": "array", "items": items, "minItems": least, "maxItems": most or least}


def an_object(properties: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """properties: those that must be there; optional: those that may."""
    return {
        "type": "object",
        "properties": properties | (optional or {}),
        "required": list(properties),
        "additionalProperties": False,
    }


def query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def in_path(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": STRING, "description": description}


def _given(parameters: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"parameters": list(parameters)} if parameters else {}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
