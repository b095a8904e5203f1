"""``spki_pin_check``: whether a certificate's key is one of those that were pinned."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import aitp
from pydantic import AfterValidator, Field

from aitp_playground.errors import ExpectationFailed, StepError
from aitp_playground.scenarios.findings import KeyPath
from aitp_playground.scenarios.models import AgentManifest
from aitp_playground.sdk import missing
from aitp_playground.steps.base import Completed, Skipped, Step, StepContext, StepOutcome

#: Bytes of a SHA-256.
_PIN = 32


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("is no base64") from None
    return text


def _pin(text: str) -> str:
    if len(base64.b64decode(_base64(text))) != _PIN:
        raise ValueError(f"is no pin: base64 of the {_PIN} bytes of a SHA-256")
    return text


class SpkiPinCheckStep(Step):
    """Compares the SHA-256 of a certificate's SubjectPublicKeyInfo with pins (RFC 7469, section 2.4), in the SDK.

    No agent takes part.
    """

    gives: ClassVar[Mapping[str, str] | None] = {
        "computed_hash_b64": "the SHA-256 of the certificate's SubjectPublicKeyInfo, in base64",
        "pin_count": "how many pins there are",
        "is_pinned": "whether it is one of them",
    }
    causes: ClassVar[tuple[str, ...]] = ("spki.pin.checked",)
    feature: ClassVar[str | None] = "spki_pinning"

    type: Literal["spki_pin_check"] = "spki_pin_check"
    cert_der_b64: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64 * 1024,
            description="the certificate: DER, in base64",
            json_schema_extra={"pattern": r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"},
        ),
        AfterValidator(_base64),
    ]
    pins: tuple[
        Annotated[str, AfterValidator(_pin), Field(json_schema_extra={"pattern": r"^[A-Za-z0-9+/]{43}=$"})], ...
    ] = Field(min_length=1, max_length=64, description="the hashes, each of 32 bytes, in base64")
    expect_status: int | None = Field(
        default=None, ge=0, le=1, strict=True, description="1: it must be pinned; 0: it must not be"
    )

    def doubts(self, manifests: Mapping[str, AgentManifest]) -> Iterator[tuple[KeyPath, str]]:  # noqa: ARG002
        if missing("spki_pinning") is None:
            try:
                self._looked_at()
            except StepError as error:
                yield ("cert_der_b64",), str(error).removeprefix("cert_der_b64 ")

    async def run(self, ctx: StepContext) -> StepOutcome:
        if (lacking := missing("spki_pinning")) is not None:
            return Skipped(notes=lacking, unproven=True)
        computed, pinned = self._looked_at()
        output: dict[str, Any] = {
            "computed_hash_b64": base64.b64encode(computed).decode(),
            "pin_count": len(self.pins),
            "is_pinned": pinned,
        }
        await ctx.record("spki.pin.checked", result=output, is_pinned=pinned)
        if self.expect_status is None or pinned == bool(self.expect_status):
            return Completed(output, checked=0 if self.expect_status is None else 1)
        found, wanted = ("is", "is not") if pinned else ("is not", "is")
        message = f"the certificate's key {found} pinned, expected that it {wanted}"
        if self.on_mismatch == "record":
            return Completed(output, doubt=f"{message} (on_mismatch: record)")
        fault = {"path": "$.is_pinned", "operator": "equals", "expected": bool(self.expect_status), "actual": pinned}
        raise ExpectationFailed(message, details=[fault], output=output)

    def _looked_at(self) -> tuple[bytes, bool]:
        """The hash of the certificate's key, and whether it is pinned."""
        certificate = base64.b64decode(self.cert_der_b64)
        try:
            computed = bytes(aitp.compute_spki_hash(certificate))
            pinned = bool(aitp.SpkiPinVerifier([base64.b64decode(pin) for pin in self.pins]).is_pinned(certificate))
        except (ValueError, RuntimeError) as error:
            raise StepError(f"cert_der_b64 is no certificate in DER: {error}") from error
        return computed, pinned
