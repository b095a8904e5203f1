"""The one error tree.

::

    PlaygroundError                 code, message, details
    ├── ConfigurationError          a setting is wrong; names the variable            exit 2
    ├── InvalidRequest              parsed but wrong                                  422
    │   ├── MalformedRequest        not parseable at all                              400
    │   ├── InputsInvalid           inputs do not fit the scenario's schema           422
    │   ├── PayloadTooLarge         over the stated bound                             413
    │   └── EncodingUnknown         a Content-Encoding that is not undone here        415
    ├── Unauthorized                no or wrong bearer token                          401
    ├── Forbidden                   Host or Origin not allowed                        403
    ├── NotFound                    nothing at this address                           404
    │   ├── ScenarioNotFound        no scenario has this ref                          404
    │   ├── TemplateNotFound        the scenario has no template of this name         404
    │   ├── AgentManifestNotFound   an agent's ``ref`` names no manifest file         404
    │   └── RunNotFound             no run has this id                                404
    ├── RegistryInvalid             a scenario file is broken: file, line, field      422
    ├── RunNotTerminal              the run must be over first                        409
    ├── Overloaded                  try again after ``retry_after`` seconds           503
    │   └── StoreUnavailable        the store cannot take or give data                503
    │       └── StoreDamaged        the database is corrupt                           503
    ├── SdkUnavailable              the protocol SDK cannot be imported               503
    ├── LaunchError                 an agent did not start: status, stderr tail
    └── StepError                   a step cannot go on; fails its run
        ├── AgentCallError          an agent's admin route refused or failed
        ├── ExpectationFailed       ``expect`` did not hold: expected and actual
        └── StepTimeout             a bounded wait ran out

Kernel errors (a stopped actor, a full mailbox) live in :mod:`aitp_playground.actors`, which imports nothing of ours.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final


class PlaygroundError(Exception):
    """Root of the tree: ``code`` is the stable name in the API's answers, ``message`` says what to do next.

    ``status`` is the HTTP status of the answer. ``details`` can be encoded as JSON and never holds a secret.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, details: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class ConfigurationError(PlaygroundError):
    """A setting is missing or wrong; the message names the variable."""


class InvalidRequest(PlaygroundError):
    """The request was understood and is wrong."""

    code = "invalid_request"
    status = 422


class MalformedRequest(InvalidRequest):
    """The request could not be parsed."""

    status = 400


class InputsInvalid(InvalidRequest):
    """``details`` is a list of ``{"pointer", "message"}``, one per fault."""

    code = "inputs_invalid"


class PayloadTooLarge(InvalidRequest):
    """The body exceeds the route's bound."""

    code = "payload_too_large"
    status = 413


class EncodingUnknown(InvalidRequest):
    """The body is compressed or encoded in a way that is not undone here."""

    status = 415


class Unauthorized(PlaygroundError):
    """No bearer token, or not one of ours."""

    code = "unauthorized"
    status = 401


class Forbidden(PlaygroundError):
    """The Host or Origin header names somebody else (DNS rebinding); or an agent asks for what is another's."""

    code = "forbidden"
    status = 403


class NotFound(PlaygroundError):
    """Nothing is at this address."""

    code = "not_found"
    status = 404


class ScenarioNotFound(NotFound):
    """No scenario has this ref."""

    code = "scenario_not_found"


class TemplateNotFound(NotFound):
    """The scenario has no template of this name."""

    code = "template_not_found"


class AgentManifestNotFound(NotFound):
    """An agent's ``ref`` names no manifest file."""

    code = "agent_manifest_not_found"


class RunNotFound(NotFound):
    """No run has this id."""

    code = "run_not_found"


class RegistryInvalid(PlaygroundError):
    """A scenario file is broken. ``details`` is a list of ``{"file", "line", "field", "message"}``."""

    code = "registry_validation_error"
    status = 422


class RunNotTerminal(PlaygroundError):
    """The run is not over yet."""

    code = "run_not_terminal"
    status = 409


class Overloaded(PlaygroundError):
    """A bound is reached; the caller may try again after ``retry_after`` seconds."""

    code = "overloaded"
    status = 503

    def __init__(self, message: str, *, retry_after: int = 1, details: Any = None) -> None:
        super().__init__(message, details=details)
        self.retry_after = retry_after


class StoreUnavailable(Overloaded):
    """The store cannot take or give data (full disk, lost file)."""


class StoreDamaged(StoreUnavailable):
    """The database is corrupt. Trying again does not help: somebody has to put a backup in its place."""

    code = "store_damaged"


class SdkUnavailable(PlaygroundError):
    """The protocol SDK cannot be imported."""

    code = "sdk_unavailable"
    status = 503


class LaunchError(PlaygroundError):
    """An agent did not start. ``details``: ``{"agent_id", "exit_code"?, "stderr"}``."""


class StepError(PlaygroundError):
    """A step cannot go on. Fails its step and its run; the message becomes ``run.failed.error``.

    ``output``: what the step had got so far, kept in the run's outputs.
    """

    def __init__(self, message: str, *, details: Any = None, output: dict[str, Any] | None = None) -> None:
        super().__init__(message, details=details)
        self.output = output


class AgentCallError(StepError):
    """An agent's admin route refused or failed.

    ``refusal`` says how: the agent's own code (``no_tct_held``, ``peer_unknown``, …); when its peer failed it, the
    class of that failure (``refused``, ``timeout``, ``truncated``, ``http_4xx``, ``protocol``, …); and when the agent
    itself did not answer, ``agent_unreachable``. ``http_status``: the admin answer's, None when there was none.
    """

    def __init__(
        self,
        message: str,
        *,
        refusal: str,
        status: int | None = None,
        details: Any = None,
        output: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, details=details, output=output)
        self.refusal = refusal
        self.http_status = status

    @property
    def transport(self) -> bool:
        """The agent's peer could not be talked to at all (no HTTP answer came)."""
        return self.refusal in {"refused", "timeout", "truncated", "dns", "unreachable"}


class ExpectationFailed(StepError):
    """A check did not hold. ``details``: list of ``{"path", "operator", "expected", "actual", "reason"?,
    "nearest"?: {"seq", "field"}}``; ``nearest`` is the event that came closest where too few did."""


class StepTimeout(StepError):
    """A bounded wait ran out."""


#: Every class of the tree.
KINDS: Final = tuple(
    kind for kind in list(globals().values()) if isinstance(kind, type) and issubclass(kind, PlaygroundError)
)
