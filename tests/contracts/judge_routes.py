"""Requests of real carriers fit the OpenAPI document, and so does every answer of a running server
(standalone): status, content type, headers, body; and every status that is documented was given.

Comes in: SMS_ROUTER_BIN, tests/carriers/vectors.json. Not here: whether a text arrives, arbitrary
requests (judge_server).
"""

import http.client
import json
import socket
import sys
import threading
import urllib.parse

from documents import Documents
from router import FEED_TOKEN, ROOT, Router, Verdicts, request
from signing import SECRET, event, headers

FEED = "/v1/departments/{name}/messages"
REROUTE = "/v1/messages/{id}/reroute"
PUSH, PATH_SECRET = "/inbound/{account}", "/inbound/{account}/{secret}"
TOKEN = {"Authorization": f"Bearer {FEED_TOKEN}"}
ELSEWHERE = "token-of-another-department-0123456789"
FORM = {"content-type": "application/x-www-form-urlencoded"}
# Statuses that are documented and not asked for here: why.
NOT_GIVEN = {
    "POST /inbound/{account} 405": "every carrier of this build takes POST; PUT is asked for, as of GET",
    "POST /inbound/{account}/{secret} 405": "the same",
    "GET /startupz 503": "the listener opens a moment before it has started",
    "GET /readyz 503": "as above; tests/it/kafka/drain.rs sees it at the end",
    "POST /v1/messages/{id}/reroute 422": "a text that was taken once is seldom too large with one field more",
    "POST /v1/messages/{id}/reroute 503": "the log would have to be away; tests/it/archive/reroute.rs sees it",
    "GET /v1/departments/{name}/messages 404": "the cluster profile's: judge_topics asks for it",
}

SETTINGS = """
[accounts.demo]
carrier = "generic"
secrets = [{ file = "secrets/demo" }]
[accounts.twilio]
carrier = "twilio"
unauthenticated = true
auth = "none"
[accounts.kannel]
carrier = "kannel"
secrets = [{ file = "secrets/path" }]
[accounts.slow]
carrier = "kannel"
unauthenticated = true
auth = "none"
rate_max = 1
[accounts.slow-path]
carrier = "kannel"
secrets = [{ file = "secrets/path" }]
rate_max = 1
[accounts.declared]
carrier = "form"
fields = { from = "from", to = "to", text = "text" }
reply = { status = 200, body = "OK", content_type = "text/plain" }
secrets = [{ file = "secrets/path" }]
[departments.elsewhere]
tokens = [{ file = "secrets/elsewhere" }]
"""


class Answers:
    """Asks the server, and holds what it says against the document."""

    def __init__(self, documents, verdicts, router):
        self.documents, self.verdicts, self.given = documents, verdicts, set()
        self.paths = documents["openapi"]["paths"]
        self.ports = {"inbound": router.inbound, "api": router.api, "monitoring": router.monitoring}

    def ask(self, expected, method, route, target, body=b"", sent=None):
        """`route` is the document's name of the path. The body comes back."""
        path = self.paths[route]
        listener = path.get("post", path.get("get"))["tags"][0]
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[listener], timeout=30)
        try:
            connection.request(method, target, body=body or None, headers=sent or {})
            answer = connection.getresponse()
            return self.judge(expected, method, route, answer, answer.read())
        finally:
            connection.close()

    def judge(self, expected, method, route, answer, body):
        what = f"{method} {route} {expected}"
        self.verdicts.equal(what, answer.status, expected)
        # The answer to a method that is not offered is written down with those that are.
        offered = self.paths[route]
        described = next(name for name in (method.lower(), "get", "post") if name in offered)
        place = ["openapi", "paths", route, described, "responses", str(expected)]
        response = offered[described]["responses"].get(str(expected))
        self.verdicts.equal(f"{what} is documented", response is not None, True)
        if response is None or answer.status != expected:
            return body
        self.given.add(f"{described.upper()} {route} {expected}")
        if "$ref" in response:
            place = ["openapi", *response["$ref"].removeprefix("#/").split("/")]
            response = self.documents["openapi"]["components"]["responses"][place[-1]]
        self.judge_headers(what, place, response, answer)
        self.judge_body(what, place, response, answer, body)
        return body

    def judge_headers(self, what, place, response, answer):
        for name, header in response.get("headers", {}).items():
            value = answer.getheader(name)
            self.verdicts.equal(f"{what}: {name}", value is not None or not header.get("required"), True)
            if value is not None:
                value = int(value) if header["schema"].get("type") == "integer" else value
                found = self.documents.wrong(value, *place, "headers", name, "schema")
                self.verdicts.equal(f"{what}: {name} fits", found, [])

    def judge_body(self, what, place, response, answer, body):
        if not body:
            return
        media_type = (answer.getheader("content-type") or "none").split(";")[0]
        content = response.get("content", {})
        self.verdicts.equal(f"{what}: {media_type} is documented", media_type in content, True)
        if media_type in content:
            instance = json.loads(body) if media_type.endswith("json") else body.decode()
            found = self.documents.wrong(instance, *place, "content", media_type, "schema", is_closed=True)
            self.verdicts.equal(f"{what}: the body fits", found, [])

    def not_given(self):
        documented = {
            f"{method.upper()} {route} {status}"
            for route, path in self.paths.items() for method in ("get", "post") if method in path
            for status in path[method]["responses"]}
        return sorted(documented - self.given)


