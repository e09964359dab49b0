"""The signed addresses of a case's recordings."""

from __future__ import annotations

from datetime import timedelta

from review.case_view import CaseView
from review.desk import Desk
from review.web_models import MediaLinks


def links_of(desk: Desk, view: CaseView) -> dict[str, MediaLinks]:
    """By track id, the upload under the empty id; recordings that are not there are left out.

    The expiry is rounded up to a tenth of its period, so that the address stays the same for a while and the
    browser's cache can help.
    """
    step_s = max(1.0, desk.policy.media_url_s / 10)
    rounded_s = (desk.now().timestamp() // step_s + 1) * step_s
    expires_at = desk.now().fromtimestamp(rounded_s, tz=desk.now().tzinfo) + timedelta(
        seconds=desk.policy.media_url_s
    )
    links = {}
    for sounding in (view.upload_audio, *view.reference_audio):
        if sounding.state == "ready" and sounding.sha256 is not None:
            query = desk.signer.media_query(sounding.sha256, expires_at=expires_at)
            base = f"/api/v1/media/{sounding.sha256}"
            links[sounding.track_id] = MediaLinks(
                audio=f"{base}/audio?{query}",
                peaks=f"{base}/peaks?{query}",
                spectrogram=f"{base}/spectrogram.png?{query}",
                signs={name: f"{base}/signs/{name}.png?{query}" for name in sounding.signs},
            )
    return links
