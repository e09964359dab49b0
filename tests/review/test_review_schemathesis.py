"""schemathesis over the whole API: no request that fits the schema makes the server fail or leave it."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from review.app import create_app

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 6  # of each operation: 30 operations in about 20 s on an idle core


def test_api_keeps_its_word(bench: Any) -> None:
    """As a lead, over an open case. Every operation is tried with what its schema allows."""
    bench.flag("up-1")
    client = bench.browser("lea")
    headers = {
        "cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items()),
        "x-csrf-token": client.headers["x-csrf-token"],
    }
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", create_app(bench.desk))
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 30
    for operation in operations:
        _try(operation, headers)


def _try(operation: Any, headers: dict[str, str]) -> None:
    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def keeps_its_word(case: Any) -> None:
        case.call_and_validate(checks=CHECKS, headers=headers)

    keeps_its_word()
