"""The published contracts: they are what the models say, the examples keep them, and version 1 only grows."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipeline import topics
from pipeline.events import PAYLOADS, UPLOAD_V0_TYPE, event_key, parse_event, schema_name
from pipeline.evidence import Evidence
from pipeline.schema_compat import incompatibilities
from pipeline.schemas import broken_promises, differences, generated_files, main, schemas
from soundalike.errors import EventError

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
EXAMPLES = sorted((DEPLOY / "schemas" / "examples").glob("*.json"))
EVENT_EXAMPLES = [path for path in EXAMPLES if not path.name.startswith("evidence.")]
WRITTEN_EXAMPLES = [path for path in EVENT_EXAMPLES if ".v0." not in path.name]


def schema_of(example: Path) -> dict[str, Any]:
    """The committed schema for an example: both names begin with, say, `verdict.v1.`"""
    stem = ".".join(example.name.split(".")[:2])
    loaded: dict[str, Any] = json.loads((DEPLOY / "schemas" / f"{stem}.json").read_text())
    return loaded


def loaded(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_what_is_committed_is_what_the_models_say() -> None:
    assert differences(DEPLOY) == []


def test_no_promise_of_version_1_is_broken() -> None:
    assert broken_promises(DEPLOY / "schemas" / "frozen") == []


def test_every_schema_has_a_frozen_first_edition() -> None:
    assert {path.stem for path in (DEPLOY / "schemas" / "frozen").glob("*.json")} == set(schemas())


@pytest.mark.parametrize("name", sorted(schemas()))
def test_every_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas()[name])


@pytest.mark.parametrize("name", sorted(schemas()))
def test_every_schema_has_two_examples(name: str) -> None:
    assert len([path for path in EXAMPLES if path.name.startswith(f"{name}.")]) >= 2


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(example: Path) -> None:
    jsonschema.Draft202012Validator(schema_of(example)).validate(loaded(example))


@pytest.mark.parametrize("example", EVENT_EXAMPLES, ids=lambda path: path.stem)
def test_our_readers_read_the_examples(example: Path) -> None:
    event, payload = parse_event(example.read_bytes())
    assert schema_name(event.type) == ".".join(example.name.split(".")[:2])
    assert event_key(event)
    if event.type != UPLOAD_V0_TYPE:
        assert type(payload) is PAYLOADS[event.type]


@pytest.mark.parametrize("example", WRITTEN_EXAMPLES, ids=lambda path: path.stem)
def test_what_we_write_is_valid(example: Path) -> None:
    """Read and written again, the event still keeps the schema: nulls, omitted fields and all."""
    event, payload = parse_event(example.read_bytes())
    again = event.model_copy(update={"data": payload.model_dump(mode="json")})
    jsonschema.Draft202012Validator(schema_of(example)).validate(json.loads(again.to_bytes()))


def test_the_bare_evidence_examples_are_records() -> None:
    for path in EXAMPLES:
        if path.name.startswith("evidence."):
            assert Evidence.model_validate_json(path.read_bytes()).model_dump(mode="json") == loaded(path)


def leaves(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(document, dict):
        return [path, *(leaf for key, item in document.items() for leaf in leaves(item, (*path, key)))]
    if isinstance(document, list):
        return [path, *(leaf for i, item in enumerate(document) for leaf in leaves(item, (*path, i)))]
    return [path]


def spoiled(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    document = copy.deepcopy(document)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document


@pytest.mark.parametrize("wrong", [None, True, -1, 1.5, "", "text", [], {}, [None]], ids=repr)
@pytest.mark.parametrize("example", EVENT_EXAMPLES, ids=lambda path: path.stem)
def test_the_schema_and_our_reader_agree(example: Path, wrong: Any) -> None:
    """Each value of each example, replaced: who validates before sending never ends among the dead letters.

    Beyond the schema, the reader holds the subject against the data, sums shares, decodes base64 and knows a
    calendar; those fields are left alone.
    """
    validator = jsonschema.Draft202012Validator(schema_of(example))
    document = loaded(example)
    beyond = {
        "upload_id",
        "track_id",
        "subject",
        "time",
        "valid_from",
        "valid_until",
        "share",
        "splits",
        "rightsholders",
        "headers",
        "uri",
    }
    for path in leaves(document):
        if not path or beyond & set(path) or str(path[-1]).endswith("base64"):
            continue
        if wrong is None and len(path) == 1:
            continue  # for the reader, an envelope attribute that is null is absent, as CloudEvents has it
        candidate = spoiled(document, path, wrong)
        try:
            parse_event(json.dumps(candidate).encode())
            read = True
        except EventError:
            read = False
        assert read == validator.is_valid(candidate), f"{path} = {wrong!r}"


def test_asyncapi_names_every_topic_event_and_schema() -> None:
    document = yaml.safe_load((DEPLOY / "asyncapi.yaml").read_text(encoding="utf-8"))
    assert document["asyncapi"] == "3.0.0"
    assert {channel["address"] for channel in document["channels"].values()} == set(topics.ALL)
    assert set(document["components"]["messages"]) == {
        schema_name(kind) for kind in (*PAYLOADS, UPLOAD_V0_TYPE)
    }
    for reference in references(document):
        if reference.startswith("#/"):
            target = document
            for step in reference[2:].split("/"):
                target = target[step]
        else:
            assert (DEPLOY / reference).is_file(), reference
    sent = {operation["channel"]["$ref"].rpartition("/")[2] for operation in document["operations"].values()}
    assert sent == set(document["channels"])


def references(document: Any) -> list[str]:
    if isinstance(document, dict):
        own = [document["$ref"]] if "$ref" in document else []
        return own + [found for item in document.values() for found in references(item)]
    if isinstance(document, list):
        return [found for item in document for found in references(item)]
    return []


def test_the_command_writes_and_then_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--deploy", str(tmp_path)]) == 1
    assert "upload.v1.json: missing" in capsys.readouterr().err
    assert main(["--write", "--deploy", str(tmp_path)]) == 0
    assert main(["--check", "--deploy", str(tmp_path)]) == 0
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")} == set(generated_files())


def test_the_command_names_what_is_stale_left_over_or_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--write", "--deploy", str(tmp_path)])
    (tmp_path / "asyncapi.yaml").write_text("asyncapi: 2.0.0\n")
    (tmp_path / "schemas" / "old.v1.json").write_text("{}")
    frozen = tmp_path / "schemas" / "frozen"
    frozen.mkdir()
    promised = schemas()["upload.v1"]
    promised["$defs"]["Upload"]["properties"]["mood"] = {"type": "string"}
    (frozen / "upload.v1.json").write_text(json.dumps(promised))
    (frozen / "gone.v1.json").write_text("{}")
    assert main(["--check", "--deploy", str(tmp_path)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[:4] == [
        "asyncapi.yaml: differs from the models",
        "schemas/old.v1.json: no model writes it",
        "gone.v1: the schema is gone",
        "upload.v1: data.mood: gone",
    ]


BASE: dict[str, Any] = {
    "$defs": {
        "Part": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}, "required": ["n"]}
    },
    "type": "object",
    "properties": {
        "kind": {"enum": ["a", "b"]},
        "name": {"type": "string", "maxLength": 9, "pattern": "^x"},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}, "maxItems": 3},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]},
    },
    "required": ["kind"],
}


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    return dict(spoiled(BASE, path, to))


@pytest.mark.parametrize(
    ("new", "break_"),
    [
        (changed("properties", "kind", "enum", to=["a"]), "kind: enum"),
        (changed("properties", "kind", "enum", to=["a", "b", "c"]), "kind: enum"),
        (changed("properties", "name", "maxLength", to=8), "name: maxLength"),
        (changed("properties", "name", "minLength", to=1), "name: minLength"),
        (changed("properties", "name", "pattern", to="^y"), "name: pattern"),
        (changed("properties", "name", "type", to="integer"), "name: type"),
        (changed("properties", "parts", "maxItems", to=2), "parts: maxItems"),
        (changed("$defs", "Part", "properties", "n", "minimum", to=1), "parts[].n: minimum"),
        (changed("$defs", "Part", "properties", to={}), "parts[].n: gone"),
        (changed("$defs", "Part", "required", to=[]), "parts[].n: consumers rely on it"),
        (changed("properties", "maybe", "anyOf", to=[{"type": "string"}]), "maybe: anyOf had 2 forms, has 1"),
        (changed("properties", "maybe", "anyOf", 0, "type", to="integer"), "maybe(anyOf 0): type"),
        (changed("properties", "pair", "prefixItems", 1, "type", to="string"), "pair(prefixItems 1): type"),
        (changed("required", to=["kind", "name"]), "name: newly required"),
        (changed("additionalProperties", to=False), "the event: no longer tolerates"),
    ],
)
def test_a_change_that_breaks_somebody_is_named(new: dict[str, Any], break_: str) -> None:
    found = incompatibilities(BASE, new)
    assert len(found) == 1
    assert found[0].startswith(break_)


@pytest.mark.parametrize(
    "new",
    [
        BASE,
        changed("properties", "mood", to={"type": "string"}),
        changed("$defs", "Part", "properties", "m", to={"type": "integer"}),
        changed("properties", "name", "maxLength", to=10),
        changed("$defs", "Part", "properties", "n", "minimum", to=-1),
        changed("properties", "name", "description", to="in other words"),
        changed("$defs", "Other", to={"type": "object"}),
    ],
)
def test_an_extension_is_welcome(new: dict[str, Any]) -> None:
    assert incompatibilities(BASE, new) == []


def test_a_schema_that_contains_itself_is_compared_once() -> None:
    tree = {
        "$ref": "#/$defs/T",
        "$defs": {"T": {"properties": {"child": {"$ref": "#/$defs/T"}, "n": {"type": "null"}}}},
    }
    assert incompatibilities(tree, tree) == []
    narrower = copy.deepcopy(tree)
    narrower["$defs"]["T"]["properties"]["n"]["type"] = "string"  # type: ignore[index]
    assert len(incompatibilities(tree, narrower)) == 1
