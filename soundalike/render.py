"""What people see in a terminal: evidence, flags, dead letters, the demo's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.events import DeadLetter
from pipeline.evidence import AiAssessment, Evidence, Match

STYLES = {"clear": "green", "licensed": "cyan", "flagged": "bold red", "undecodable": "yellow"}
NOTHING = "–"
MIXED = "mixed"
"""The sign of `classifiers.ai.mixed`, whose number is a share and speaks for neither side."""
UNDECIDED = 0.6
"""A sign whose probability lies between this and its complement speaks for neither side."""


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One upload of the demo. evidence: None as long as no verdict came."""

    name: str
    expected_verdict: str
    expected_track: str | None
    evidence: Evidence | None

    @property
    def is_right(self) -> bool:
        """The verdict is the expected one and, where a track was reused, so is the best match."""
        if self.evidence is None or self.evidence.verdict.value != self.expected_verdict:
            return False
        found = {match.track_id for match in self.evidence.matches}
        return self.expected_track in found if self.expected_track is not None else not found


def show_evidence(evidence: Evidence, *, console: Console | None = None) -> None:
    """One record, for a person: the verdict, the sentence, and what it rests on."""
    out = console or Console(highlight=False)
    heading = Text.assemble(
        (_printable(evidence.upload_id), "bold"),
        "  ",
        (evidence.verdict.value, STYLES[evidence.verdict.value]),
        (f"  {evidence.rule}", "dim"),
    )
    out.print(heading)
    out.print(Padding(Text(_printable(evidence.reason)), (0, 0, 0, 2)))
    audio = evidence.audio
    if audio.duration_s is not None:
        loudness = NOTHING if audio.loudness_lufs is None else f"{audio.loudness_lufs:.1f} LUFS"
        facts = (
            f"{audio.container}/{audio.codec}, {audio.sample_rate_hz} Hz, {audio.channels} channel"
            f"{'s' if audio.channels != 1 else ''}, {_clock(audio.duration_s)}, {loudness}"
        )
        out.print(Padding(Text(facts, style="dim"), (0, 0, 0, 2)))
    undecodable = evidence.verdict.value == "undecodable"  # and the sentence says so: nothing was heard
    for line in marks_of(evidence.ai) if undecodable else origin_lines(evidence.ai):
        out.print(Padding(Text(line, style="dim"), (0, 0, 0, 2)))
    if evidence.matches:
        out.print(Padding(_matches_table(evidence.matches), (0, 0, 0, 2)))
    for one in evidence.suppressed:
        where = f"{one.query_start_s:.0f}–{one.query_end_s:.0f} s of the upload"
        why = f"the reference is {one.suppression_kind}: {one.suppression_reason}"
        line = f"set aside: “{one.title}” ({one.track_id}), {where}; {why}"
        out.print(Padding(Text(_printable(line), style="dim"), (0, 0, 0, 2)))
    out.print()


def origin_lines(ai: AiAssessment) -> list[str]:
    """What is heard of the whole, whether it is mixed, then every claim about origin that is there."""
    if ai.probability is None:
        heard = f"not known ({ai.reason})" if ai.reason else "not known"
    else:
        heard = f"{ai.probability:.2f}, between {ai.low:.2f} and {ai.high:.2f}"
        if ai.false_positive_rate is not None:
            heard += f"; {ai.false_positive_rate:.1%} of human recordings score as high"
        if ai.reason:
            heard += f"; {ai.reason}"
    mixed = [_printable(f"{MIXED}: {sign.detail}") for sign in ai.signs if sign.name == MIXED]
    return [_printable(f"machine-made by its sound: {heard}"), *mixed, *marks_of(ai)]


def marks_of(ai: AiAssessment) -> list[str]:
    """A line for every claim about its origin that file or uploader make; an absent one is no news."""
    there = (claim for claim in ai.provenance if claim.state != "absent")
    return [_printable(f"{claim.kind} {claim.state}: {claim.detail}") for claim in there]


def show_origin(name: str, ai: AiAssessment, *, console: Console | None = None) -> None:
    """What the second ear says of one file: the answer, its signs and the file's own marks, a row each."""
    out = console or Console(highlight=False)
    heard, *_ = origin_lines(ai)
    out.print(Text.assemble((_printable(name), "bold"), ": ", heard))
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for sign in ai.signs:
        detail = Text(_printable(sign.detail))
        if sign.probability is None:
            table.add_row(sign.name, NOTHING, "", detail)
        else:
            side = "" if sign.name == MIXED else _side(sign.probability)
            table.add_row(sign.name, f"{sign.probability:.2f}", side, detail)
    for claim in ai.provenance:
        if claim.kind != "disclosure":  # nobody is asked here
            table.add_row(claim.kind, "", claim.state, Text(_printable(claim.detail)))
    out.print(Padding(table, (0, 0, 0, 2)))


