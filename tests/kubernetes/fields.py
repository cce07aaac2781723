"""Other projects' objects, field by field against documented_fields.yaml.

Comes in: objects. Goes out: problems, each with the field's path. Not here: whether the values make sense together.
"""

import pathlib
import re

import yaml

DOCUMENTED = yaml.safe_load((pathlib.Path(__file__).parent / "documented_fields.yaml").read_text())
QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|[KMGTP]i?)?")
DURATION = re.compile(r"(\d+(ms|[smhdwy]))+")
TYPES = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "scalar": lambda value: isinstance(value, (str, int, float, bool)),
    "quantity": lambda value: not isinstance(value, bool) and bool(QUANTITY.fullmatch(str(value))),
    "duration": lambda value: isinstance(value, str) and bool(DURATION.fullmatch(value)),
}


def is_documented(found):
    return any(found["kind"] in entry["kinds"] for entry in DOCUMENTED)


def problems(found):
    """What of the object no example has."""
    name = f"{found['kind']} {found['metadata'].get('name')}"
    entries = [entry for entry in DOCUMENTED if found["kind"] in entry["kinds"]]
    if not entries:
        yield f"{name}: documented_fields.yaml knows no such kind"
        return
    entry = entries[0]
    if found["apiVersion"] not in entry["kinds"][found["kind"]]:
        yield f"{name}: apiVersion {found['apiVersion']}"
    if odd := set(found) - {"apiVersion", "kind", "metadata", "spec"}:
        yield f"{name}: {odd}"
    if odd := set(found["metadata"]) - {"name", "namespace", "labels", "annotations"}:
        yield f"{name}: metadata.{odd}"
    lacking = set(entry.get("labels", [])) - set(found["metadata"].get("labels", {}))
    yield from (f"{name}: no label {label}" for label in lacking)
    yield from compare(found["spec"], entry["spec"], f"{name}: spec")


def compare(value, known, path):
    if isinstance(known, dict):
        yield from table(value, known, path)
    elif isinstance(known, list):
        if not isinstance(value, list):
            yield f"{path} is no list"
            return
        for index, item in enumerate(value):
            yield from compare(item, known[0], f"{path}[{index}]")
    elif known in TYPES:
        if not TYPES[known](value):
            yield f"{path} is {value!r}, no {known}"
    elif value not in known.split("|"):
        yield f"{path} is {value!r}, none of {known}"


def table(value, known, path):
    if not isinstance(value, dict):
        yield f"{path} is no table"
        return
    fields = {name.removesuffix("!"): kind for name, kind in known.items()}
    for name, item in value.items():
        kind = fields.get(name, fields.get("*"))
        if kind is None:
            yield f"{path}.{name} is in no example"
        else:
            yield from compare(item, kind, f"{path}.{name}")
    yield from (f"{path}.{name[:-1]} is missing" for name in known if name.endswith("!") and name[:-1] not in value)
