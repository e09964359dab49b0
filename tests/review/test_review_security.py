"""Who gets in, what they may do, and what the answers carry."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from review.accounts import disable, set_password
from review.audit import Head, append, verify
from review.rate_limit import RateLimit
from review.sessions import COOKIE, Signer
from soundalike.errors import AuditBroken, ReviewError

READS = ("/api/v1/cases", "/api/v1/quality", "/api/v1/audit", "/api/v1/users", "/api/v1/export/labels")


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("ann", {"/api/v1/cases"}),
        ("lea", {"/api/v1/cases", "/api/v1/quality", "/api/v1/export/labels"}),
        ("aud", {"/api/v1/cases", "/api/v1/quality", "/api/v1/audit", "/api/v1/export/labels"}),
        ("adm", set(READS)),
        ("rita", {"/api/v1/cases"}),
    ],
)
def test_roles_read_what_is_theirs(bench: Any, name: str, allowed: set[str]) -> None:
    client = bench.browser(name)
    assert {path for path in READS if client.get(path).status_code == 200} == allowed


def test_strangers_get_nothing(bench: Any) -> None:
    stranger = bench.browser()
    assert {stranger.get(path).status_code for path in READS} == {401}
    page = stranger.get("/queue")
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    stranger.headers["authorization"] = "Bearer sdk_guess"
    assert stranger.get("/api/v1/cases").status_code == 401


def test_rights_operations_see_their_own_catalog_only(bench: Any) -> None:
    own = bench.flag("up-1")
    bench.references.tracks.clear()
    foreign = bench.flag(
        "up-2", matches=[bench.match_document("other", "Other")],
        consent=[{"rightsholder": "Rival", "use": "ai_derivative", "decision": "deny"}],
    )  # fmt: skip
    rita = bench.browser("rita")
    listed = rita.get("/api/v1/cases", params={"show": "all"}).json()
    assert [line["case_id"] for line in listed["cases"]] == [own]
    assert rita.get(f"/api/v1/cases/{own}").status_code == 200
    assert rita.get(f"/api/v1/cases/{foreign}").status_code == 404
    assert rita.post(f"/api/v1/cases/{own}/claim").status_code == 403


def test_admins_decide_nothing(bench: Any) -> None:
    case_id = bench.flag("up-1")
    assert bench.browser("adm").post(f"/api/v1/cases/{case_id}/claim").status_code == 403


def test_changes_need_the_csrf_token(bench: Any) -> None:
    case_id, ann = bench.flag("up-1"), bench.browser("ann")
    for token in (None, "", "0" * 64, bench.browser("ann").headers["x-csrf-token"]):
        ann.headers.pop("x-csrf-token", None)
        if token is not None:
            ann.headers["x-csrf-token"] = token
        assert ann.post(f"/api/v1/cases/{case_id}/claim").status_code == 403


def test_sign_in_form_of_another_site_is_refused(bench: Any) -> None:
    form = {"user_id": "ann", "password": bench.password}
    stranger = bench.browser()
    refused = stranger.post("/login", data=form, headers={"origin": "https://evil.test"})
    assert refused.status_code == 403
    assert COOKIE not in stranger.cookies
    assert stranger.post("/login", data=form, headers={"origin": "http://desk.test"}).status_code == 303


def test_cookie_and_headers(bench: Any) -> None:
    answer = bench.browser().post("/api/v1/session", json={"user_id": "ann", "password": bench.password})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    page = bench.browser("ann").get("/queue")
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    assert re.findall(r'(?:src|href)="(?:https?:)?//', page.text) == []  # nothing from another host
    assert re.findall(r"<script(?![^>]*(?:src=|application/json))", page.text) == []


def test_sessions_end(bench: Any) -> None:
    ann, again = bench.browser("ann"), bench.browser("ann")
    with bench.write() as connection:
        set_password(connection, "ann", "another long one", now=bench.clock(), actor="adm")
    assert ann.get("/api/v1/cases").status_code == 401
    assert again.get("/api/v1/cases").status_code == 401
    ben = bench.browser("ben")
    bench.clock.forward(bench.desk.policy.session_s)
    assert ben.get("/api/v1/cases").status_code == 401
    lea = bench.browser("lea")
    with bench.write() as connection:
        disable(connection, "lea", now=bench.clock(), actor="adm")
    assert lea.get("/api/v1/cases").status_code == 401


def test_forged_cookies_are_none(bench: Any) -> None:
    forged, _ = Signer(b"x" * 32).issue("adm", 0, expires_at=bench.clock.now.replace(year=2030))
    stranger = bench.browser()
    stranger.cookies.set(COOKIE, forged)
    assert stranger.get("/api/v1/cases").status_code == 401


def test_tries_to_sign_in_are_limited(bench: Any) -> None:
    object.__setattr__(bench.desk, "login_limit", RateLimit(attempts=3, window_s=300.0))
    client = bench.browser()
    answers = [
        client.post("/api/v1/session", json={"user_id": "ann", "password": "wrong wrong wrong"})
        for _ in range(4)
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert int(answers[-1].headers["retry-after"]) > 0
    right = client.post("/api/v1/session", json={"user_id": "ann", "password": bench.password})
    assert right.status_code == 429  # the right password has to wait too, or the limit would tell it


def test_an_office_behind_one_address_can_sign_in(bench: Any) -> None:
    object.__setattr__(bench.desk, "host_limit", RateLimit(attempts=3, window_s=300.0))
    for _ in range(10):
        bench.browser("ann")  # a right password does not count against the address
    wrong = {"user_id": "x", "password": "wrong wrong wrong"}
    client = bench.browser()
    answers = [client.post("/api/v1/session", json={**wrong, "user_id": f"guess-{n}"}) for n in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]


def test_requests_are_limited_by_person(bench: Any) -> None:
    object.__setattr__(bench.desk, "request_limit", RateLimit(attempts=5, window_s=60.0))
    ann, ben = bench.browser("ann"), bench.browser("ben")
    assert [ann.get("/api/v1/reasons").status_code for _ in range(6)] == [200] * 5 + [429]
    assert int(ann.get("/queue").headers["retry-after"]) > 0
    assert ben.get("/api/v1/reasons").status_code == 200


def test_limit_slides() -> None:
    now_s = [0.0]
    limit = RateLimit(attempts=2, window_s=10.0, monotonic_s=lambda: now_s[0])
    assert [limit.wait_s("a"), limit.wait_s("a"), limit.wait_s("b")] == [0.0, 0.0, 0.0]
    now_s[0] = 4.0
    assert limit.wait_s("a") == 6.0
    now_s[0] = 10.0
    assert limit.wait_s("a") == 0.0


def test_media_addresses_are_signed_and_expire(bench: Any) -> None:
    sha256, now = "a" * 64, bench.clock()
    client = bench.browser()
    good = bench.desk.signer.media_query(sha256, expires_at=now.replace(hour=10))
    window = "start_s=0&end_s=1"
    assert client.get(f"/api/v1/media/{sha256}/peaks?{good}&{window}").status_code == 404  # right, but gone
    other = client.get(f"/api/v1/media/{'b' * 64}/peaks?{good}&{window}")
    assert other.status_code == 403
    later = good.replace("expires=", "expires=9")
    assert client.get(f"/api/v1/media/{sha256}/peaks?{later}&{window}").status_code == 403
    bench.clock.forward(3600)
    assert client.get(f"/api/v1/media/{sha256}/peaks?{good}&{window}").status_code == 403


# The audit log


def drop_guard(connection: Connection) -> None:
    """What somebody with the database's own password can do."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("DROP TRIGGER review_audit_no_change ON review_audit"))
        return
    for act in ("update", "delete"):
        connection.execute(text(f"DROP TRIGGER review_audit_no_{act}"))


