"""Every setting, once: what it may be, its default, and what it is for. docs/settings.md is made of this."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from aitp_playground import settings_values

#: The longest time and the highest count that a setting takes.
YEAR_SECS = 31_536_000.0
MOST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Takes:
    """What a value may be, in words, where neither choices nor bounds say it all. For the page alone."""

    words: str


Url = Annotated[str, AfterValidator(settings_values.http_url), Takes("http or https URL")]
Key = Annotated[SecretStr, BeforeValidator(settings_values.key), Takes("printable ASCII")]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(settings_values.comma_separated)]
Seconds = Annotated[float, Field(le=YEAR_SECS, allow_inf_nan=False), Takes("seconds")]
Count = Annotated[int, Field(le=MOST), Takes("a count")]
Name = Annotated[str, Takes("a name")]


class SettingsFields(BaseSettings):
    """The fields of :class:`~aitp_playground.config.Settings`, in the order of the page.

    Descriptions are Markdown, in one line of a table.
    """

    # No instance is made of this class itself, so nothing is built for it.
    model_config = SettingsConfigDict(defer_build=True)

    host: Annotated[
        str,
        AfterValidator(settings_values.host_name),
        Takes("a host name or IP address; empty, `0.0.0.0`, `::`: every one"),
    ] = Field(
        default="127.0.0.1",
        description=(
            "where `serve` listens. For any address but loopback `serve` wants `PLAYGROUND_API_KEYS`; other commands "
            "do not care. `::` is reached by IPv6 alone"
        ),
    )
    port: int = Field(default=8000, ge=0, le=65535, description="0 takes any free port; `serve` prints which")
    playground_base_url: Url = Field(
        default="",
        description=(
            "how others reach this server (a proxy's address): where a Control Plane delivers webhooks to, and a name "
            "that requests may ask for. Empty: the bound address"
        ),
    )
    playground_api_keys: Annotated[
        tuple[SecretStr, ...],
        NoDecode,
        BeforeValidator(settings_values.comma_separated),
        AfterValidator(settings_values.bearer_keys),
        Takes("keys, separated by commas"),
    ] = Field(
        default=(),
        description=(
            "bearer keys that are let in. Visible ASCII without blanks; an empty key between two commas is refused"
        ),
    )

    state_dir: Annotated[Path, BeforeValidator(settings_values.state_dir), Takes("a directory")] = Field(
        default="",
        validate_default=True,
        description=(
            "database, installation secret, and what agents without a run revoked (`agents`), readable by you alone; "
            "made when missing. Empty: `$XDG_STATE_HOME/aitp-playground`, else `~/.local/state/aitp-playground`. "
            "Without a home directory it must be set"
        ),
    )
    run_history_db: Annotated[str, AfterValidator(settings_values.in_home), Takes("a path, or `:memory:`")] = Field(
        default="", description="the database. Empty: `runs.db` in `STATE_DIR`"
    )
    run_history_reserve_bytes: Count = Field(
        default=16 * 1024 * 1024,
        ge=0,
        description=(
            "disk kept beside the database in `<database>-reserve`, so that runs can be removed when the disk is full."
            " Once it is spent, runs are removed, cancelled and ended, and nothing else is written, until it can be "
            "taken again with a quarter of its size to spare. 0: none"
        ),
    )
    scenarios_dir: Annotated[str, Takes("a path list")] = Field(
        default="",
        description=(
            "the scenarios directories, first one first. Empty: `./scenarios` if it is there, then the shipped packs. "
            "**What is set replaces both**: add the shipped directory to the list to keep it, as the hint of "
            "`aitp-playground new` does"
        ),
    )
    secrets_dir: Annotated[str, AfterValidator(settings_values.directory), Takes("a directory that is there")] = Field(
        default="",
        description="a file per key: `playground_api_keys`, `cp_api_key`, `openai_api_key`, `anthropic_api_key`",
    )

    agent_base_port: int = Field(
        default=8100,
        ge=1024,
        le=65000,
        description="agents get this plus their `port_offset` when it is free, else any port",
    )
    agent_python: Annotated[str, AfterValidator(settings_values.program), Takes("a program")] = Field(
        default="",
        description="the interpreter of agents whose manifest names none. Empty: the one the service runs on",
    )
    agent_launcher: Literal["fork", "exec"] = Field(
        default="fork", description="`exec` starts an interpreter per agent"
    )
    agent_pool_size: int = Field(default=4, ge=0, le=64, description="children forked ahead of need")

    max_concurrent_runs: int = Field(default=16, ge=1, le=512, description="runs that go on at once")
    max_pending_runs: Count = Field(
        default=1000, ge=0, description="runs that wait for a place; beyond both, 503 with `Retry-After`"
    )
    run_timeout_secs: Seconds = Field(default=600, gt=0, description="what a run may take")
    run_retention: Count = Field(
        default=1000,
        ge=1,
        description=(
            "finished runs kept. What removed runs took of the disk is given back; of a database that an earlier "
            "release made only its own runs use it again, until `PRAGMA auto_vacuum=INCREMENTAL; VACUUM;` is run on it"
            " once with `sqlite3`, with no server running and as much disk free again"
        ),
    )
    shutdown_grace_secs: Seconds = Field(
        default=10, ge=0, description="what running runs get when the server is told to end, before they are cancelled"
    )

    cp_base_url: Url = Field(default="", description="where it is, with or without `/api`. Empty: there is none")
    cp_api_key: Key = Field(default=SecretStr(""), description="its key; stays in the service, agents never see it")
    cp_timeout_ms: Annotated[int, Takes("milliseconds")] = Field(
        default=5000, ge=1, le=3_600_000, description="the most that one call may take"
    )
    cp_aid: Annotated[str, Takes("an AID")] = Field(
        default="", description="its AID. Empty: the one it shows at first contact, kept in `STATE_DIR` per URL"
    )
    cp_webhook_linger_secs: Seconds = Field(
        default=300, ge=0, description="how long after its end a run keeps its webhook and its registry entries"
    )
    cp_ingest_settle_secs: Seconds = Field(
        default=5, ge=0, description="after a report without an answer: the wait before looking whether it arrived"
    )

    revocation_fail_mode: Literal["fail_open", "soft_fail", "fail_closed"] = Field(
        default="fail_open",
        description=(
            "what agents serve while they have no fresh list of the Control Plane's: everything; "
            "`REVOCATION_SAFE_CAPS` alone; nothing. `serve` says when it starts which is in force"
        ),
    )
    revocation_safe_caps: Annotated[
        Words, AfterValidator(settings_values.names), Takes("capability names, separated by commas")
    ] = Field(
        default=(),
        validate_default=True,
        description=(
            "what `soft_fail` goes on with. It must not be empty there: `soft_fail` used to mean what is now "
            "`fail_open`"
        ),
    )
    issuer_list_fail_mode: Literal["fail_closed", "fail_open"] = Field(
        default="fail_closed",
        description=(
            "what agents do in a handshake without the list that the peer advertises: refuse it; go on. A run that "
            "went on is unproven"
        ),
    )
    revocation_max_staleness_secs: Seconds = Field(
        default=300, gt=0, description="how old a list may be and still be fresh"
    )
    revocation_poll_secs: Seconds = Field(default=60, gt=0, description="how often agents look")
    aitp_didweb_insecure_hosts: Annotated[Words, Takes("hosts, separated by commas")] = Field(
        default=(), description="whose did:web documents may come over plain http"
    )

    llm_provider: Literal["none", "openai", "anthropic"] = Field(
        default="none", description="who writes the texts of agents whose manifest says `llm`"
    )
    openai_api_key: Key = Field(default=SecretStr(""), description="the key for `openai`")
    openai_base_url: Url = Field(default="https://api.openai.com/v1", description="where it is asked, with the version")
    openai_model: Name = Field(default="gpt-5.4-mini", description="which model is asked")
    anthropic_api_key: Key = Field(default=SecretStr(""), description="the key for `anthropic`")
    anthropic_base_url: Url = Field(
        default="https://api.anthropic.com", description="where it is asked, without the version"
    )
    anthropic_model: Name = Field(default="claude-haiku-4-5", description="which model is asked")
    llm_timeout_secs: Annotated[int, Takes("whole seconds")] = Field(
        default=30,
        ge=1,
        le=100,
        description=(
            "how long one question may take, with all attempts and the waits between them. In a step it is at most "
            "four fifths of what the step has left: of the 30 s that a step has unless its `timeout_ms` says "
            "otherwise, 24 s"
        ),
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO",
        description=(
            "`run` logs from WARNING on unless it is set. With `DEBUG` an error that ends a command shows where"
        ),
    )
    log_format: Literal["", "console", "json"] = Field(
        default="", description="Empty: console on a terminal, else JSON"
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("revocation_safe_caps")
    @classmethod
    def _needed_by_soft_fail(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("revocation_fail_mode") == "soft_fail" and not value:
            raise ValueError(
                "is empty, and REVOCATION_FAIL_MODE is soft_fail, which without a fresh list serves only the "
                "capabilities named here. Name them, or set REVOCATION_FAIL_MODE to fail_open, which goes on with all "
                "of them: that is what soft_fail used to mean"
            )
        return value

    @field_validator("scenarios_dir")
    @classmethod
    def _path_list(cls, value: str) -> str:
        return os.pathsep.join(filter(None, map(settings_values.in_home, value.split(os.pathsep))))

    @field_validator("aitp_didweb_insecure_hosts")
    @classmethod
    def _no_empty(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(filter(None, value))