def judge_carriers(verdicts, documents):
    """Requests as carriers' documents and libraries have them: each is one that the document describes."""
    cases = json.loads((ROOT / "tests/carriers/vectors.json").read_text())
    content = documents["openapi"]["components"]["requestBodies"]["push"]["content"]
    for case in cases:
        what = f"request {case['id']}"
        verdicts.equal(f"{what}: method", case["method"].lower() in documents["openapi"]["paths"][PUSH], True)
        sent = {name.lower(): value for name, value in (case.get("headers") or {}).items()}
        media_type = sent.get("content-type", "").split(";")[0]
        body = bytes.fromhex(case["body_hex"]) if case.get("body_hex") else (case["body"] or "").encode()
        if not media_type:
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(case["url"]).query, keep_blank_values=True))
            found = documents.wrong(query, "openapi", "components", "parameters", "fields", "schema")
            verdicts.equal(f"{what}: its query", found, [])
            continue
        verdicts.equal(f"{what}: {media_type} is documented", media_type in content, True)
        instance = as_instance(media_type, body)
        if media_type in content and instance is not None:
            at = ("openapi", "components", "requestBodies", "push", "content", media_type, "schema")
            verdicts.equal(f"{what}: its body", documents.wrong(instance, *at), [])


def as_instance(media_type, body):
    """None for what a case has broken on purpose."""
    text = body.decode(errors="replace")
    if media_type == "application/json":
        try:
            return json.loads(text)
        except ValueError:
            return None
    if media_type == "application/x-www-form-urlencoded":
        return dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
    return text


