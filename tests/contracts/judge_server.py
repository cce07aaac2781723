"""schemathesis against a running server (standalone): arbitrary requests, made of the OpenAPI document;
every answer is one that is documented, and none is a 500.

Comes in: SMS_ROUTER_BIN, the document as `sms-router schema` prints it. What is sent to the inbound
listener is signed (signing), or it would not get past the door. Not here: real carriers (judge_routes).
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

from documents import Documents
from router import FEED_TOKEN, Router, Verdicts, request
from signing import SECRET

CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
SEED = "1"
# The paths of what the tests can sign.
PROVEN = r"^/inbound/\{account\}$"
WITHIN_S = 300
ACCOUNT = """
[accounts.demo]
carrier = "generic"
secrets = [{ file = "secrets/demo" }]
# Room for as many texts as the document allows.
body_max = 4194304
"""


def narrowed(document):
    """The document as one account of the `generic` carrier and one department meet it: of the forms a body
    may have, that of Standard Webhooks; the answers of others left out; a poll that does not wait long. That a
    piece's number is not above its total no schema can say."""
    document = yaml.safe_load(yaml.safe_dump(document))
    content = document["components"]["requestBodies"]["push"]["content"]
    content["application/json"]["schema"] = content["application/json"]["schema"]["anyOf"][0]
    document["components"]["requestBodies"]["push"] = {
        "required": True, "content": {"application/json": content["application/json"]}}
    del document["components"]["responses"]["taken"]["content"]
    document["components"]["parameters"]["account"]["schema"] = {"const": "demo"}
    feed = document["paths"]["/v1/departments/{name}/messages"]
    feed["parameters"][0]["schema"] = {"enum": ["highways", "parking", "nobody"]}
    for parameter in feed["get"]["parameters"]:
        if parameter["name"] == "timeout":
            parameter["schema"]["maximum"] = 20
    part = document["components"]["schemas"]["Sms"]["properties"]["part"]["properties"]
    part["total"]["minimum"] = part["number"]["maximum"] = 200
    return document


def run(verdicts, folder, what, url, paths, *options, checks=CHECKS, hooks=None):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("SCHEMATHESIS_HOOKS", None)
    if hooks:
        environment["SCHEMATHESIS_HOOKS"] = hooks
    done = subprocess.run(
        [pathlib.Path(sys.executable).with_name("st"), "--no-color", "run", folder / "openapi.yaml", "--url", url,
         "--include-path-regex", paths, "--checks", ",".join(checks), "--seed", SEED, "--generation-database", "none",
         "--request-timeout", "20", *options],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    said = done.stdout + done.stderr
    print("\n".join(f"{what}: {line.strip()}" for line in said.splitlines() if " generated, " in line))
    if done.returncode != 0:
        print(said)
    verdicts.equal(f"{what}: schemathesis finds nothing", done.returncode, 0)


def counted(router, status):
    """Webhooks of the account that were answered so."""
    text = request(router.monitoring, "GET", "/metrics")[1].decode()
    found = re.search(rf'sms_router_webhook_requests_total\{{account="demo",code="{status}"\}} (\d+)', text)
    return int(found[1]) if found else 0


def main():
    documents, verdicts = Documents(), Verdicts()
    with tempfile.TemporaryDirectory() as folder, Router(ACCOUNT, {"demo": SECRET}) as router:
        folder = pathlib.Path(folder)
        documents.save(folder)
        (folder / "openapi.yaml").write_text(yaml.safe_dump(narrowed(documents["openapi"])))
        address = "http://127.0.0.1:{}".format
        token = ("--header", f"Authorization: Bearer {FEED_TOKEN}")
        run(verdicts, folder, "inbound", address(router.inbound), PROVEN, "--max-examples", "150", hooks="signing")
        run(verdicts, folder, "inbound, secret in the path", address(router.inbound), "^/inbound/.*secret",
            "--max-examples", "30")
        verdicts.equal("texts were taken", counted(router, 200) > 50, True)
        verdicts.equal("and others refused as malformed", counted(router, 400) > 50, True)
        run(verdicts, folder, "what the document allows is taken", address(router.inbound), PROVEN,
            "--mode", "positive", "--exclude-operation-id", "pushTextInQuery", "--max-examples", "150", hooks="signing",
            checks=["positive_data_acceptance"])
        run(verdicts, folder, "api", address(router.api), "^/v1/", "--max-examples", "60", *token)
        run(verdicts, folder, "api, without a token", address(router.api), "^/v1/", "--max-examples", "20")
        run(verdicts, folder, "monitoring", address(router.monitoring), "^/(metrics|livez|startupz|readyz|version)$",
            "--max-examples", "10")
    verdicts.end()


if __name__ == "__main__":
    main()
