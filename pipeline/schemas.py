"""The published contracts, written from the models: JSON Schema 2020-12 and one AsyncAPI document.

    python -m pipeline.schemas --write    # after a change of a model; commit what it writes
    python -m pipeline.schemas --check    # exit 1 and name what differs, or what breaks compatibility

Nothing under deploy/schemas/*.json or deploy/asyncapi.yaml is edited by hand. `--check` also holds today's
schemas against the frozen ones of version 1: they may only be extended (`pipeline.schema_compat`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from pipeline.asyncapi import asyncapi_yaml
from pipeline.events import PAYLOADS, UPLOAD_V0_TYPE, CloudEvent, schema_name
from pipeline.evidence import Evidence
from pipeline.schema_compat import incompatibilities
from pipeline.upload_v0 import UploadV0

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
URN = "urn:soundalike:schema:"


class _Untitled(GenerateJsonSchema):
    """Without the titles that pydantic derives from names: they say the name twice."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schemas() -> dict[str, dict[str, Any]]:
    """File stem (`verdict.v1`) → schema of the whole event; `evidence.v1` is the bare record."""
    events: dict[str, type[BaseModel]] = {**PAYLOADS, UPLOAD_V0_TYPE: UploadV0}
    result = {schema_name(kind): _event_schema(kind, payload) for kind, payload in events.items()}
    result["evidence.v1"] = _headed("evidence.v1", _model_schema(Evidence))
    return dict(sorted(result.items()))


def generated_files() -> dict[str, str]:
    """Path below deploy/ → the text that belongs there."""
    files = {
        f"schemas/{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas().items()
    }
    files["asyncapi.yaml"] = asyncapi_yaml()
    return files


def differences(deploy: Path) -> list[str]:
    """One line for each generated file that is missing, stale, or left over from a model that is gone."""
    expected = generated_files()
    lines = []
    for name, text in expected.items():
        path = deploy / name
        if not path.is_file():
            lines.append(f"{name}: missing")
        elif path.read_text(encoding="utf-8") != text:
            lines.append(f"{name}: differs from the models")
    present = {f"schemas/{path.name}" for path in (deploy / "schemas").glob("*.json")}
    lines += [f"{name}: no model writes it" for name in sorted(present - expected.keys())]
    return lines


def broken_promises(frozen: Path) -> list[str]:
    """One line for each way in which today's schemas refuse or drop what the frozen ones promised."""
    today = schemas()
    lines = []
    for path in sorted(frozen.glob("*.json")):
        if path.stem not in today:
            lines.append(f"{path.stem}: the schema is gone")
            continue
        old = json.loads(path.read_text(encoding="utf-8"))
        lines += [f"{path.stem}: {line}" for line in incompatibilities(old, today[path.stem])]
    return lines


def _event_schema(event_type: str, payload: type[BaseModel]) -> dict[str, Any]:
    envelope, data = _model_schema(CloudEvent), _model_schema(payload)
    definitions = data.pop("$defs", {})
    definitions[payload.__name__] = data
    properties = envelope["properties"]
    properties["type"] = {"const": event_type}
    properties["data"] = {"$ref": f"#/$defs/{payload.__name__}"}
    # The reader takes an absent specversion for a mistake, although the model has a default for writers.
    envelope["required"] = ["specversion", *envelope["required"]]
    return _headed(schema_name(event_type), envelope) | {"$defs": dict(sorted(definitions.items()))}


def _headed(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "$schema": DIALECT,
        "$id": URN + name,
        "title": name,
        **{k: v for k, v in schema.items() if k != "title"},
    }


def _model_schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(mode="validation", schema_generator=_Untitled)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: done, or nothing to complain about; 1: `--check` found something, one line each."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.schemas", description=(__doc__ or "").split("\n")[0]
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--write", action="store_true", help="write deploy/schemas/*.json and deploy/asyncapi.yaml"
    )
    what.add_argument("--check", action="store_true", help="compare them with the models, change nothing")
    parser.add_argument("--deploy", type=Path, default=DEPLOY, metavar="DIR", help="default: %(default)s")
    options = parser.parse_args(arguments)
    if options.write:
        for name, text in generated_files().items():
            path = options.deploy / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return 0
    complaints = differences(options.deploy) + broken_promises(options.deploy / "schemas" / "frozen")
    for line in complaints:
        sys.stderr.write(f"{line}\n")
    if complaints:
        sys.stderr.write(
            "python -m pipeline.schemas --write makes them agree; a broken promise needs a new version\n"
        )
    return 1 if complaints else 0


if __name__ == "__main__":
    raise SystemExit(main())
