"""What the analyzer takes for a risk: cues per category, safeguards whose absence is one, words that shift a rating.

Severity and likelihood run from 1 to 5. A category's severity is where its rating starts; the wording moves it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property


class Cues:
    """A pattern compiled at its first use, as a worker that starts should not wait for all of them."""

    def __init__(self, source: str) -> None:
        self.source = source

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The pattern; case is ignored."""
        return re.compile(self.source, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of risk: the words that betray it, its usual severity, and what to do about it."""

    name: str
    severity: int
    cues: Cues
    advice: str


def _any(words: str) -> Cues:
    """One pattern for blank-separated alternatives; ``_`` stands for a blank, ``*`` for the rest of a word."""
    parts = [word.replace("_", r"[\s-]+").replace("*", r"\w*") for word in words.split()]
    return Cues(rf"\b(?:{'|'.join(parts)})\b")


CATEGORIES = (
    Category(
        "credential theft",
        5,
        _any("stolen steal* theft thief* leak* compromis* hijack* phish* exfiltrat* live_credentials"),
        "Bind tokens to keys, demand proof of possession, keep life times short and rehearse revocation.",
    ),
    Category(
        "impersonation",
        5,
        _any(
            "impersonat* spoof* forg(?:e|ed|ery|eries|ing) counterfeit* man_in_the_middle interceptor* attacker* "
            "impostor*"
        ),
        "Pin or anchor every peer identity and verify manifests before use.",
    ),
    Category(
        "data exposure",
        5,
        _any(
            "personal_data sensitive_data data_breach* breach* disclos* expos(?:e|ed|es|ure) confidential* "
            "private_data privacy"
        ),
        "Classify the data, limit access by purpose and time, and log every access.",
    ),
    Category(
        "excessive authority",
        4,
        _any(
            "excessive* over-?privileg* escalat* overly_broad too_broad wildcard* unlimited unbounded "
            "broad_access full_access unrestricted"
        ),
        "Narrow grants to the task at hand and let delegations only shrink.",
    ),
    Category(
        "tampering",
        4,
        _any(
            "tamper* corrupt* falsif* poison* prompt_injection injection* malicious* hostile misled alter(?:s|ed|ing)?"
        ),
        "Treat received content as data, verify signatures, and check results by other means than a model.",
    ),
    Category(
        "replay",
        4,
        _any("replay* reus(?:e|ed|es|ing) redeemed_again stale"),
        "Use nonces once, keep challenges on the verifier's side, and refuse old messages.",
    ),
    Category(
        "revocation gap",
        4,
        _any(
            "missed_revocation* recent_revocation* delayed_revocation* revocation_latency revocation_delay* "
            "live_on skips_revocation orphaned"
        ),
        "Measure the time from revocation to refusal and bound it with short token life times.",
    ),
    Category(
        "availability",
        3,
        _any(
            "outage* unavailab* downtime crash* single_point_of_failure overload* denial_of_service dead "
            "unreachable locks?_out time-?outs? stop_the_system fail(?:s|ed|ure|ures|ing)?"
        ),
        "Plan for degraded operation and test it with the dependency switched off.",
    ),
    Category(
        "compliance",
        4,
        _any("non-?complian* violat* unlawful* gdpr fine[ds] penalt(?:y|ies) regulator* liabilit* lawsuit* sanction*"),
        "Name an accountable owner, map duties to controls, and keep evidence.",
    ),
    Category(
        "accountability gap",
        3,
        _any(
            "accountability_fades disput* repudiat* untraceable unclear cannot_be_named nobody_enforces untested "
            "unproven unattributed"
        ),
        "Record who acted under which authority in one ordered log.",
    ),
    Category(
        "dependency",
        3,
        _any(
            "lock-in vendor_lock third[\\s-]part(?:y|ies) dependen(?:t|ce|cy|cies) supply_chain sole_supplier "
            "obstacles?"
        ),
        "Prefer open protocols, keep an exit path and review suppliers regularly.",
    ),
    Category(
        "market uncertainty",
        2,
        _any(
            "uncertain* volatil* forecasts?_differ* deserves_doubt overestimat* hype integration_cost* "
            "budget_overrun* slow_adoption downturn* competit*"
        ),
        "Stage investments, state assumptions and review them at fixed dates.",
    ),
    Category(
        "operational error",
        3,
        _any(
            "misconfigur* human_error* mistakes? bugs? buggy confused by_accident accidental* clock_skew errors? "
            "vulnerab* weak(?:ness|nesses)? risks? threat* danger* harm*"
        ),
        "Automate checks, review changes and keep a tested way back.",
    ),
)

MISSING_SAFEGUARD = Category(
    "missing safeguard",
    4,
    Cues(
        r"\b(?:no|without|lack(?:s|ing)?(?: of)?|missing|absence of|absent|not (?:yet )?(?:have|has|use|using|require|"
        r"check|verify|enforce|keep)|never (?:checks?|verif\w+|expires?|revok\w+|rotat\w+|logs?))\s+(?:\w+\s+){0,2}?"
        r"(?:audit\w*|log(?:s|ging)?|monitor\w*|encrypt\w*|authenti\w+|authori[sz]\w+|verif\w+|validat\w+|revocation|"
        r"backup\w*|polic(?:y|ies)|controls?|oversight|review|expir\w+|proof\w*|identit(?:y|ies)|access control|pins?|"
        r"approval|signatures?|limits?)\b"
        r"|\b(?:unaudited|unencrypted|unauthenticated|unauthori[sz]ed|unverified|unsigned|unmonitored|unchecked)\b"
        r"|\bnever (?:expires?|revoked|rotated|logged|verified|checked)\b",
    ),
    "Put the missing control in place before widening access.",
)

#: Words that raise or lower what a risk would cost.
SEVERE = _any(
    "critical* severe* catastroph* disastrous serious* major total whole entire every fatal irreversib* "
    "massive system-?wide"
)
MILD = _any("minor small slight* negligible trivial cosmetic modest limited* tolerable")

#: Words that say how probable it is. Absent any, it is possible: 3.
CERTAIN = _any(
    "will always inevitabl* certain(?:ly)? already repeatedly constantly has_been have_been was_found were_found"
)
LIKELY = _any(
    "likely often frequent* common* probabl* usual* usually regularly increasing* everyday again_and_again recurring"
)
UNLIKELY = _any("unlikely rare* seldom improbabl* theoretical* hardly remote(?:ly)? in_principle exceptional*")

#: A control at work: what remains is the same harm, less probable.
MITIGATED = _any(
    "prevent* mitigat* block* refus* reject* defeat* protect* guard* reduc* bound(?:s|ed)? stop(?:s|ped)? "
    "detect* limits? "
    "avoid(?:s|ed)? eliminat* useless pointless revoked_at_once keep_working keeps_working narrow contain(?:s|ed)? "
    "secured safe(?:ly|guard\\w*)? survive(?:s|d)? turned_away"
)

#: Directly before a cue, these say that the harm does not exist.
DENIAL = Cues(
    r"(?:\b(?:no|not|never|neither|nor|without|free (?:of|from)|zero|cannot(?: be)?|can't(?: be)?|isn't|aren't|wasn't|"
    r"doesn't|don't|didn't|won't|rather than|instead of)\s+(?:(?:a|an|any|the|of|be|been|being|is|are|risk|sign|signs|"
    r"evidence|known|single|longer|subject|prone|to|vulnerable|ever|further|more|had|has|have|was|were|seen|such)\s+){0,4})$",
)
