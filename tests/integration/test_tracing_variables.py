"""Variables of OpenTelemetry that say what cannot be: there are no traces then, and a playground as ever."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from tests.support.controls import SHIPPED
from tests.support.playground import playground_at


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "max_queue_size must be"),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "99999"}, "max_export_batch_size must be"),
        ({"OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": "nobody"}, "'nobody'"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4318"}, "no http:// or https:// address"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1"}, "no http:// or https:// address"),
    ],
    ids=["queue", "batch", "provider", "scheme", "brackets"],
)
async def test_a_variable_that_says_what_cannot_be_costs_the_traces_and_nothing_else(
    wrong: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch, structlog.testing.capture_logs() as lines:
        for name, value in ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"} | wrong).items():
            patch.setenv(name, value)
        async with playground_at(tmp_path, scenarios_dir=str(SHIPPED)) as running:
            assert running.services.tracing is None
    [warned] = [line for line in lines if line["event"].startswith("tracing.")]
    assert (warned["event"], warned["log_level"]) == ("tracing.misconfigured", "warning")
    assert said in warned["error"]
