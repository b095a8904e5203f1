"""The settings of a command, and what follows from them before anything else is done."""

from __future__ import annotations

from typing import Any

from aitp_playground.cli.exits import note_log_format
from aitp_playground.config import Settings
from aitp_playground.observability.redaction import SECRETS


def load_settings(**overrides: Any) -> Settings:
    """The settings; their secrets are known to the redaction from here on. Raises ConfigurationError."""
    settings = Settings.load(**overrides)
    note_log_format(settings.log_format)
    keys = (settings.cp_api_key, settings.openai_api_key, settings.anthropic_api_key, *settings.playground_api_keys)
    SECRETS.add(*(key.get_secret_value() for key in keys))
    return settings
