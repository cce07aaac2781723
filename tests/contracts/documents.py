"""The contracts as `sms-router schema NAME` prints them, saved side by side as their headers say.

Comes in: SMS_ROUTER_BIN. Goes out: validators, as published or closed: a published schema lets later
releases add fields and words; closed, it refuses them, so that nothing undocumented passes here.
Not here: what is validated.
"""

import copy
import json
import subprocess
import sys
import urllib.parse

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from router import BINARY

BASE = "file:///contracts/"
SCHEMAS = ["record", "consent", "dead-letter", "replayed", "part", "joined"]
FILES = {name: f"{name}.schema.json" for name in SCHEMAS} | {name: f"{name}.yaml" for name in ("openapi", "asyncapi")}


def printed(name):
    run = subprocess.run([BINARY, "schema", name], capture_output=True, timeout=30, check=False)
    if run.returncode != 0:
        sys.exit(f"{BINARY} schema {name}: exit status {run.returncode}: {run.stderr.decode(errors='replace')}")
    return run.stdout


def read(file, content):
    return json.loads(content) if file.endswith(".json") else yaml.safe_load(content)


class Documents:
    def __init__(self):
        self.printed = {file: printed(name) for name, file in FILES.items()}
        self.open = {file: read(file, content) for file, content in self.printed.items()}
        self.closed = {file: closed(file, document) for file, document in self.open.items()}
        self.registries = {state: registry(documents) for state, documents in
                           ((False, self.open), (True, self.closed))}

    def __getitem__(self, name):
        return self.open[FILES[name]]

    def save(self, folder):
        for file, content in self.printed.items():
            (folder / file).write_bytes(content)

    def validator(self, name, *place, is_closed=False):
        """Of a whole file, or of a place in it."""
        pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in place)
        return Draft202012Validator(
            {"$ref": f"{BASE}{FILES[name]}#{urllib.parse.quote(pointer)}"},
            registry=self.registries[is_closed], format_checker=Draft202012Validator.FORMAT_CHECKER)

    def wrong(self, instance, name, *place, is_closed=False):
        """What is wrong with it, without its content: places and rules."""
        errors = self.validator(name, *place, is_closed=is_closed).iter_errors(instance)
        return sorted(f"{error.json_path}: {error.validator}" for error in errors)


def registry(documents):
    resources = ((BASE + file, Resource(document, DRAFT202012)) for file, document in documents.items())
    return Registry().with_resources(resources)


def closed(file, document):
    document = copy.deepcopy(document)
    if file.endswith(".json"):
        close(document)
    elif "asyncapi" in document:
        for message in document["components"]["messages"].values():
            message["headers"]["unevaluatedProperties"] = False
    else:
        close(document["components"]["schemas"]["Event"])
    return document


def close(schema, is_whole=True):
    """Refuses, in place, other properties and words than those written down. An alternative is no whole:
    what it lacks stands beside it."""
    if is_whole and "properties" in schema:
        schema["unevaluatedProperties"] = False
    for child in (*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()):
        close(child)
    if isinstance(schema.get("items"), dict):
        close(schema["items"])
    for word in ("oneOf", "anyOf", "allOf"):
        if any("const" in child for child in schema.get(word, [])):
            schema[word] = [child for child in schema[word] if "const" in child]
        for child in schema.get(word, []):
            close(child, is_whole=False)


def places(schema, root=None, place=""):
    """All that a schema says may be there: properties, and the words of lists."""
    root = root or schema
    if "$ref" in schema and schema["$ref"].startswith("#/$defs/"):
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    for name, child in schema.get("properties", {}).items():
        yield f"{place}.{name}"
        yield from places(child, root, f"{place}.{name}")
    if "items" in schema:
        yield from places(schema["items"], root, f"{place}[]")
    for word in schema.get("enum", []):
        yield f"{place}={word}"
    for child in (*schema.get("oneOf", []), *schema.get("anyOf", [])):
        if "const" in child:
            yield f"{place}={child['const']}"
        yield from places(child, root, place)


def seen(value, place=""):
    """The same of a value."""
    if isinstance(value, dict):
        for name, child in value.items():
            yield f"{place}.{name}"
            yield from seen(child, f"{place}.{name}")
    elif isinstance(value, list):
        for child in value:
            yield from seen(child, f"{place}[]")
    elif isinstance(value, str):
        yield f"{place}={value}"