def ask_inbound(answers, router):
    def push(expected, target, body, sent, route=PUSH, method="POST"):
        answers.ask(expected, method, route, f"/inbound/{target}", body, sent)

    body = event({"id": "m-1", "from": "+447700900123", "to": "86555", "text": "Snow on Main St"})
    proof = headers(body)
    push(200, "demo", body, {**proof, "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    push(200, "twilio", b"MessageSid=SM1&From=%2B447700900123&To=86555&Body=snow", FORM)
    push(400, "demo", "{", headers("{"))
    push(403, "demo", body, {**proof, "webhook-signature": "v1,AAAA"})
    push(404, "nobody", body, proof)
    push(405, "demo", b"", {}, method="GET")
    push(405, "demo", body, proof, method="PUT")
    push(200, "kannel/path-secret", b"snow", {"x-kannel-from": "07700900123", "x-kannel-to": "86555"}, PATH_SECRET)
    push(200, "declared/path-secret", b"from=447700900123&to=86555&text=snow", FORM, PATH_SECRET)
    query = "sender=07700900123&to=86555&message=snow"
    push(200, f"kannel/path-secret?{query}", b"", {}, PATH_SECRET, "GET")
    push(200, f"slow?{query}", b"", {}, PUSH, "GET")
    for method in ("GET", "POST"):
        fields = b"snow" if method == "POST" else b""
        push(400, "kannel/path-secret", fields, {}, PATH_SECRET, method)
        push(403, "kannel/another", fields, {}, PATH_SECRET, method)
        push(404, "nobody/at-all", fields, {}, PATH_SECRET, method)
        push(405, "declared/path-secret", b"", {}, PATH_SECRET, "PUT")
        for target, route in (("slow", PUSH), ("slow-path/path-secret", PATH_SECRET)):
            until_refused(answers, method, route, f"/inbound/{target}?{query}")
        announce(answers, router.inbound, 413, 70_000, method, PATH_SECRET, "/inbound/kannel/path-secret")
        announce(answers, router.inbound, 408, 9, method, PATH_SECRET, "/inbound/kannel/path-secret")
    push(400, "slow", b"", {}, PUSH, "GET")
    push(403, f"kannel?{query}", b"", {}, PUSH, "GET")
    push(404, f"nobody?{query}", b"", {}, PUSH, "GET")
    for method in ("GET", "POST"):
        announce(answers, router.inbound, 413, 70_000, method, PUSH, "/inbound/slow")
        announce(answers, router.inbound, 408, 9, method, PUSH, "/inbound/slow")


def until_refused(answers, method, route, target):
    """More than an account's rate is our own trouble."""
    for _ in range(20):
        connection = http.client.HTTPConnection("127.0.0.1", answers.ports["inbound"], timeout=30)
        connection.request(method, target, body=b"snow" if method == "POST" else None)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status == 503:
            answers.judge(503, method, route, answer, body)
            return
    sys.exit(f"{method} {route}: never 503")


def announce(answers, port, expected, length, method, route, target, sent=None):
    """A body of that length, of which one byte comes."""
    head = "".join(f"{name}: {value}\r\n" for name, value in (sent or {}).items())
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"{method} {target} HTTP/1.1\r\nhost: x\r\n{head}content-length: {length}\r\n\r\nx".encode())
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        answers.judge(expected, method, route, answer, answer.read())


def ask_api(answers, router):
    def read(expected, query="", name="highways", sent=TOKEN, method="GET"):
        return answers.ask(expected, method, FEED, f"/v1/departments/{name}/messages{query}", b"", sent)

    events = json.loads(read(200, "?limit=1000"))
    answers.verdicts.equal("texts are in the feed", len(events) >= 3, True)
    traces = [event["traceparent"].split("-")[1] for event in events]
    own = [event["id"].replace("-", "") for event in events]
    answers.verdicts.equal("one has its carrier's trace", "0af7651916cd43dd8448eb211c80319c" in traces, True)
    answers.verdicts.equal("the others begin their own", sum(a != b for a, b in zip(traces, own, strict=True)), 1)
    for entry in events:
        kind = entry["dataschema"].rpartition("/")[2].removesuffix(".json")
        answers.verdicts.equal("type and schema go together", entry["type"], f"sms-router.{kind}")
        record = (entry["data"]["id"], entry["data"]["received_at"])
        answers.verdicts.equal("event and record go together", (entry["id"], entry["time"]), record)
    last = events[-1]["id"]
    read(200, f"?lastEventId={last}&timeout=1")
    read(400, "?limit=many")
    read(401, sent={})
    read(403, name="nobody")
    read(405, method="POST")
    read(410, "?lastEventId=00000000-0000-0000-0000-000000000000")
    # The listener has four places, so a department one: the second who waits is told to come back.
    polled = []

    def poll(timeout_ms):
        target = f"/v1/departments/highways/messages?lastEventId={last}&timeout={timeout_ms}"
        return request(router.api, "GET", target, headers=TOKEN)[0]

    def wait():
        # The place may be the other's at first.
        status = next(status for status in iter(lambda: poll(20_000), None) if status != 503)
        polled.append(status)

    first = threading.Thread(target=wait, daemon=True)
    first.start()
    for _ in range(100):
        if poll(50) == 503:
            break
    read(503, f"?lastEventId={last}&timeout=50")
    body = event({"id": "m-last", "from": "+447700900123", "to": "86555", "text": "snow at last"})
    router.post("/inbound/demo", body.encode(), headers(body))
    first.join(30)
    answers.verdicts.equal("who waited was answered", polled, [200])


def ask_reroute(answers, router):
    event_id = json.loads(request(router.api, "GET", "/v1/departments/highways/messages?limit=1", headers=TOKEN)[1])[0]["id"]
    wish = {"to": "parking", "reason": "a car on the ice"}

    def move(expected, which=event_id, body=wish, sent=TOKEN, method="POST"):
        body = json.dumps(body).encode()
        return answers.ask(expected, method, REROUTE, f"/v1/messages/{which}/reroute", body, sent)

    moved = json.loads(move(200))
    answers.verdicts.equal("the move is of that text", moved["relates_to"], event_id)
    again = json.loads(move(200, body={"to": "highways", "reason": "once more"}))
    events = json.loads(answers.ask(200, "GET", FEED, "/v1/departments/highways/messages", b"", TOKEN))
    answers.verdicts.equal("it is in the feed", (events[-1]["id"], events[-1]["data"]["flags"]), (again["id"], ["rerouted"]))
    move(400, body={"to": "nobody", "reason": "why"})
    move(401, sent={})
    move(403, sent={"Authorization": f"Bearer {ELSEWHERE}"})
    move(404, which="00000000-0000-4000-8000-000000000000")
    move(405, method="PUT")
    move(413, body={"to": "parking", "reason": "x" * 9000})
    announce(answers, router.api, 408, 100, "POST", REROUTE, f"/v1/messages/{event_id}/reroute", TOKEN)


def ask_monitoring(answers):
    for route in ("/metrics", "/livez", "/startupz", "/readyz", "/version"):
        answers.ask(200, "GET", route, route)
        answers.ask(200, "HEAD", route, route)
        answers.ask(405, "POST", route, route)
    answers.ask(200, "GET", "/readyz", "/readyz?verbose")


def main():
    documents, verdicts = Documents(), Verdicts()
    judge_carriers(verdicts, documents)
    router = Router(SETTINGS, {"demo": SECRET, "path": "path-secret", "elsewhere": ELSEWHERE})
    written = router.config.read_text()
    written = written.replace("[inbound]\n", "[inbound]\nbody_timeout_ms = 300\n")
    written = written.replace("[api]\n", "[api]\nconnections_max = 4\n")
    router.config.write_text(written)
    with router:
        answers = Answers(documents, verdicts, router)
        ask_inbound(answers, router)
        ask_api(answers, router)
        ask_reroute(answers, router)
        ask_monitoring(answers)
        verdicts.equal("what is documented and was not given", answers.not_given(), sorted(NOT_GIVEN))
    verdicts.end()


if __name__ == "__main__":
    main()
