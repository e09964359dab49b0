"""May a schema follow another one under the same version? Only if it extends it.

A reader of today must accept every document of the frozen schema, and a consumer that was built on the frozen
schema must find every field where it was, with values it knows. So a property may be added if it is optional;
nothing may be removed, renamed, newly required, retyped, narrowed or (for enumerated values, which consumers
switch on) widened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

Schema = Mapping[str, Any]

_EXACT = ("const", "enum", "pattern", "format", "type")
"""Keywords where any change is a break: to one side or the other."""

_LOWER_BOUNDS = ("minLength", "minimum", "exclusiveMinimum", "minItems")
_UPPER_BOUNDS = ("maxLength", "maximum", "exclusiveMaximum", "maxItems")


def incompatibilities(old: Schema, new: Schema) -> list[str]:
    """One line for each break, with its place; empty when `new` only extends `old`.

    Understands the part of JSON Schema 2020-12 that pydantic writes for our models: objects, arrays, tuples,
    `$ref` into `$defs`, `anyOf`, bounds, patterns, enumerations.
    """
    return list(_compare(old, new, _Walk(old_root=old, new_root=new)))


@dataclass(frozen=True)
class _Walk:
    """Where the comparison stands: both documents, the place in them, and the definitions it is inside of."""

    old_root: Schema
    new_root: Schema
    place: str = ""
    open_refs: frozenset[str] = frozenset()

    def at(self, step: str) -> _Walk:
        return replace(self, place=f"{self.place}{step}".lstrip("."))


def _compare(old: Schema, new: Schema, walk: _Walk) -> Iterator[str]:
    if "$ref" in old:
        if old["$ref"] in walk.open_refs:  # a model that contains itself is compared once
            return
        walk = replace(walk, open_refs=walk.open_refs | {old["$ref"]})
    old, new = _resolve(old, walk.old_root), _resolve(new, walk.new_root)
    yield from (f"{walk.place or 'the event'}: {line}" for line in _keyword_breaks(old, new))
    yield from _required_breaks(old, new, walk)
    for name, before in old.get("properties", {}).items():
        after = new.get("properties", {}).get(name)
        if after is None:
            yield f"{walk.at(f'.{name}').place}: gone"
        else:
            yield from _compare(before, after, walk.at(f".{name}"))
    if isinstance(old.get("items"), Mapping):
        yield from _compare(old["items"], new.get("items", {}), walk.at("[]"))
    for keyword in ("anyOf", "prefixItems"):
        forms = (old.get(keyword, []), new.get(keyword, []))
        if len(forms[0]) != len(forms[1]):
            yield f"{walk.place or 'the event'}: {keyword} had {len(forms[0])} forms, has {len(forms[1])}"
        else:
            for i, (before, after) in enumerate(zip(*forms, strict=True)):
                yield from _compare(before, after, walk.at(f"({keyword} {i})"))


def _keyword_breaks(old: Schema, new: Schema) -> Iterator[str]:
    for keyword in _EXACT:
        if old.get(keyword) != new.get(keyword):
            yield f"{keyword} was {old.get(keyword)!r}, is {new.get(keyword)!r}"
    for keyword in (*_LOWER_BOUNDS, *_UPPER_BOUNDS):
        if keyword in new and (keyword not in old or _narrower(keyword, old[keyword], new[keyword])):
            yield f"{keyword} was {old.get(keyword)!r}, is {new[keyword]!r}: narrower"
    if old.get("additionalProperties", True) is not False and new.get("additionalProperties", True) is False:
        yield "no longer tolerates unknown fields"


def _narrower(keyword: str, old: float, new: float) -> bool:
    return new > old if keyword in _LOWER_BOUNDS else new < old


def _required_breaks(old: Schema, new: Schema, walk: _Walk) -> Iterator[str]:
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(after - before):
        yield f"{walk.at(f'.{name}').place}: newly required"
    for name in sorted(before - after):
        yield f"{walk.at(f'.{name}').place}: consumers rely on it, no longer required"


def _resolve(schema: Schema, root: Schema) -> Schema:
    """Follow `$ref`; what stands beside it (a default, a description) joins in, as 2020-12 has it."""
    while "$ref" in schema:
        target: Any = root
        for step in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[step]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema
