"""What a rightsholder agreed to, and which of its terms decides.

A term says allow or deny for one use of one track, or of all works of a rightsholder, to one licensee or
anybody, somewhere or everywhere, from one instant to another. `decide` is the whole law:

1. Only the newest version of each term counts (the newest that was known at `known_at`).
2. A term that does not speak of the case is left out: another rightsholder, track, use, licensee or time.
   An upload for the whole world lies inside an allow only if that allow is worldwide, but inside every
   deny that holds anywhere.
3. **The most specific wins.** Term A overrides term B if it is at least as narrow in track, licensee and
   territory, and narrower in one. Neither overrides the other if each is narrower in something.
4. **Between those that nobody overrides, the strictest wins**: one deny is enough.
5. **Silence is a deny**, with no term to show.

Hence an added deny never turns a no into a yes, an added allow never a yes into a no (tested as
properties), and the order in which terms are listed means nothing. docs/catalog.md shows it as a table.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

from soundalike.errors import CatalogError

NAME_CHARACTERS = 200
"""Longest id or name: the limit that the upload events set for `uploader` and `upload_id`."""

UNSHOWN = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of characters that end a line, steer a terminal, or can't be written as UTF-8."""

LICENCE_PREFIX = "licence:"
"""A licensee `licence:REF` is whoever quotes the reference REF on the upload.

Anybody can quote anything: such a term is open to all who know the reference, by its rightsholder's choice.
A quoted reference can never pass for an account, because accounts carry no such prefix.
"""

DISTRIBUTOR_PREFIX = "distributor:"
AI_TOOL_PREFIX = "ai-tool:"
"""Licensees that are no uploader account: who delivered the upload, and the machine that made it.

Both are what the upload service vouches for (`Upload.distributor`, `Upload.ai_tool`).
"""

KIND_PREFIXES = (LICENCE_PREFIX, DISTRIBUTOR_PREFIX, AI_TOOL_PREFIX)

LONGEST_SHARE_TERMS = 2000
LONGEST_SHARE_CHARACTERS = 40


class Use(StrEnum):
    AI_DERIVATIVE = "ai_derivative"
    AI_TRAINING = "ai_training"
    VOICE_LIKENESS = "voice_likeness"
    VERBATIM_USE = "verbatim_use"


