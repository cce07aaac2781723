"""A mail as Python's `email` reads it. Comes in: an envelope. Goes out: its text, its fields, what is wrong with it."""

import email
import email.policy
import re

# The headers that a mail may have, and no other. Servers on the way add theirs.
HEADERS = {
    "from", "to", "subject", "date", "message-id", "auto-submitted", "x-auto-response-suppress", "mime-version",
    "content-type", "content-transfer-encoding"}
FROM = "sms-router@example.gov.uk"
HOST = "sms.example.gov.uk"
END = "\n\n----------------------------------------\nEnd of the text "
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_FIELD = re.compile(r"^(\w+): +(.*)$", re.MULTILINE)


def lines(text):
    """Ends of lines are mail's."""
    return text.replace("\r\n", "\n")


class Mail:
    def __init__(self, envelope):
        self.envelope, self.raw = envelope, bytes(envelope.content)
        self.message = email.message_from_bytes(self.raw, policy=email.policy.default)
        self.body = lines(self.message.get_content())
        self.key = str(self.message["message-id"]).strip("<>")
        self.id = self.key.partition("@")[0]

    @property
    def text(self):
        """Up to the line that names its id; no sender knows that."""
        return self.body.partition(f"{END}{self.id}\n")[0]

    def texts(self):
        """Of a mail of several."""
        return [part.partition(END)[0] for part in re.split(r"======== \d+ of \d+ ========\n\n", self.body)[1:]]

    @property
    def fields(self):
        return dict(_FIELD.findall(self.body.partition(f"{END}{self.id}\n")[2]))

    @property
    def sender(self):
        return self.fields["From"].partition(" ")[0]

    def wrong(self, department, to, more_headers=(), is_one=True):
        """What should not be so, whatever the text."""
        message = self.message
        names = [name.lower() for name in message.keys()]
        said = {
            "headers": sorted(set(names) ^ (HEADERS | set(more_headers))),
            "headers twice": sorted({name for name in names if names.count(name) > 1}),
            "defects": [str(defect) for defect in (*message.defects, *_defects_of(message))],
            "from": message["from"] != FROM and message["from"],
            "to": [each.addr_spec for each in message["to"].addresses] != to and message["to"],
            "envelope": self.envelope.mail_from != FROM and self.envelope.mail_from,
            "subject": not _subject(department, is_one).fullmatch(message["subject"]) and message["subject"],
            "id": not re.fullmatch(f"{_UUID}@{HOST}", self.key) and self.key,
            "auto": message["auto-submitted"] != "auto-generated" and message["auto-submitted"],
            "kind": message.get_content_type() != "text/plain" and message.get_content_type(),
            "charset": message.get_content_charset() != "utf-8" and message.get_content_charset(),
            "a line without CR": re.search(rb"(?<!\r)\n|\r(?!\n)", self.raw) and "there is one",
            "8 bits": any(byte > 127 for byte in self.raw) and "in a header or in a body that says 7 bits"
                      if message["content-transfer-encoding"] != "8bit" else "",
        }
        return {what: found for what, found in said.items() if found}


def _defects_of(message):
    for value in message.values():
        yield from getattr(value, "defects", ())


def _subject(department, is_one):
    count = "Text" if is_one else r"\d+ texts"
    return re.compile(rf"{count} to 86555 for {department}")
