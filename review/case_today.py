"""A case as it is when it is opened: what was recorded, and what the catalog says of its references today."""

from __future__ import annotations

import logging
from dataclasses import replace

from review.case_view import CaseView, Sounding, view_case
from review.desk import Desk
from review.roles import Person
from soundalike.errors import SoundalikeError

_log = logging.getLogger(__name__)


def open_view(desk: Desk, person: Person, case_id: str) -> CaseView:
    """Raises UnknownCase. References that left the catalog meanwhile are marked `withdrawn`."""
    with desk.database.read() as connection:
        view = view_case(connection, case_id, person, now=desk.now(), policy=desk.policy)
    return replace(view, reference_audio=tuple(_today(desk, sounding) for sounding in view.reference_audio))


def _today(desk: Desk, sounding: Sounding) -> Sounding:
    try:
        reference = desk.references.find(sounding.track_id)
    except SoundalikeError as error:
        # A catalog that does not answer is no reason to keep a reviewer from the case.
        _log.warning("the catalog could not be asked about %s: %s", sounding.track_id, error)
        return sounding
    return replace(sounding, withdrawn=reference is None or reference.withdrawn)
