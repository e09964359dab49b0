"""Deciding, taking back, second opinions, leads, documents, appeals, golden cases: through the API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.events import Decision, parse_event
from review.outbox import publish_due, waiting
from review.reasons import notes_required
from soundalike.errors import BrokerError, DecisionRefused


class Sink:
    """Keeps what was published; fails while `broken`."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.broken = False

    def publish(self, events: Any) -> None:
        if self.broken:
            raise BrokerError("no broker answers")
        self.events += [value for _, value in events]

    def close(self) -> None:
        pass

    @property
    def decisions(self) -> list[Decision]:
        return [parse_event(value)[1] for value in self.events]  # type: ignore[misc]


def publish(bench: Any, sink: Sink) -> int:
    return publish_due(bench.desk.database, sink, now=bench.clock())


def decide(client: Any, case_id: str, action: str, code: str, note: str = "", *, status: int = 200) -> Any:
    lease = client.post(f"/api/v1/cases/{case_id}/claim")
    assert lease.status_code == 200, lease.text
    body = {"token": lease.json()["token"], "action": action, "reason_code": code, "note": note}
    answer = client.post(f"/api/v1/cases/{case_id}/decide", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def state(client: Any, case_id: str) -> str:
    return str(client.get(f"/api/v1/cases/{case_id}").json()["case"]["line"]["state"])


def test_decision_is_published_when_it_can_no_longer_be_taken_back(bench: Any) -> None:
    case_id, sink, ann = bench.flag("up-1"), Sink(), bench.browser("ann")
    decide(ann, case_id, "dismiss", "other", "It is a quote of four notes.")
    bench.clock.forward(29)
    assert publish(bench, sink) == 0
    bench.clock.forward(2)
    assert publish(bench, sink) == 1
    assert publish(bench, sink) == 0
    (decision,) = sink.decisions
    assert decision.decision == "dismiss"
    assert decision.reason == "other: It is a quote of four notes."
    assert decision.revision == 1
    assert state(ann, case_id) == "closed"


def test_failed_publishing_repeats_the_same_bytes(bench: Any) -> None:
    case_id, sink = bench.flag("up-1"), Sink()
    decide(bench.browser("ann"), case_id, "confirm", "clone")
    bench.clock.forward(31)
    sink.broken = True
    with pytest.raises(BrokerError):
        publish(bench, sink)
    assert waiting(bench.desk.database) == 1
    sink.broken = False
    publish(bench, sink)
    assert waiting(bench.desk.database) == 0
    assert len(sink.events) == 1


def test_crash_after_sending_sends_the_same_event_again(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent and acknowledged, but the process died before it could note that down."""
    case_id, sink = bench.flag("up-1"), Sink()
    decide(bench.browser("ann"), case_id, "confirm", "clone")
    bench.clock.forward(31)
    original = sink.publish

    def publish_and_die(events: Any) -> None:
        original(events)
        raise KeyboardInterrupt

    monkeypatch.setattr(sink, "publish", publish_and_die)
    with pytest.raises(KeyboardInterrupt):
        publish(bench, sink)
    monkeypatch.undo()
    publish(bench, sink)
    assert len(sink.events) == 2
    assert sink.events[0] == sink.events[1]


def test_undo_reopens_and_its_revision_is_never_used_again(bench: Any) -> None:
    case_id, sink, ann = bench.flag("up-1"), Sink(), bench.browser("ann")
    decided = decide(ann, case_id, "confirm", "clone")
    bench.clock.forward(20)
    lease = ann.post(f"/api/v1/opinions/{decided['opinion_id']}/undo")
    assert lease.status_code == 200, lease.text
    assert state(ann, case_id) == "open"
    body = {"token": lease.json()["token"], "action": "dismiss", "reason_code": "false_match"}
    assert ann.post(f"/api/v1/cases/{case_id}/decide", json=body).status_code == 200
    bench.clock.forward(60)
    publish(bench, sink)
    assert [(item.decision, item.revision) for item in sink.decisions] == [("dismiss", 2)]


def test_undo_ends_after_its_time(bench: Any) -> None:
    case_id, ann = bench.flag("up-1"), bench.browser("ann")
    decided = decide(ann, case_id, "confirm", "clone")
    bench.clock.forward(31)
    answer = ann.post(f"/api/v1/opinions/{decided['opinion_id']}/undo")
    assert answer.status_code == 422
    assert "for 30 s" in answer.json()["message"]


def test_nobody_undoes_a_colleagues_decision(bench: Any) -> None:
    decided = decide(bench.browser("ann"), bench.flag("up-1"), "confirm", "clone")
    answer = bench.browser("ben").post(f"/api/v1/opinions/{decided['opinion_id']}/undo")
    assert answer.status_code == 404


def test_decision_needs_the_lease_in_force(bench: Any) -> None:
    case_id, ann, ben = bench.flag("up-1"), bench.browser("ann"), bench.browser("ben")
    token = ann.post(f"/api/v1/cases/{case_id}/claim").json()["token"]
    bench.clock.forward(601)
    body = {"token": token, "action": "confirm", "reason_code": "clone"}
    late = ann.post(f"/api/v1/cases/{case_id}/decide", json=body)
    assert late.status_code == 409
    decide(ben, case_id, "dismiss", "false_match")
    stale = ann.post(f"/api/v1/cases/{case_id}/decide", json=body)
    assert stale.status_code == 409
    assert bench.browser("lea").get(f"/api/v1/cases/{case_id}").json()["case"]["standing"] == "dismiss"


@pytest.mark.parametrize(
    ("action", "code", "note", "says"),
    [
        ("dismiss", "other", " ", "needs a note"),
        ("documents", "licence", "", "needs a note"),
        ("confirm", "false_match", "", "one of clone"),
        ("uphold", "clone", "because", "can't be answered with uphold"),
    ],
)
def test_incomplete_decisions_are_refused_in_words(
    bench: Any, action: str, code: str, note: str, says: str
) -> None:
    answer = decide(bench.browser("ann"), bench.flag("up-1"), action, code, note, status=422)
    assert answer["reason"] == "decision_refused"
    assert says in answer["message"]


def test_newer_flag_supersedes_and_an_older_one_is_filed(bench: Any) -> None:
    ann = bench.browser("ann")
    old = bench.flag("up-1", rule="first")
    token = ann.post(f"/api/v1/cases/{old}/claim").json()["token"]
    bench.clock.forward(60)
    new = bench.flag("up-1", at=bench.clock(), rule="second")
    assert state(ann, old) == "superseded"
    assert state(ann, new) == "open"
    body = {"token": token, "action": "confirm", "reason_code": "clone"}
    assert ann.post(f"/api/v1/cases/{old}/decide", json=body).status_code == 409
    late = bench.flag("up-1", rule="late")  # its event is older than the one that is open
    assert state(ann, late) == "superseded"
    assert state(ann, new) == "open"
    view = ann.get(f"/api/v1/cases/{old}").json()["case"]
    assert view["superseded_by"] == new
    assert {line["case_id"] for line in view["history"]} == {new, late}


def test_same_event_twice_is_one_case(bench: Any) -> None:
    first = bench.flag("up-1")
    assert bench.flag("up-1") == first
    assert bench.browser("ann").get("/api/v1/cases").json()["total"] == 1


# Second opinions


def test_second_reviewer_judges_blindly_and_agreement_closes(with_policy: Any) -> None:
    bench = with_policy(second_opinion_share=1.0)
    case_id, sink = bench.flag("up-1"), Sink()
    ann, ben = bench.browser("ann"), bench.browser("ben")
    decide(ann, case_id, "confirm", "clone", "secret thought")
    bench.clock.forward(31)
    assert publish(bench, sink) == 0
    assert ann.get("/api/v1/cases").json()["total"] == 0  # hers is done
    assert ann.post(f"/api/v1/cases/{case_id}/claim").status_code == 409
    seen = ben.get(f"/api/v1/cases/{case_id}")
    assert "secret thought" not in seen.text
    assert seen.json()["case"]["line"]["state"] == "open"
    assert seen.json()["case"]["opinions"] == []
    page = ben.get(f"/cases/{case_id}").text
    assert "secret thought" not in page
    assert "<bdi>ann" not in page
    decide(ben, case_id, "confirm", "verbatim")
    bench.clock.forward(31)
    assert publish(bench, sink) == 1
    assert sink.decisions[0].decided_by == "ben"


def test_disagreement_goes_to_a_lead_who_saw_neither(with_policy: Any) -> None:
    bench = with_policy(second_opinion_share=1.0)
    case_id, sink = bench.flag("up-1"), Sink()
    ann, ben, lea = bench.browser("ann"), bench.browser("ben"), bench.browser("lea")
    decide(ann, case_id, "confirm", "clone")
    bench.clock.forward(31)
    decide(ben, case_id, "dismiss", "false_match")
    bench.clock.forward(31)
    assert publish(bench, sink) == 0
    assert ben.post(f"/api/v1/cases/{case_id}/claim").status_code == 409
    view = lea.get(f"/api/v1/cases/{case_id}").json()["case"]
    assert view["line"]["state"] == "lead"
    assert [item["action"] for item in view["opinions"]] == ["confirm", "dismiss"]
    decide(lea, case_id, "confirm", "clone")
    bench.clock.forward(31)
    publish(bench, sink)
    assert [(item.decision, item.decided_by) for item in sink.decisions] == [("confirm", "lea")]
    quality = lea.get("/api/v1/quality").json()
    assert (quality["pairs"], quality["agreed"]) == (1, 0)


def test_harm_above_the_threshold_always_gets_two(with_policy: Any) -> None:
    bench = with_policy(second_opinion_harm=0.01)
    case_id = bench.flag("up-1")
    decide(bench.browser("ann"), case_id, "confirm", "clone")
    assert state(bench.browser("lea"), case_id) == "second"


def test_escalation_is_published_and_a_lead_decides(bench: Any) -> None:
    case_id, sink = bench.flag("up-1"), Sink()
    decide(bench.browser("ann"), case_id, "escalate", "unsure")
    bench.clock.forward(31)
    decide(bench.browser("lea"), case_id, "dismiss", "public_domain")
    bench.clock.forward(31)
    publish(bench, sink)
    assert [(item.decision, item.revision) for item in sink.decisions] == [("escalate", 1), ("dismiss", 2)]


def test_documents_park_the_case_until_they_come(bench: Any) -> None:
    case_id, sink, ann = bench.flag("up-1"), Sink(), bench.browser("ann")
    decide(ann, case_id, "documents", "licence", "Please send the licence for Song.")
    assert state(ann, case_id) == "documents"
    assert ann.post(f"/api/v1/cases/{case_id}/claim").status_code == 409
    sent = bench.program().post(f"/api/v1/cases/{case_id}/documents", json={"note": "licence 12 attached"})
    assert sent.status_code == 204, sent.text
    decide(ann, case_id, "dismiss", "licensed_elsewhere")
    bench.clock.forward(31)
    publish(bench, sink)
    first, second = sink.decisions
    assert first.decision == "escalate"
    assert first.reason.startswith("documents:licence: Please send")
    assert (second.decision, second.revision) == ("dismiss", 2)


# Appeals


def test_appeal_goes_to_somebody_else_and_an_overturn_is_published(bench: Any) -> None:
    case_id, sink, ann = bench.flag("up-1"), Sink(), bench.browser("ann")
    program = bench.program()
    nothing = program.post("/api/v1/appeals", json={"upload_id": "up-1", "statement": "It is mine."})
    assert nothing.status_code == 422
    decide(ann, case_id, "confirm", "clone")
    bench.clock.forward(31)
    filed = program.post("/api/v1/appeals", json={"upload_id": "up-1", "statement": "It is mine."})
    assert filed.status_code == 201, filed.text
    appeal_id = filed.json()["appeal_id"]
    again = program.post("/api/v1/appeals", json={"upload_id": "up-1", "statement": "Really."})
    assert again.status_code == 422
    refused = ann.post(f"/api/v1/cases/{appeal_id}/claim")
    assert refused.status_code == 409
    assert "somebody else" in refused.json()["message"]
    decide(bench.browser("ben"), appeal_id, "overturn", "own_work", "He sent the project files.")
    bench.clock.forward(31)
    publish(bench, sink)
    assert [item.decision for item in sink.decisions] == ["confirm", "overturn"]
    assert program.get(f"/api/v1/appeals/{appeal_id}").json()["result"] == "overturned"
    quality = bench.browser("lea").get("/api/v1/quality").json()
    assert (quality["appeals"], quality["overturned"]) == (1, 1)
    exported = bench.browser("lea").get("/api/v1/export/labels").text.splitlines()
    assert [json.loads(line)["label"] for line in exported] == ["negative"]


def test_upheld_appeal_confirms_again(bench: Any) -> None:
    case_id, sink = bench.flag("up-1"), Sink()
    decide(bench.browser("ann"), case_id, "confirm", "clone")
    bench.clock.forward(31)
    body = {"upload_id": "up-1", "statement": "No."}
    appeal_id = bench.program().post("/api/v1/appeals", json=body).json()["appeal_id"]
    decide(bench.browser("ben"), appeal_id, "uphold", "clone", "The melody is the same throughout.")
    bench.clock.forward(31)
    publish(bench, sink)
    assert [(item.decision, item.revision) for item in sink.decisions] == [("confirm", 1), ("confirm", 2)]


# Golden cases


def test_golden_case_looks_like_any_other_and_is_never_published(with_policy: Any) -> None:
    bench = with_policy(golden_share=1.0)
    case_id, sink = bench.flag("up-1"), Sink()
    lea, ann = bench.browser("lea"), bench.browser("ann")
    early = lea.post("/api/v1/golden", json={"case_id": case_id, "action": "confirm", "reason_code": "clone"})
    assert early.status_code == 422
    decide(lea, case_id, "confirm", "clone")
    bench.clock.forward(31)
    publish(bench, sink)
    made = lea.post("/api/v1/golden", json={"case_id": case_id, "action": "confirm", "reason_code": "clone"})
    assert made.status_code == 204, made.text
    dealt = ann.post("/api/v1/cases/next", json={}).json()
    view = ann.get(f"/api/v1/cases/{dealt['case_id']}").json()["case"]
    assert view["line"]["kind"] == "flag"
    assert view["standing"] is None and view["history"] == [] and view["opinions"] == []
    assert bench.browser("ben").get(f"/api/v1/cases/{dealt['case_id']}").status_code == 404
    body = {"token": dealt["token"], "action": "dismiss", "reason_code": "not_ai"}
    assert ann.post(f"/api/v1/cases/{dealt['case_id']}/decide", json=body).status_code == 200
    bench.clock.forward(60)
    assert publish(bench, sink) == 0
    assert lea.get("/api/v1/quality").json()["accuracy"] == [{"reviewer": "ann", "right": 0, "answered": 1}]
    assert ann.post("/api/v1/cases/next", json={}).json() is None  # each golden case once


# Bulk


def test_bulk_decides_what_it_can_and_says_what_not(bench: Any) -> None:
    ids = [bench.flag(f"up-{n}") for n in range(4)]
    ann, ben = bench.browser("ann"), bench.browser("ben")
    ben.post(f"/api/v1/cases/{ids[0]}/claim")
    body = {"case_ids": [*ids, "c-none"], "action": "confirm", "reason_code": "slop"}
    lines = {line["case_id"]: line for line in ann.post("/api/v1/bulk", json=body).json()}
    assert [lines[case_id]["opinion_id"] is None for case_id in ids] == [True, False, False, False]
    assert "ben is working" in lines[ids[0]]["problem"]
    assert "no case" in lines["c-none"]["problem"]


def test_rules_for_notes_are_the_operators(with_policy: Any) -> None:
    bench = with_policy(note_required=notes_required(["confirm:*", "dismiss:not_ai"]))
    case_id, ann = bench.flag("up-1"), bench.browser("ann")
    assert "needs a note" in decide(ann, case_id, "confirm", "clone", status=422)["message"]
    decide(ann, case_id, "dismiss", "other")
    with pytest.raises(DecisionRefused, match="no decision is called confirm:everything"):
        notes_required(["confirm:everything"])


# Quality


def test_precision_is_counted_by_rule_and_by_reason(with_policy: Any) -> None:
    """Three confirmed as clones, one of them overturned on appeal; one dismissed; one judged twice."""
    bench = with_policy(second_opinion_share=0.0)
    cases = [bench.flag(f"up-{number}") for number in range(4)]
    for case_id in cases[:3]:
        decide(bench.browser("ann"), case_id, "confirm", "clone")
    decide(bench.browser("ann"), cases[3], "dismiss", "false_match")
    bench.clock.forward(31)
    body = {"upload_id": "up-0", "statement": "Mine."}
    appeal_id = bench.program().post("/api/v1/appeals", json=body).json()["appeal_id"]
    decide(bench.browser("ben"), appeal_id, "overturn", "own_work", "He sent the stems.")
    quality = bench.browser("lea").get("/api/v1/quality").json()
    assert [(row["rule"], row["confirmed"], row["decided"]) for row in quality["precision"]] == [
        ("unlicensed-match", 2, 4)
    ]
    reasons = {(row["action"], row["code"]): row for row in quality["reasons"]}
    clone = reasons["confirm", "clone"]
    assert (clone["decided"], clone["overturned"]) == (3, 1)
    assert clone["share"] == pytest.approx(2 / 3)
    assert reasons["dismiss", "own_work"]["overturned"] == 0
    assert reasons["dismiss", "false_match"]["share"] == 1.0
    assert [(row["reviewer"], row["judged"]) for row in quality["workload"]] == [("ann", 4), ("ben", 1)]
    page = bench.browser("lea").get("/quality").text
    assert "Clone: imitates a recording" in page and "67%" in page


def test_agreement_is_shown_for_each_reviewer(with_policy: Any) -> None:
    bench = with_policy(second_opinion_share=1.0)
    for upload_id, second in (("up-1", "confirm"), ("up-2", "dismiss")):
        case_id = bench.flag(upload_id)
        decide(bench.browser("ann"), case_id, "confirm", "clone")
        bench.clock.forward(31)
        decide(bench.browser("ben"), case_id, second, "clone" if second == "confirm" else "not_ai")
    quality = bench.browser("lea").get("/api/v1/quality").json()
    assert (quality["pairs"], quality["agreed"]) == (2, 1)
    assert [(row["reviewer"], row["in_pairs"], row["agreed"]) for row in quality["workload"]] == [
        ("ann", 2, 1), ("ben", 2, 1)
    ]  # fmt: skip


def test_export_is_labelled_data_for_the_thresholds(bench: Any) -> None:
    """One line an upload: a label, and beside it every score that a threshold is set on."""
    decide(bench.browser("ann"), bench.flag("up-1"), "confirm", "clone")
    decide(bench.browser("ann"), bench.flag("up-2", matches=[]), "dismiss", "not_ai")
    lines = bench.browser("lea").get("/api/v1/export/labels").text.splitlines()
    first, second = (json.loads(line) for line in lines)
    assert (first["label"], first["matches"][0]["score"], first["ai_probability"]) == ("positive", 40.0, 0.4)
    assert (second["label"], second["matches"], second["reason_code"]) == ("negative", [], "not_ai")
    assert first["policy"]["version"] == "1" and first["models"][0]["name"] == "embedder"
