"""Every setting, once. Read from the environment, ``.env`` and ``SECRETS_DIR``, in this order; a wrong value refuses to
start, naming its variable.
"""

from __future__ import annotations

import os
import sys
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from aitp_playground import resources
from aitp_playground.errors import ConfigurationError

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def _default_state_dir() -> Path:
    """XDG base directory specification: ``$XDG_STATE_HOME``, else ``~/.local/state``."""
    base = os.environ.get("XDG_STATE_HOME", "")
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".local" / "state"
    return root / "aitp-playground"


class _SecretFiles(SecretsSettingsSource):
    """One file per setting, named like its variable in either case, in the directory the other sources name."""

    def __call__(self) -> dict[str, Any]:
        directory = self.current_state.get("secrets_dir")
        # A directory that is none is left to the field's own check, which names the variable.
        self.secrets_dir = directory if directory and Path(directory).is_dir() else None
        return super().__call__()


class Settings(BaseSettings):
    """The settings of one process. Variables are the field names in upper case.

    Times are seconds unless the name says otherwise; sizes are counts.
    """

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    playground_base_url: str = ""
    playground_api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()

    state_dir: Path = Field(default_factory=_default_state_dir)
    run_history_db: str = ""
    scenarios_dir: str = ""
    secrets_dir: str = ""

    agent_base_port: int = Field(default=8100, ge=1024, le=65000)
    agent_python: str = ""
    agent_launcher: Literal["fork", "exec"] = "fork"
    agent_pool_size: int = Field(default=4, ge=0, le=64)

    max_concurrent_runs: int = Field(default=16, ge=1, le=512)
    max_pending_runs: int = Field(default=1000, ge=0)
    run_timeout_secs: float = Field(default=600, gt=0)
    run_retention: int = Field(default=1000, ge=1)
    shutdown_grace_secs: float = Field(default=10, ge=0)

    cp_base_url: str = ""
    cp_api_key: SecretStr = SecretStr("")
    cp_timeout_ms: int = Field(default=5000, ge=1)
    cp_aid: str = ""
    cp_webhook_linger_secs: float = Field(default=300, ge=0)
    cp_ingest_settle_secs: float = Field(default=5, ge=0)

    revocation_fail_mode: Literal["soft_fail", "fail_closed"] = "soft_fail"
    revocation_max_staleness_secs: float = Field(default=300, gt=0)
    revocation_poll_secs: float = Field(default=60, gt=0)
    aitp_didweb_insecure_hosts: Annotated[tuple[str, ...], NoDecode] = ()

    llm_provider: Literal["none", "openai", "anthropic"] = "none"
    openai_api_key: SecretStr = SecretStr("")
    openai_base_url: str = "https://api.openai.com/v1"
    openai_model: str = "gpt-4o-mini"
    anthropic_api_key: SecretStr = SecretStr("")
    anthropic_model: str = "claude-3-5-haiku-latest"

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["", "console", "json"] = ""

    @field_validator("playground_api_keys", "aitp_didweb_insecure_hosts", mode="before")
    @classmethod
    def _comma_separated(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("secrets_dir")
    @classmethod
    def _directory(cls, value: str) -> str:
        if value and not Path(value).is_dir():
            raise ValueError("must be a directory")
        return value

    @field_validator("playground_base_url", "cp_base_url")
    @classmethod
    def _http_url(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an absolute http:// or https:// URL")
        return value.rstrip("/")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - named by pydantic-settings
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, dotenv_settings, _SecretFiles(settings_cls)

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read all sources; ``overrides`` win. Raises :class:`ConfigurationError`."""
        try:
            settings = cls(**overrides)
        except (SettingsError, OSError, UnicodeDecodeError) as failure:
            raise ConfigurationError(_unreadable(failure)) from None
        except ValidationError as failure:
            faults = "; ".join(
                f"{'.'.join(str(part) for part in error['loc']).upper()}: {error['msg']}" for error in failure.errors()
            )
            raise ConfigurationError(f"wrong setting: {faults}") from None
        settings.refuse_open_door()
        return settings

    def refuse_open_door(self) -> None:
        """A bind address that others can reach needs API keys."""
        if self.host not in LOOPBACK_HOSTS and not self.playground_api_keys:
            raise ConfigurationError(
                f"HOST is {self.host}, which other machines can reach, and PLAYGROUND_API_KEYS is empty. "
                "Set PLAYGROUND_API_KEYS to a comma-separated list of keys, or HOST to 127.0.0.1."
            )

    @cached_property
    def api_keys(self) -> tuple[bytes, ...]:
        """The accepted bearer keys as bytes, ready for a constant-time comparison."""
        return tuple(key.get_secret_value().encode() for key in self.playground_api_keys)

    @property
    def database(self) -> str:
        """Path of the run history, or ``:memory:``."""
        return self.run_history_db or str(self.state_dir / "runs.db")

    @property
    def scenario_roots(self) -> tuple[Path, ...]:
        """Where scenarios are looked for; the first root that has a ref wins."""
        if self.scenarios_dir:
            return tuple(Path(part).expanduser() for part in self.scenarios_dir.split(os.pathsep) if part)
        local, shipped = Path("scenarios"), resources.scenarios_dir()
        roots = [local.resolve()] if local.is_dir() else []
        return tuple(roots if shipped in roots else [*roots, shipped])

    @property
    def python(self) -> str:
        """The interpreter for agents whose manifest names none."""
        return self.agent_python or sys.executable


def _unreadable(failure: Exception) -> str:
    """Why a file of settings gave none. What is in it is not quoted."""
    match failure.__cause__ or failure:
        case OSError(filename=name, strerror=why):
            return f"{name} holds settings and cannot be read by this user: {why}"
        case UnicodeDecodeError():
            return "a file of settings (.env, or one in SECRETS_DIR) is not UTF-8 text"
        case _:
            return f"wrong setting: {failure}"
