"""What an agent remembers for others is bounded in number and age."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable
from typing import Any

import pytest

from base.protocol.diagnosis import DELEGATION_TYPE, VERSION, VOUCHER_TYPE, delegation_defect
from base.protocol.peers import Peer, PeerBook
from base.protocol.tokens import Shelf, Token, decode_claims
from base.refusals import Fault


def peer(name: str) -> Peer:
    return Peer(name, f"aid:{name}", f"http://localhost:1/{name}/.well-known/aitp-manifest")


def token(jti: str, agent_id: str = "a", aid: str = "aid:a", expires_at: float = 4e9) -> Token:
    return Token(tct=jti, claims={"jti": jti, "grants": [], "exp": expires_at}, peer_aid=aid, agent_id=agent_id)


def ids(tokens: Iterable[Token]) -> list[str]:
    return [token.jti for token in tokens]


def test_shelf_finds_the_newest_of_an_agent_under_whatever_key_and_forgets_the_one_it_is_told_to() -> None:
    shelf = Shelf()
    first, again = token("1"), token("1")
    for entry in (first, token("2", "b", "aid:b"), token("3", "a", "aid:a2"), again):
        shelf.add(entry)
    assert ids(shelf.of_agent("a")) == ["1", "3", "1"]
    assert shelf.with_jti("1") is again
    shelf.remove(again)
    shelf.remove(again)
    assert (ids(shelf), shelf.with_jti("1")) == (["1", "2", "3"], first)


def test_nobodys_tokens_push_out_anothers() -> None:
    shelf = Shelf(limit=4)
    shelf.add(token("honest", "b", "aid:b"))
    for number in range(10):
        shelf.add(token(f"flood {number}"))
    assert ids(shelf) == ["honest", "flood 7", "flood 8", "flood 9"]
    # Made for ten keys at the wish of one.
    for number in range(10):
        shelf.add(token(f"made {number}", f"d{number}", f"aid:d{number}"), "aid:delegator")
    assert "honest" in ids(shelf)
    assert len(shelf) == 4


def test_large_tokens_are_fewer_and_cost_their_owner() -> None:
    shelf = Shelf(most_bytes=100)
    shelf.add(token("honest", "b", "aid:b"))
    for number in range(10):
        shelf.add(token(f"{number}{'x' * 29}"))
    assert [jti[0] for jti in ids(shelf)] == ["h", "7", "8", "9"]


def test_what_has_expired_goes_before_what_is_older() -> None:
    shelf = Shelf(limit=3)
    for entry in (token("old"), token("over", expires_at=1), token("new"), token("newest")):
        shelf.add(entry)
    assert ids(shelf) == ["old", "new", "newest"]


def compact(header: dict[str, Any], claims: dict[str, Any]) -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), b"none")
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def test_long_lists_of_others_are_compared_in_one_pass_each() -> None:
    """Claims of anybody's making: the SDK refuses their form before it looks at a signature."""
    end = int(time.time()) + 600
    voucher = {"ver": VERSION, "iss": "aid:o", "sub": "aid:d", "exp": end, "grants": [1.5] * 20_000 + ["a"]}
    claims = {"ver": VERSION, "iss": "aid:d", "sub": "aid:x", "aud": "aid:o", "exp": end, "scope": ["a", "b"] * 20_000}
    claims["voucher"] = compact({"alg": "EdDSA", "typ": VOUCHER_TYPE}, voucher)
    delegation = compact({"alg": "EdDSA", "typ": DELEGATION_TYPE}, claims)
    many = [f"a.{number}" for number in range(20_000)]
    granted = Token(tct="", claims={"grants": many[:-1]}, peer_aid="", agent_id="")
    began = time.thread_time()
    assert delegation_defect(delegation, ["aid:o"], "malformed") == "DELEGATION_SCOPE_EXCEEDED"
    assert granted.lacking(many) == many[-1:]
    assert time.thread_time() - began < 1.0, "pair by pair it would be half a minute"


def test_token_shows_neither_itself_nor_its_voucher() -> None:
    shown = repr(Token(tct="tct-text", voucher="voucher-text", claims={}, peer_aid="x", agent_id="y"))
    assert "tct-text" not in shown
    assert "voucher-text" not in shown


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.!.c", "a.W10.c", "a.e30", 5, None, "a." + "W" * 20_000 + ".c"])
def test_what_is_no_token_has_no_claims(text: Any) -> None:
    try:
        assert decode_claims(text) == {}
        assert text == "a.e30"
    except ValueError:
        assert text != "a.e30"


def test_list_of_peers_is_bounded() -> None:
    book = PeerBook()
    with pytest.raises(Fault, match="at most 256"):
        book.replace(peer(str(n)) for n in range(257))
    assert book.replace(peer(str(n)) for n in range(256)) == 256


def test_peers_base_is_where_its_manifest_is() -> None:
    assert peer("x").base_url == "http://localhost:1/x"
    assert Peer("y", "aid", "https://h.example/.well-known/aitp-manifest").base_url == "https://h.example"


def test_tokens_of_one_owner_are_found_by_it_and_leave_nothing_behind() -> None:
    shelf = Shelf()
    mine, made = token("1"), token("2", "b", "aid:b")
    shelf.add(mine)
    shelf.add(made, "aid:a")
    assert ids(shelf.of_owner("aid:a")) == ["1", "2"]
    assert ids(shelf.of_owner("aid:b")) == []
    shelf.remove(mine)
    shelf.remove(made)
    assert (ids(shelf.of_owner("aid:a")), len(shelf), shelf._rooms, shelf._size) == ([], 0, {}, 0)
