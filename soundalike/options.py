"""The command-line options that several commands share. Each has the name of its setting."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

WHERE = "Where the events are"
JUDGING = "How uploads are judged"
UPLOAD = "What the uploader says"


def _env(name: str, default: str = "") -> str:
    """Shown by hand: reading the environment is the settings' business, so that a fault has one voice."""
    return f"  [env: SOUNDALIKE_{name}{f'; default: {default}' if default else ''}]"


Brokers = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Kafka bootstrap servers, separated by commas." + _env("BROKERS"),
        rich_help_panel=WHERE,
    ),
]
Source = Annotated[
    str | None,
    typer.Option(
        metavar="kafka|local",
        help="Kafka, or files in a folder." + _env("SOURCE", "whichever of the two is given"),
        rich_help_panel=WHERE,
    ),
]
Spool = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder with one JSON Lines file per topic, instead of Kafka." + _env("SPOOL"),
        rich_help_panel=WHERE,
    ),
]
TopicPrefix = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Put before the name of every topic." + _env("TOPIC_PREFIX", "nothing"),
        rich_help_panel=WHERE,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder that holds the catalog." + _env("DATA", "in the user's data directory"),
        rich_help_panel=JUDGING,
    ),
]
CatalogUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Database of the catalog." + _env("CATALOG_URL", "SQLite in the data folder"),
        rich_help_panel=JUDGING,
    ),
]
Embedder = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|HUB_ID",
        help="Another recognition model." + _env("EMBEDDER", "the shipped one"),
        rich_help_panel=JUDGING,
    ),
]
MaxFalsePositiveRate = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="A match above it does not count." + _env("MAX_FALSE_POSITIVE_RATE", "the policy's"),
        rich_help_panel=JUDGING,
    ),
]
MinMatchedS = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="A track has to be matched for so long to count." + _env("MIN_MATCHED_S", "the policy's"),
        rich_help_panel=JUDGING,
    ),
]
MinAiProbability = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Low end of the detector's interval to act from; under 0.89 its score alone may accuse."
        + _env("MIN_AI_PROBABILITY", "the policy's"),
        rich_help_panel=JUDGING,
    ),
]
FlagAi = Annotated[
    str | None,
    typer.Option(
        metavar="never|undisclosed|always",
        help="Which machine-made uploads that reuse nothing are flagged." + _env("FLAG_AI", "never"),
        rich_help_panel=JUDGING,
    ),
]

Uploader = Annotated[
    str | None,
    typer.Option(
        metavar="ACCOUNT", help="Account that uploads.  [default: your login name]", rich_help_panel=UPLOAD
    ),
]
CheckedFor = Annotated[
    str | None,
    typer.Option(
        "--uploader",
        metavar="ACCOUNT",
        help="Judge as if this account had uploaded it.  [default: nobody's]",
        rich_help_panel=UPLOAD,
    ),
]
Licences = Annotated[
    list[str] | None,
    typer.Option(
        "--licence",
        metavar="REF",
        help="Reference of a licence that the uploader relies on; may be repeated.",
        rich_help_panel=UPLOAD,
    ),
]
Distributor = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Who delivers it, if not the account itself.", rich_help_panel=UPLOAD),
]
AiTool = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The machine that made it, if any.", rich_help_panel=UPLOAD),
]
Territory = Annotated[
    str | None,
    typer.Option(
        metavar="XX",
        help="Where it is to be published, ISO 3166-1.  [default: worldwide]",
        rich_help_panel=UPLOAD,
    ),
]
AiVocals = Annotated[
    bool | None,
    typer.Option("--ai-vocals/--no-ai-vocals", help="Disclosed: a machine sang.", rich_help_panel=UPLOAD),
]
AiInstruments = Annotated[
    bool | None,
    typer.Option(
        "--ai-instruments/--no-ai-instruments", help="Disclosed: a machine played.", rich_help_panel=UPLOAD
    ),
]
AiPostProduction = Annotated[
    bool | None,
    typer.Option(
        "--ai-post-production/--no-ai-post-production",
        help="Disclosed: a machine mixed or mastered.",
        rich_help_panel=UPLOAD,
    ),
]