def test_audit_chain_holds_and_finds_changes(bench: Any) -> None:
    bench.flag("up-1")
    with bench.write() as connection:
        head = verify(connection)
        assert head.seq > 1
        append(connection, at=bench.clock(), actor="ann", action="test", subject="x", detail={"ü": 1})
        later = verify(connection, anchor=head)
        assert later.seq == head.seq + 1
        with pytest.raises(AuditBroken, match="anchor"):
            verify(connection, anchor=Head(head.seq, "0" * 64))


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        ("UPDATE review_audit SET actor = 'eve' WHERE seq = 3", "entry 3 .* was altered"),
        ("DELETE FROM review_audit WHERE seq = 3", "entry 3 is missing"),
    ],
)
def test_tampering_is_refused_by_the_database_and_found_by_the_chain(
    bench: Any, tamper: str, says: str
) -> None:
    with (
        pytest.raises((DBAPIError, ReviewError), match="append-only"),
        bench.write() as c,
    ):
        c.execute(text(tamper))
    with bench.write() as connection:
        drop_guard(connection)
        connection.execute(text(tamper))
    with bench.write() as connection, pytest.raises(AuditBroken, match=says):
        verify(connection)


def test_a_cut_tail_is_found_with_the_anchor(bench: Any) -> None:
    with bench.write() as connection:
        head = verify(connection)
        drop_guard(connection)
        connection.execute(text(f"DELETE FROM review_audit WHERE seq = {head.seq}"))
        assert verify(connection).seq == head.seq - 1  # the chain alone can't know
        with pytest.raises(AuditBroken, match="cut or rewritten"):
            verify(connection, anchor=head)
