"""Is it machine-made? What the uploader says, what the file says and what is heard, in one `ai` object.

The three are kept apart: none changes the probability, which speaks of the sound alone. Absent marks prove
nothing, because every re-encoding strips them. A mark that is there and contradicts the uploader is said so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.evidence import AiAssessment, Provenance, Segment, Sign
from pipeline.payloads import AiDisclosure
from pipeline.policy import denies_ai

if TYPE_CHECKING:
    from classifiers.ai.detector import Assessment
    from classifiers.provenance import Claim

NOT_HEARD = "there is no audio to listen to"
"""Why nothing is known of an upload that could not be decoded."""


def assess_origin(
    disclosure: AiDisclosure, marks: Sequence[Claim] = (), heard: Assessment | None = None
) -> AiAssessment:
    """heard: None for an upload that could not be decoded."""
    provenance = (_statement(disclosure, marks), *(_provenance(mark) for mark in marks))
    if heard is None or not heard.known:
        return AiAssessment(
            known=False, reason=NOT_HEARD if heard is None else heard.reason, provenance=provenance
        )
    return AiAssessment(
        probability=heard.probability,
        low=heard.low,
        high=heard.high,
        known=True,
        reason=heard.reason,
        false_positive_rate=heard.false_positive_rate,
        segments=tuple(
            Segment(start_s=start_s, end_s=end_s, probability=probability)
            for start_s, end_s, probability in heard.segments
        ),
        signs=tuple(
            Sign(name=sign.name, value=sign.value, probability=sign.probability, detail=sign.detail)
            for sign in heard.signs
        ),
        provenance=provenance,
    )


def contradicting(disclosure: AiDisclosure, marks: Sequence[Claim]) -> tuple[Claim, ...]:
    """The marks that can't be true if the uploader's denial is.

    Only marks that hold: a broken one proves nothing. A manifest that gives a model a part of the work agrees
    with an uploader who discloses AI in post-production.
    """
    if not denies_ai(disclosure):
        return ()
    return tuple(
        mark
        for mark in marks
        if mark.state == "found"
        and mark.says_machine_made
        and not (mark.partly and disclosure.post_production)
    )


def _statement(disclosure: AiDisclosure, marks: Sequence[Claim]) -> Provenance:
    said = {
        "vocals": disclosure.vocals,
        "instruments": disclosure.instruments,
        "post-production": disclosure.post_production,
    }
    ai = [part for part, value in said.items() if value]
    human = [part for part, value in said.items() if value is False]
    detail = "; ".join(
        text for text, parts in ((f"AI: {', '.join(ai)}", ai), (f"no AI: {', '.join(human)}", human)) if parts
    )
    against = contradicting(disclosure, marks)
    if against:
        detail = f"{detail}; but {'; '.join(f'{mark.kind}: {mark.detail}' for mark in against)}"
        return Provenance(kind="disclosure", state="contradictory", detail=detail)
    return Provenance(
        kind="disclosure",
        state="found" if ai else "absent",
        detail=detail or "the uploader said nothing about AI",
    )


def _provenance(mark: Claim) -> Provenance:
    return Provenance(
        kind=mark.kind, state=mark.state, detail=mark.detail, says_machine_made=mark.says_machine_made
    )
