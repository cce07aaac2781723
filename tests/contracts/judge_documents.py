"""The documents by themselves: OpenAPI by openapi-spec-validator, AsyncAPI by its project's own schema,
JSON Schema by its metaschema; their examples fit; what is altered does not.

Comes in: ASYNCAPI_SCHEMA, the file 3.0.0.json of npm's @asyncapi/specs. Not here: real records and requests.
"""

import copy
import json
import os
import pathlib
import tempfile

from jsonschema import Draft7Validator, Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from documents import BASE, FILES, SCHEMAS, Documents
from router import Verdicts

# What is done to a text's record, and what the published schema says of it.
ALTERED = [
    ("nothing", lambda record: record, True),
    ("a field of a later release", lambda record: record | {"tariff": "free"}, True),
    ("a flag of a later release", lambda record: record | {"flags": ["urgent"]}, True),
    ("a rule of a later release", lambda record: record | {"rule": {"kind": "phrase", "phrase": ["black", "ice"]}}, True),
    ("a wish of a later release", lambda record: record | {"consent": "pause"}, True),
    ("no id", lambda record: without(record, "id"), False),
    ("no time", lambda record: without(record, "received_at"), False),
    ("null", lambda record: record | {"keyword": None}, False),
    ("an id in capitals", lambda record: record | {"id": record["id"].upper()}, False),
    ("a time without milliseconds", lambda record: record | {"received_at": "2026-11-22T00:22:05Z"}, False),
    ("a time with an offset", lambda record: record | {"received_at": "2026-11-22T00:22:05.601+00:00"}, False),
    ("a day that is none", lambda record: record | {"received_at": "2026-02-30T00:22:05.601Z"}, False),
    ("another major version", lambda record: record | {"schema_version": 2}, False),
    ("a version in quotes", lambda record: record | {"schema_version": "1"}, False),
    ("a text that is no string", lambda record: record | {"text": 7}, False),
    ("raw that is no base64", lambda record: record | {"raw": "###"}, False),
    ("a rule of no kind", lambda record: record | {"rule": {}}, False),
    ("a kind that is no word", lambda record: record | {"rule": {"kind": 7}}, False),
    ("a wish that is no word", lambda record: record | {"consent": True}, False),
    ("pieces without a total", lambda record: record | {"parts": {"received": 1}}, False),
    ("media without a link", lambda record: record | {"media": [{"content_type": "image/png"}]}, False),
    ("an empty list", lambda record: record | {"flags": []}, False),
    ("a flag twice", lambda record: record | {"flags": ["part", "part"]}, False),
    ("a department that is no name", lambda record: record | {"department": "High Ways"}, False),
    ("two departments", lambda record: record | {"departments": ["highways", "parking"]}, True),
    ("one department in a list", lambda record: record | {"departments": ["highways"]}, False),
    ("a department twice", lambda record: record | {"departments": ["highways", "highways"]}, False),
    ("a copy of what has no id", lambda record: record | {"copy_of": "m-1"}, False),
]
# The closed form, which the judges of real records use, refuses these too.
ADDED = tuple(what for what, _, _ in ALTERED if what.endswith("of a later release"))


def without(record, field):
    return {name: value for name, value in record.items() if name != field}


def references(node):
    if isinstance(node, dict):
        yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def judge_form(verdicts, documents):
    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    for name in SCHEMAS:
        verdicts.equal(f"{name}: by the metaschema", wrong(meta, documents[name]), [])
        outside = [reference for reference in references(documents[name]) if not reference.startswith("#/$defs/")]
        verdicts.equal(f"{name}: stands alone", outside, [])
    official = Draft7Validator(json.loads(pathlib.Path(os.environ["ASYNCAPI_SCHEMA"]).read_text()))
    verdicts.equal("asyncapi: by AsyncAPI's own schema", wrong(official, documents["asyncapi"]), [])
    broken = copy.deepcopy(documents["asyncapi"])
    broken["channels"]["department"]["bindings"]["kafka"]["partitions"] = 0
    verdicts.equal("asyncapi: a binding that is wrong is noticed", wrong(official, broken) != [], True)
    with tempfile.TemporaryDirectory() as folder:
        documents.save(pathlib.Path(folder))
        spec = OpenAPIV31SpecValidator(documents["openapi"], base_uri=f"file://{folder}/openapi.yaml")
        verdicts.equal("openapi: by its validator", [error.message for error in spec.iter_errors()], [])


def wrong(validator, document):
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)]


def judge_references(verdicts, documents):
    for name, file in FILES.items():
        for reference in sorted(set(references(documents[name]))):
            with_file = reference if not reference.startswith("#") else file + reference
            resolver = documents.registries[False].resolver(BASE)
            verdicts.equal(f"{name}: {reference} is there", resolver.lookup(with_file).contents is not None, True)
    common = {}
    for name in SCHEMAS:
        for word, schema in documents[name].get("$defs", {}).items():
            if word != "flags":
                common.setdefault(word, {})[json.dumps(schema)] = name
    differ = [word for word, forms in common.items() if len(forms) > 1]
    verdicts.equal("what schemas share is the same in each", differ, [])


def judge_examples(verdicts, documents):
    for key, message in documents["asyncapi"]["components"]["messages"].items():
        at = ("asyncapi", "components", "messages", key)
        verdicts.equal(f"asyncapi: {key} has examples", bool(message["examples"]), True)
        for example in message["examples"]:
            what = f"asyncapi: example {key} {example['name']}"
            verdicts.equal(what, documents.wrong(example["payload"], *at, "payload", is_closed=True), [])
            if "headers" in example:
                found = documents.wrong(example["headers"], *at, "headers", is_closed=True)
                verdicts.equal(f"{what}, its headers", found, [])
    push = documents["openapi"]["components"]["requestBodies"]["push"]["content"]["application/json"]
    for name, example in push["examples"].items():
        found = documents.wrong(example["value"], "openapi", "components", "schemas", "StandardWebhook")
        verdicts.equal(f"openapi: example {name}", found, [])


def judge_alterations(verdicts, documents):
    record = documents["asyncapi"]["components"]["messages"]["text"]["examples"][0]["payload"]
    for what, alter, fits in ALTERED:
        altered = alter(copy.deepcopy(record))
        verdicts.equal(f"a record with {what}", not documents.wrong(altered, "record"), fits)
        fits_closed = fits and what not in ADDED
        verdicts.equal(f"{what}, closed", not documents.wrong(altered, "record", is_closed=True), fits_closed)


def main():
    documents, verdicts = Documents(), Verdicts()
    judge_form(verdicts, documents)
    judge_references(verdicts, documents)
    judge_examples(verdicts, documents)
    judge_alterations(verdicts, documents)
    verdicts.end()


if __name__ == "__main__":
    main()
