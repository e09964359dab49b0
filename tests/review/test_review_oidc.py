"""Signing in through OpenID Connect, against a real provider in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from sqlalchemy import select

from review.desk import OidcSettings
from review.sessions import COOKIE
from review.tables import audit, users


@pytest.fixture
def desk(bench: Any, provider_for_desk_test: OidcSettings) -> Any:
    bench.desk = replace(bench.desk, oidc=provider_for_desk_test)
    return bench


def begin(client: Any) -> str:
    """The provider's page that the desk sends the browser to."""
    answer = client.get("/oidc/login")
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


def answer_as(who: str, page: str) -> str:
    """What somebody does at the provider; returns the way back, as the browser gets it."""
    asked = {name: values[0] for name, values in parse_qs(urlsplit(page).query).items()}
    with httpx2.Client() as browser:
        assert browser.get(page).status_code == 200
        form = {"who": who, **{name: asked[name] for name in ("state", "nonce", "code_challenge")}}
        back = browser.post(page.partition("?")[0], data=form)
    assert back.status_code == 303, back.text
    return back.headers["location"]


@pytest.fixture
def arrive(desk: Any) -> Callable[..., Any]:
    """Signs in as `who` through the provider; returns (client, the desk's answer)."""

    def sign_in(who: str) -> Any:
        client = desk.browser()
        return client, client.get(answer_as(who, begin(client)))

    return sign_in


def test_code_flow_makes_an_account_and_a_session(desk: Any, arrive: Any) -> None:
    client, answer = arrive("olga:lead")
    assert answer.status_code == 200
    assert "url=/queue" in answer.text
    me = client.get("/api/v1/session").json()
    assert (me["user_id"], me["display_name"], me["role"]) == ("olga", "Olga", "lead")
    client.headers["x-csrf-token"] = me["csrf"]
    case_id = desk.flag("up-1")
    assert client.post(f"/api/v1/cases/{case_id}/claim").status_code == 200
    with desk.write() as connection:
        row = connection.execute(select(users).where(users.c.user_id == "olga")).one()
        acts = connection.execute(select(audit.c.action).where(audit.c.subject == "olga")).scalars().all()
    assert row.password_hash is None
    assert row.oidc_subject.endswith("|sub-olga")
    assert list(acts) == ["user.added", "session.started"]


def test_request_carries_pkce_state_and_nonce_of_its_own(desk: Any) -> None:
    pages = [begin(desk.browser()) for _ in range(2)]
    first, second = (parse_qs(urlsplit(page).query) for page in pages)
    assert first["code_challenge_method"] == ["S256"]
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name][0]) >= 20
        assert first[name] != second[name]


@pytest.mark.parametrize(
    "flaw",
    ["forged", "unsigned", "nonsense", "expired", "audience", "audience-azp", "issuer", "nonce", "no-nonce",
     "no-token"],
)  # fmt: skip
def test_a_token_that_is_wrong_in_one_way_lets_nobody_in(desk: Any, arrive: Any, flaw: str) -> None:
    client, answer = arrive(f"eve:admin:{flaw}")
    assert answer.status_code == 403, answer.text
    assert COOKIE not in client.cookies
    assert client.get("/api/v1/cases").status_code == 401
    with desk.write() as connection:
        assert connection.execute(select(users).where(users.c.user_id == "eve")).first() is None


def test_answer_to_another_browsers_request_is_refused(desk: Any) -> None:
    mine, theirs = desk.browser(), desk.browser()
    way_back = answer_as("olga:lead", begin(theirs))
    begin(mine)
    for victim in (mine, desk.browser()):
        answer = victim.get(way_back)
        assert answer.status_code == 403
        assert "not begun in this browser" in answer.text
        assert COOKIE not in victim.cookies


def test_an_answer_works_once(desk: Any) -> None:
    client = desk.browser()
    way_back = answer_as("olga:lead", begin(client))
    assert client.get(way_back).status_code == 200
    client.cookies.delete(COOKIE)
    assert client.get(way_back).status_code == 403
    assert COOKIE not in client.cookies


def test_invented_code_is_refused_by_the_provider(desk: Any) -> None:
    client = desk.browser()
    state = parse_qs(urlsplit(begin(client)).query)["state"][0]
    answer = client.get(f"/oidc/callback?code=guess&state={state}")
    assert answer.status_code == 403
    assert "invalid_grant" in answer.text


def test_refusal_at_the_provider_is_shown(desk: Any, arrive: Any) -> None:
    _, answer = arrive("nobody")
    assert answer.status_code == 403
    assert "access_denied" in answer.text


@pytest.mark.parametrize("who", ["norma:", "norma:janitor", "norma:service"])
def test_without_one_of_our_roles_nobody_gets_in(desk: Any, arrive: Any, who: str) -> None:
    client, answer = arrive(who)
    assert answer.status_code == 403
    assert "none of the desk" in answer.text
    assert COOKIE not in client.cookies


def test_widest_role_of_a_list_counts(arrive: Any) -> None:
    client, _ = arrive("olga:reviewer+lead+janitor")
    assert client.get("/api/v1/session").json()["role"] == "lead"


def test_role_follows_the_provider_and_losing_it_ends_open_sessions(arrive: Any) -> None:
    first, _ = arrive("olga:lead")
    second, _ = arrive("olga:auditor")
    assert first.get("/api/v1/session").json()["role"] == "auditor"  # at once, also where she is signed in
    arrive("olga:")
    assert first.get("/api/v1/session").status_code == 401
    assert second.get("/api/v1/session").status_code == 401


def test_rights_operations_bring_their_rightsholder(desk: Any, arrive: Any) -> None:
    own = desk.flag("up-1")
    client, _ = arrive("rob:rights_ops=Label")
    assert client.get(f"/api/v1/cases/{own}").status_code == 200
    arrive("rob:rights_ops=Rival")
    assert client.get(f"/api/v1/cases/{own}").status_code == 404
    _, answer = arrive("rea:rights_ops")
    assert answer.status_code == 403
    assert "rightsholder" in answer.text


def test_local_account_is_never_taken_over(arrive: Any) -> None:
    client, answer = arrive("adm:admin")
    assert answer.status_code == 403
    assert "there is a user adm already" in answer.text
    assert COOKIE not in client.cookies


def test_disabled_account_stays_out(desk: Any, arrive: Any) -> None:
    arrive("olga:lead")
    admin = desk.browser("adm")
    assert admin.patch("/api/v1/users/olga", json={"disabled": True}).status_code == 204
    client, answer = arrive("olga:lead")
    assert answer.status_code == 403
    assert "disabled" in answer.text
    assert COOKIE not in client.cookies


def test_provider_that_is_down_is_named(desk: Any, arrive: Any) -> None:
    _, answer = arrive("olga:lead:down")
    assert answer.status_code == 502
    desk.desk = replace(desk.desk, oidc=replace(desk.desk.oidc, issuer="http://localhost:1"))
    answer = desk.browser().get("/oidc/login")
    assert answer.status_code == 502
    assert "http://localhost:1" in answer.text