def _side(probability: float) -> Text:
    """For whom a sign speaks by itself."""
    if 1 - UNDECIDED <= probability <= UNDECIDED:
        return Text("undecided", style="dim")
    if probability > UNDECIDED:
        return Text("for a machine", style="red")
    return Text("for people", style="green")


def flag_line(evidence: Evidence, *, at: datetime | None) -> str:
    """One flag as one line: when, which upload, which rule, why."""
    when = at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at is not None else NOTHING
    return _printable(f"{when}  {evidence.upload_id}  {evidence.rule}  {evidence.reason}")


def show_dead_letters(letters: Sequence[tuple[str, DeadLetter]], *, console: Console | None = None) -> None:
    """Two lines each; the first 12 digits of an id are enough to name it."""
    out = console or Console(highlight=False)
    if not letters:
        out.print("no dead letters")
        return
    for letter_id, letter in letters:
        out.print(
            Text.assemble(
                (letter_id[:12], "bold"),
                f"  {_printable(letter.upload_id or NOTHING)}  {letter.stage}  ",
                (letter.reason, "red"),
                (f"  attempt {letter.attempt}  from {_printable(letter.source)}", "dim"),
            )
        )
        out.print(Padding(Text(_printable(letter.message)), (0, 0, 0, 2)))


def show_demo(rows: Sequence[DemoRow], *, console: Console) -> None:
    """Expected and actual side by side, a wrong one marked; below each line the sentence that explains it.

    Where a tenth of a second has no room, whole seconds are shown: the sentence holds the tenths.
    """
    headings = ("", "upload", "expected", "verdict", "track", "upload s ↔ track s", "pitch", "tempo", "score")
    for decimals, gap in ((1, 2), (0, 1)):
        lines = [_demo_cells(row, decimals=decimals) for row in rows]
        if decimals == 0:
            headings = (*headings[:5], "upload ↔ track", *headings[6:])
        widths = [max(cell_len(line[i]) for line in (headings, *lines)) + gap for i in range(len(headings))]
        if sum(widths) - gap <= console.width:
            break
    console.print(_columns(headings, widths, style="dim"))
    for row, cells in zip(rows, lines, strict=True):
        console.print(_columns(cells, widths, style="" if row.is_right else "reverse", coloured=3))
        reason = "no verdict came" if row.evidence is None else row.evidence.reason
        console.print(Padding(Text(_printable(reason), style="dim"), (0, 0, 0, 2)))


def complain(message: str) -> None:
    """A line on stderr about something that is passed over."""
    Console(stderr=True, highlight=False, markup=False).print(
        _printable(message), style="yellow", soft_wrap=True
    )


def _demo_cells(row: DemoRow, *, decimals: int) -> tuple[str, ...]:
    mark = "✓" if row.is_right else "✗"
    verdict = "none" if row.evidence is None else row.evidence.verdict.value
    if row.evidence is None or not row.evidence.matches:
        return (mark, row.name, row.expected_verdict, verdict, *[NOTHING] * 5)
    best = row.evidence.matches[0]
    return (mark, row.name, row.expected_verdict, verdict, best.track_id, *_match_cells(best, decimals))


def _match_cells(match: Match, decimals: int = 1) -> tuple[str, str, str, str]:
    query = f"{match.query_start_s:.{decimals}f}–{match.query_end_s:.{decimals}f}"
    reference = f"{match.reference_start_s:.{decimals}f}–{match.reference_end_s:.{decimals}f}"
    return (
        f"{query} ↔ {reference}",
        f"{round(match.shift_semitones, 1) + 0.0:+.1f}",  # adding 0.0 turns -0.0 into +0.0
        f"×{match.tempo_ratio:.2f}",
        f"{match.score:.1f}",
    )


def _columns(cells: Sequence[str], widths: Sequence[int], *, style: str, coloured: int | None = None) -> Text:
    line = Text(style=style, no_wrap=True, overflow="ellipsis")
    for number, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        padded = _printable(cell) + " " * (width - cell_len(cell))
        line.append(padded, style=STYLES.get(cell, "") if number == coloured else "")
    line.rstrip()
    return line


def _matches_table(matches: Sequence[Match]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    headings = (
        "track",
        "title",
        "upload s ↔ track s",
        "pitch",
        "tempo",
        "score",
        "covers",
        "FP rate",
    )
    for heading in headings:
        right = heading in {"pitch", "tempo", "score", "covers", "FP rate"}
        table.add_column(heading, justify="right" if right else "left")
    for match in matches:
        table.add_row(
            Text(_printable(match.track_id)),
            Text(_printable(match.title)),
            *_match_cells(match),
            f"{match.coverage:.0%}",
            f"{match.false_positive_rate:.2g}",
        )
    return table


def _clock(seconds: float) -> str:
    """20.0 s, and 3:05 min from a minute on."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min"


def _printable(text: str) -> str:
    """Titles and messages come from outside: no escape sequence of theirs reaches the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)
