"""Requests that schemathesis makes from a service's own OpenAPI document, and what it holds answers to."""

from collections import Counter
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase
from schemathesis import BaseSchema, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from serving.http_errors import STATUS

# Not positive_data_acceptance: JSON Schema cannot say what a PNG is, and takes 255.0 for an integer.
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
    checks.missing_required_header,
    checks.unsupported_method,
]
REFUSALS = sorted({str(status) for status in STATUS.values() if status < 500})  # schemathesis knows no 413


def ask(schema: BaseSchema, examples: int, seed: int = 0) -> Counter[tuple[str, int]]:
    """Asks each operation so often, with data as documented and, where there can be such, with data that
    is not. Counts by (path, status). Raises schemathesis' failures, which hold the request as a curl command.
    """
    schema.config.checks.negative_data_rejection.expected_statuses = REFUSALS
    answers: Counter[tuple[str, int]] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]  # or it raises what is wrong with the document
        takes_data = bool(operation.body or operation.query or operation.path_parameters)
        for mode in GenerationMode if takes_data else [GenerationMode.POSITIVE]:
            cases = operation.as_strategy(generation_mode=mode)
            for case in _drawn(cases, examples, seed):
                response = case.call_and_validate(checks=CHECKS)
                answers[operation.path, response.status_code] += 1
    return answers


def _drawn(cases: Any, examples: int, seed: int) -> list[Case]:
    drawn: list[Case] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=cases)
    def draw(case: Case) -> None:
        drawn.append(case)

    draw()
    return drawn


def with_parameter(document: dict[str, Any], name: str) -> set[str]:
    """The paths of an OpenAPI document of which an operation takes a parameter of that name."""
    return {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if any(one["name"] == name for one in operation.get("parameters", ()))
    }