class Decision(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One version of one term.

    track_id: None for all works of the rightsholder.
    valid_from, valid_until: aware instants, the second exclusive and None for open-ended. A term that was
        withdrawn before it began has both the same: it never held.
    territories: ISO 3166-1 alpha-2; empty for the whole world.
    licensee: an uploader account, `distributor:NAME`, `ai-tool:NAME` or `licence:REF`; None for anybody.
    reference: the document that it comes from, for people.
    revenue_share: the part of the upload's revenue that the licence asks for, 0 to 1; None: not agreed here.
    share_terms: what else was agreed about payment, in words.
    """

    term_id: str
    rightsholder: str
    use: Use
    decision: Decision
    valid_from: datetime
    valid_until: datetime | None = None
    track_id: str | None = None
    territories: tuple[str, ...] = ()
    licensee: str | None = None
    reference: str = ""
    revenue_share: Decimal | None = None
    share_terms: str = ""
    version: int = 1
    recorded_at: datetime | None = None

    def overrides(self, other: Term) -> bool:
        """Narrower than `other` in track, licensee or territory, and wider in none."""
        mine, theirs = self._narrowness(), other._narrowness()
        return mine != theirs and all(m >= t for m, t in zip(mine, theirs, strict=True))

    def _narrowness(self) -> tuple[bool, bool, bool]:
        return self.track_id is not None, self.licensee is not None, bool(self.territories)


@dataclass(frozen=True, slots=True)
class TermDecision:
    """`term_id` and `version` are None when no term speaks of the case."""

    decision: Decision
    term_id: str | None = None
    version: int | None = None


SILENCE = TermDecision(Decision.DENY)


def decide(
    terms: Iterable[Term],
    *,
    rightsholder: str,
    track_id: str,
    use: Use,
    licensees: Collection[str],
    territory: str | None,
    at: datetime,
    known_at: datetime | None = None,
) -> TermDecision:
    """Does the rightsholder allow this use of this track, to any of these licensees, there and then?

    terms: any versions of any terms, in any order.
    territory: where the upload is to be published; None for the whole world.
    at: the instant of the use. known_at: judge by what was on record then; None: by all that is in `terms`.
    """
    speaking = [
        term
        for term in newest_versions(terms, known_at=known_at)
        if term.rightsholder == rightsholder
        and term.use == use
        and term.track_id in (None, track_id)
        and (term.licensee is None or term.licensee in licensees)
        and term.valid_from <= at
        and (term.valid_until is None or at < term.valid_until)
        and _reaches(term, territory)
    ]
    final = [term for term in speaking if not any(other.overrides(term) for other in speaking)]
    if not final:
        return SILENCE
    denials = [term for term in final if term.decision is Decision.DENY]
    deciding = min(denials or final, key=lambda term: term.term_id)
    return TermDecision(deciding.decision, deciding.term_id, deciding.version)


def newest_versions(terms: Iterable[Term], *, known_at: datetime | None = None) -> list[Term]:
    """The newest version of each term, of those that were on record at `known_at`."""
    newest: dict[str, Term] = {}
    for term in terms:
        if known_at is not None and term.recorded_at is not None and term.recorded_at > known_at:
            continue
        if term.term_id not in newest or newest[term.term_id].version < term.version:
            newest[term.term_id] = term
    return list(newest.values())


def licensees_of(
    uploader: str, licences: Iterable[str], *, distributor: str | None = None, ai_tool: str | None = None
) -> frozenset[str]:
    """Who an upload may be: its account, distributor, AI tool, and the holder of each reference it quotes."""
    named = {f"{LICENCE_PREFIX}{reference}" for reference in licences}
    if distributor is not None:
        named.add(f"{DISTRIBUTOR_PREFIX}{distributor}")
    if ai_tool is not None:
        named.add(f"{AI_TOOL_PREFIX}{ai_tool}")
    # An account that is named like one of the other kinds is not let through as one.
    return frozenset(named if uploader.startswith(KIND_PREFIXES) else {*named, uploader})


def check_term(term: Term) -> None:
    """Raises CatalogError, naming the term and the field, if the term can't be meant."""
    for field, text in (("term id", term.term_id), ("rightsholder", term.rightsholder)):
        check_name(text, what=f"the {field} of term {term.term_id!r}")
    for field, optional in (("track id", term.track_id), ("licensee", term.licensee)):
        if optional is not None:
            check_name(optional, what=f"the {field} of term {term.term_id!r}")
    for instant in (term.valid_from, term.valid_until):
        if instant is not None and instant.tzinfo is None:
            raise CatalogError(
                f"term {term.term_id}: the instant {instant} has no time zone; add one, as +00:00"
            )
    if term.valid_until is not None and term.valid_until < term.valid_from:
        raise CatalogError(
            f"term {term.term_id} ends ({term.valid_until.isoformat()}) before it begins"
            f" ({term.valid_from.isoformat()}); swap or correct the dates"
        )
    for territory in term.territories:
        check_territory(territory, what=f"term {term.term_id}")
    if term.licensee in KIND_PREFIXES:
        raise CatalogError(f"term {term.term_id}: the licensee {term.licensee!r} names nobody; add the name")
    share = term.revenue_share
    if share is not None and not (share.is_finite() and 0 <= share <= 1):
        raise CatalogError(
            f"term {term.term_id} asks for {share} of the revenue; write a part from 0 to 1, as 0.25"
        )
    if share is not None and len(f"{share:f}") > LONGEST_SHARE_CHARACTERS:
        raise CatalogError(f"term {term.term_id}: {share} has more digits than can be kept; round it")
    if len(term.share_terms) > LONGEST_SHARE_TERMS or "\0" in term.share_terms:
        raise CatalogError(
            f"term {term.term_id}: its share terms take {LONGEST_SHARE_TERMS} characters at most, and no NUL"
        )


def check_territory(code: str, *, what: str) -> None:
    """Raises CatalogError unless `code` is one of ISO 3166-1 alpha-2, in capitals."""
    if code not in _territories():
        hint = f"; did you mean {code.upper()}?" if code.upper() in _territories() else ""
        raise CatalogError(
            f"{what}: {code!r} is no territory of ISO 3166-1; write two capitals as DE or US{hint}"
        )


def check_name(text: str, *, what: str) -> None:
    """Raises CatalogError for an id or name that is empty, padded, too long or can't be shown as one line.

    Names are compared character by character, so only one way of writing each is let in: Unicode's NFC.
    `clean_name` makes it.
    """
    if not text or text != text.strip() or len(text) > NAME_CHARACTERS or not is_shown(text):
        raise CatalogError(
            f"{what} is {text!r}; it takes 1 to {NAME_CHARACTERS} characters, no control characters,"
            " and no spaces at the ends"
        )
    if not unicodedata.is_normalized("NFC", text):
        raise CatalogError(
            f"{what} is {text!r}, which is not in Unicode's composed form; normalise it to NFC"
        )


def is_shown(text: str) -> bool:
    """Whether it can be shown as one line: no control characters, no halves of characters."""
    return not any(unicodedata.category(character) in UNSHOWN for character in text)


def clean_name(text: str) -> str:
    """As a person typed it → as it is stored: composed, and without spaces at the ends."""
    return unicodedata.normalize("NFC", text).strip()


def _reaches(term: Term, territory: str | None) -> bool:
    if not term.territories or territory in term.territories:
        return True
    return territory is None and term.decision is Decision.DENY


@lru_cache(maxsize=1)
def _territories() -> frozenset[str]:
    import pycountry  # noqa: PLC0415 -- reads its list of countries from disk: only who validates pays

    return frozenset(country.alpha_2 for country in pycountry.countries)
