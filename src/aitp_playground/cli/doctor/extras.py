"""Checks of what is extra: traces, and language models."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from aitp_playground.cli.doctor.findings import Finding, error, ok, warning
from aitp_playground.config import Settings
from aitp_playground.errors import ConfigurationError
from aitp_playground.events.narration import plain
from aitp_playground.observability.tracing import NO_SDK, endpoint_of, exporter, receiver_of

#: What is sent, and how; the SDK heeds neither variable, and takes the word of neither.
_PROTOCOL: Final = "http/protobuf"
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SAMPLERS: Final = frozenset(
    f"{parent}{one}" for parent in ("", "parentbased_") for one in ("always_on", "always_off", "traceidratio")
)
_CONNECT_SECONDS: Final = 3.0


def traces(_settings: Settings) -> Iterator[Finding]:
    """Whether traces go where the standard variables say."""
    if (endpoint := endpoint_of()) is None:
        return
    try:
        made = exporter(endpoint)
    except ConfigurationError as failure:
        yield warning("traces", f"none are exported: {failure.message}", "correct that variable, or unset it")
        return
    if made is None:
        yield warning("traces", NO_SDK, "pip install 'aitp-playground[otel]' (in a checkout: make otel)")
        return
    made.shutdown()
    where = plain(receiver_of(endpoint))
    if faults := list(_misunderstood()):
        yield from faults
    elif (why := _away(endpoint)) is not None:
        advice = "start the receiver, or correct the address; runs go on without, and what cannot be sent is dropped"
        yield warning("traces", f"nobody takes them at {where}: {why}", advice)
    else:
        yield ok("traces", f"exported to {where}")


def _misunderstood() -> Iterator[Finding]:
    """Variables whose values the SDK passes over."""
    protocol = next((name for name in _PROTOCOLS if os.environ.get(name)), "")
    if protocol and os.environ[protocol].strip() != _PROTOCOL:
        said = f"{protocol} asks for {plain(os.environ[protocol], 40)}, and they are sent as {_PROTOCOL} all the same"
        yield warning(
            "traces", said, f"name the receiver's port for HTTP (4318 as a rule), and set {protocol}={_PROTOCOL}"
        )
    sampler = os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if sampler and sampler not in _SAMPLERS:
        said = f"OTEL_TRACES_SAMPLER={plain(sampler, 40)} is none that is known here: every run is exported"
        yield warning("traces", said, f"one of {', '.join(sorted(_SAMPLERS))}")


def _away(endpoint: str) -> str | None:
    """Why nothing listens there."""
    address = urlsplit(endpoint)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((str(address.hostname), port), _CONNECT_SECONDS):
            return None
    except TimeoutError:
        return "no answer"
    except OSError as failure:
        return failure.strerror or type(failure).__name__


def language_model(settings: Settings) -> Iterator[Finding]:
    """Whether agents that ask for a model get one."""
    if settings.llm_provider == "none":
        return
    try:
        settings.refuse_missing_model_key()
    except ConfigurationError as failure:
        yield error("language model", failure.message, "see above")
        return
    if (missing := settings.missing_model_package) is not None:
        yield warning("language model", missing, "pip install 'aitp-playground[llm]' (in a checkout: make llm)")
    else:
        yield ok("language model", f"{settings.llm_provider}")
