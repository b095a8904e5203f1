"""The settings of a process: read from the environment, ``.env`` and ``SECRETS_DIR``, in this order; a wrong value
refuses to start, naming its variable.
"""

from __future__ import annotations

import os
import sys
import warnings
from difflib import get_close_matches
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from aitp_playground import resources, settings_values
from aitp_playground.errors import ConfigurationError
from aitp_playground.misfits import said
from aitp_playground.settings_fields import SettingsFields

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


class _SecretFiles(SecretsSettingsSource):
    """One file per setting, named like its variable in either case, in the directory the other sources name."""

    def __call__(self) -> dict[str, Any]:
        try:
            directory = settings_values.directory(str(self.current_state.get("secrets_dir") or ""))
        except ValueError:
            # Left to the field's own check, which names the variable.
            directory = ""
        self.secrets_dir = directory or None
        with warnings.catch_warnings():
            # What it merely warns of (a directory where a key should be) is a key that is missing.
            warnings.simplefilter("error")
            return super().__call__()


class Settings(SettingsFields):
    """The settings of one process. Variables are the field names in upper case.

    Times are seconds unless the name says otherwise; sizes are counts.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, defer_build=False
    )

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
        except (SettingsError, OSError, UnicodeDecodeError, UserWarning) as failure:
            raise ConfigurationError(_unreadable(failure)) from None
        except ValidationError as failure:
            faults = "; ".join(
                f"{'.'.join(str(part) for part in error['loc']).upper()}: {said(error)}"
                for error in failure.errors(include_input=False, include_url=False)
            )
            raise ConfigurationError(f"wrong setting: {faults}") from None
        cls._refuse_misspelt()
        return settings

    @classmethod
    def _refuse_misspelt(cls) -> None:
        """A name in ``.env`` that is nearly a setting's would be passed over, and what it protects would not be.

        What is in the environment may be another program's.
        """
        known = list(cls.model_fields)
        for name in DotEnvSettingsSource(cls).env_vars:
            if name not in known and (near := get_close_matches(name, known, n=1, cutoff=0.9)):
                said_as, is_called = name.upper(), near[0].upper()
                raise ConfigurationError(
                    f"wrong setting: .env sets {said_as}, which is none; did you mean {is_called}?"
                )

    def refuse_open_door(self) -> None:
        """For who serves: a bind address that others can reach needs API keys. Raises :class:`ConfigurationError`."""
        if not settings_values.is_loopback(self.host) and not self.playground_api_keys:
            raise ConfigurationError(
                f"HOST is {self.host or 'empty (every address)'}, which other machines can reach, and "
                "PLAYGROUND_API_KEYS is empty. Set PLAYGROUND_API_KEYS to a comma-separated list of keys, or HOST to "
                "127.0.0.1."
            )

    def refuse_missing_model_key(self) -> None:
        """For who runs agents: a provider's own server needs its key; another that speaks like it may need none.

        Raises :class:`ConfigurationError`.
        """
        accounts = {
            "openai": (self.openai_api_key, self.openai_base_url),
            "anthropic": (self.anthropic_api_key, self.anthropic_base_url),
        }
        key, url = accounts.get(self.llm_provider, (SecretStr(""), ""))
        own = urlsplit(url).hostname == f"api.{self.llm_provider}.com"
        if own and not key.get_secret_value():
            name = f"{self.llm_provider.upper()}_API_KEY"
            raise ConfigurationError(
                f"LLM_PROVIDER is {self.llm_provider} and {name} is empty. Set {name} (or put the key into a file "
                f"{name.lower()} in SECRETS_DIR), or LLM_PROVIDER to none."
            )

    @property
    def missing_model_package(self) -> str | None:
        """What to tell when the provider's package is not installed; nothing where agents have another interpreter."""
        if self.llm_provider == "none" or self.agent_python or find_spec(self.llm_provider) is not None:
            return None
        return (
            f"LLM_PROVIDER is {self.llm_provider} and the package {self.llm_provider} is not installed: agents use "
            "their own texts. Install it (pip install 'aitp-playground[llm]', in a checkout make llm), or set "
            "LLM_PROVIDER to none."
        )

    def shown(self) -> dict[str, Any]:
        """Every variable with the value in effect; of a secret only whether there is one."""
        return {name.upper(): _shown(getattr(self, name)) for name in type(self).model_fields}

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
            return tuple(Path(part) for part in self.scenarios_dir.split(os.pathsep))
        local, shipped = Path("scenarios"), resources.scenarios_dir()
        roots = [local.resolve()] if local.is_dir() else []
        return tuple(roots if shipped in roots else [*roots, shipped])

    @property
    def python(self) -> str:
        """The interpreter for agents whose manifest names none."""
        return self.agent_python or sys.executable


def _shown(value: Any) -> Any:
    match value:
        case SecretStr():
            return "set" if value.get_secret_value() else ""
        case tuple() if value and isinstance(value[0], SecretStr):
            return f"{len(value)} set"
        case tuple():
            return ",".join(value)
        case Path():
            return str(value)
        case _:
            return value


def _unreadable(failure: Exception) -> str:
    """Why a file of settings gave none. What is in it is not quoted."""
    match failure.__cause__ or failure:
        case OSError(filename=name, strerror=why):
            return f"{name} holds settings and cannot be read by this user: {why}"
        case UserWarning() as warning:
            return f"SECRETS_DIR: {str(warning)[:1].lower()}{str(warning)[1:]}"
        case UnicodeDecodeError():
            return "a file of settings (.env, or one in SECRETS_DIR) is not UTF-8 text"
        case _:
            return f"wrong setting: {failure}"
