"""Changing values in YAML text without losing its comments, where it is written as params.yaml is:
block style, two spaces a level, no tabs."""

import re
from datetime import date
from typing import Any

import yaml


def lines_of(lines: list[str], path: tuple[str, ...]) -> tuple[int, int]:
    """First line of the key at `path`, and the line after all that belongs to it; KeyError if missing."""
    start, end = -1, len(lines)
    for depth, key in enumerate(path):
        found = re.compile(rf" {{{2 * depth}}}{re.escape(key)}:(\s|$)")
        start = next((i for i in range(start + 1, end) if found.match(lines[i])), -1)
        if start < 0:
            raise KeyError(".".join(path[: depth + 1]))
        end = next((i for i in range(start + 1, end) if _ends(lines[i], 2 * depth)), end)
    return start, end


def replaced(lines: list[str], path: tuple[str, ...], value: Any, *, block: bool) -> list[str]:
    """`lines` with another value at `path`. block: one entry a line; else all in the line of the key,
    whose comment stays. A date is written as text, in quotes: DVC reads no others."""
    value = plain(value)
    start, end = lines_of(lines, path)
    indent, key = " " * (2 * len(path) - 2), path[-1]
    while end > start + 1 and not lines[end - 1].strip():
        end -= 1  # blank lines before the next key stay
    if block:
        style = None if any(isinstance(entry, dict) for entry in value) else False  # None: lists in one line
        dumped = yaml.safe_dump(
            value, sort_keys=False, allow_unicode=True, default_flow_style=style, width=90
        )
        new = [f"{indent}{key}:", *(f"{indent}  {line}" for line in dumped.splitlines())]
    else:
        flow = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"))
        text = f"{indent}{key}: {flow.removesuffix('...' + chr(10)).strip()}"
        comment = re.search(r"(?<=\s)# .*$", lines[start])
        new = [f"{text} ".ljust(comment.start()) + comment.group() if comment else text]
    return [*lines[:start], *new, *lines[end:]]


def plain(value: Any) -> Any:
    """A value as it stands in the text: dates as text."""
    return value.isoformat() if isinstance(value, date) else value


def _ends(line: str, indent: int) -> bool:
    text = line.strip()
    return bool(text) and not text.startswith("#") and len(line) - len(line.lstrip()) <= indent
