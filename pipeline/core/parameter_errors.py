"""What is wrong with params.yaml, in the words and places of params.yaml.

pydantic tells of Python classes; a person reads `params.yaml: projects.digits.train.epochs: missing`.
"""

import difflib
import textwrap
import types
from collections.abc import Iterable
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

VALUE_SHOWN = 100  # characters of a refused value, in a message


def explained(where: str, error: ValidationError, model: type[BaseModel]) -> str:
    """A line for each value of `model` that is wrong; where: the place of the whole in params.yaml."""
    lines = []
    found = error.errors()
    for item in found:
        if any(item["loc"] == other["loc"][: len(item["loc"])] for other in found if other is not item):
            continue  # says in general what another says in particular
        location = [str(part) for part in item["loc"]]
        key = ".".join([where, *_yaml_location(location, model)])
        match item["type"]:
            case "missing":
                lines.append(f"{key}: missing. Add it, as the shipped projects have it.")
            case "extra_forbidden":
                siblings = _fields_at(model, location[:-1])
                hint = suggestion(location[-1], siblings)
                allowed = f" Allowed here: {', '.join(sorted(siblings))}." if siblings else ""
                lines.append(f"{key}: unknown key{hint}.{allowed}")
            case _:
                wrong = item["msg"].removeprefix("Value error, ")  # pydantic's, before what a validator says
                if isinstance(item["input"], dict):  # a whole section; the message says what of it
                    lines.append(f"{key}: {wrong}.")
                else:
                    given = textwrap.shorten(repr(item["input"]), VALUE_SHOWN, placeholder=" ...")
                    lines.append(f"{key}: {given} is not allowed: {wrong}.")
    return "\n".join(lines)


def _yaml_location(location: list[str], model: Any) -> list[str]:
    """Drops the names that pydantic adds for the branch of a union; YAML has no such key."""
    kept = []
    for part in location:
        inside, is_branch = _step(model, part)
        if not is_branch:
            kept.append(part)
        model = inside
    return kept


def _step(model: Any, part: str) -> tuple[Any, bool]:
    """What is declared under `part` of `model`, and whether `part` only names a branch of a union."""
    models = _models(model)
    fields = [
        info.annotation for m in models for name, info in m.model_fields.items() if part in (name, info.alias)
    ]
    if fields:
        return fields[0], False
    branch = tuple(m for m in models if any(part in _literals(f.annotation) for f in m.model_fields.values()))
    if branch and not part.isdigit():
        return Union[branch], True  # noqa: UP007 - built from a tuple
    return model, False


def _literals(annotation: Any) -> set[str]:
    return {str(value) for value in get_args(annotation)} if get_origin(annotation) is Literal else set()


def _fields_at(model: Any, location: list[str]) -> set[str]:
    """Names of the keys allowed at `location` of `model`; of all branches where it is a union."""
    for part in location:
        model, _ = _step(model, part)
    return {info.alias or name for m in _models(model) for name, info in m.model_fields.items()}


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [m for part in get_args(annotation) for m in _models(part)]


def suggestion(given: str, known: Iterable[str]) -> str:
    """What may have been meant, as the rest of a sentence; "" where nothing known is near."""
    close = difflib.get_close_matches(given, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
