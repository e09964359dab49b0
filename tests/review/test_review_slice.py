"""From a flag on the spool to a decision on the spool, over HTTP, with real workers and real audio."""

from __future__ import annotations

from typing import Any

import httpx2

from pipeline.events import parse_event


def test_flag_to_decision(live: Any) -> None:
    song = live.desk.references.folder
    audio = {"uri": (song / "quick.flac").as_uri(), "duration_s": 30.0, "loudness_lufs": -24.0}
    live.publish("uploads", live.upload_bytes("up-1", uri=audio["uri"], title="Desert (sped up)"))
    live.publish("flags", live.flag_bytes("up-1", audio=audio))
    with httpx2.Client(base_url=f"{live.url}/api/v1", timeout=60) as client:
        me = client.post("/session", json={"user_id": "ann", "password": live.password}).json()
        client.headers["x-csrf-token"] = me["csrf"]
        lease = live.wait_for(lambda: client.post("/cases/next", json={}).json())

        def ready() -> dict[str, Any] | None:
            answer: dict[str, Any] = client.get(f"/cases/{lease['case_id']}").json()
            return answer if set(answer["media"]) == {"", "song"} else None

        answer = live.wait_for(ready)
        case = answer["case"]
        assert case["line"]["title"] == "Desert (sped up)"
        assert case["can_decide"] is True
        upload = answer["media"][""]
        whole = client.get(live.url + upload["audio"])
        assert whole.headers["content-type"] == "audio/flac"
        part = client.get(live.url + upload["audio"], headers={"Range": "bytes=100-199"})
        assert part.status_code == 206
        assert part.content == whole.content[100:200]
        levels = client.get(f"{live.url}{upload['peaks']}&start_s=-1&end_s=31&bins=320").json()
        assert levels[0] is None and levels[-1] is None  # outside of the recording
        assert levels[20] == 0.0 and max(levels[70:250]) > 0.02  # silence, then music from second 5 on
        picture = client.get(f"{live.url}{upload['spectrogram']}&start_s=0&end_s=30")
        assert picture.headers["content-type"] == "image/png"
        body = {"token": lease["token"], "action": "confirm", "reason_code": "clone"}
        decided = client.post(f"/cases/{lease['case_id']}/decide", json=body)
        assert decided.status_code == 200, decided.text
        assert live.decisions() == []  # it can still be taken back
        events = live.wait_for(live.decisions)
    assert len(events) == 1
    raw = live.spool.path("decisions").read_bytes().splitlines()[0]
    _, decision = parse_event(raw)
    assert (decision.upload_id, decision.decision, decision.decided_by) == ("up-1", "confirm", "ann")
    assert decision.reason == "clone"
