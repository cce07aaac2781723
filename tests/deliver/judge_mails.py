"""Whatever a resident, or whoever pushes texts, can write: it arrives as it was sent, and nothing of it becomes a header,
a command or another mail.

Every text goes to a mailbox and a receiver; Python's `email` reads the one, JSON the other.
"""

import pathlib
import re
import tempfile

from arrivals import until
from house import House, Town, email
from load import push
from mails import END, Mail, lines
from mailserver import Kind, MailServer
from receiver import Receiver
from router import Verdicts
from texts import TEXTS

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSByZWNlaXZlcnMgb2YgdGhlIHRlc3Rz"
MAILBOX, REPLY_TO = "contactcentre@example.gov.uk", "office@example.gov.uk"
DEPARTMENT = "contact-centre"
RESIDENT = "+447700900123"
DOT = "\r\n.\r\n"
SMUGGLED = "MAIL FROM:<evil@example.org>\r\nRCPT TO:<evil@example.org>\r\nDATA\r\nSubject: evil\r\n\r\nevil"
ODD_TEXTS = [
    "", " ", "\n", "\r\n\r\n", "trailing blanks   \nand tabs\t\t\nat the ends of lines \t",
    "x" * 65_536, "❄" * 16_384, "word " * 13_000, "=" * 998, ".\n..\n...\n.x", ".", "..",
    f"before{DOT}{SMUGGLED}", f"before\n.\n{SMUGGLED}", f"before\r.\r{SMUGGLED}", f"before\r\n.\r{SMUGGLED}",
    f"before\n.\r\n{SMUGGLED}", f"before\x00{DOT}{SMUGGLED}",
    "Bcc: evil@example.org\r\nSubject: evil\r\n\r\nevil", "\r\n\r\nBcc: evil@example.org",
    "From here on\nFrom evil@example.org Thu Jan  1 00:00:00 1970\n>From",
    "--boundary\r\nContent-Type: text/html\r\n\r\n<b>",
    "snow\r\nBcc: evil@example.org", "SNOW\u200d\nBcc: evil", "  sNoW:evil", "=3D =20 =\r\n soft", "=?utf-8?q?evil=0D=0ABcc:_evil?=", "begin 644 evil\n#0V%T\n`\nend",
    "שלום, הכביש חסום",
    "مرحبا\u200f الطريق \u202eevil\u202c مسدود",
    "🇬🇧👩‍👩‍👧‍👦❄️" * 50, "a\u0301\u0327 \ufeff\u2028\u2029\x85\x0b\x0c\x1b[31m",
    "\ud7ff\ue000\uffff\U0010ffff",
    f"{END}00000000-0000-0000-0000-000000000000\n\nFrom:       evil",
]
ODD_SENDERS = [
    "+447700900123\r\nBcc: evil@example.org", "Evil\nSubject: evil", "evil@example.org", "<evil@example.org>",
    "=?utf-8?q?=0D=0ABcc:_evil?=", "\u202elive\u202c", "E\x00vil", "evil " * 100, "COUNCIL", "86555",
    "\u2028Bcc: evil", ",;:\"'<>()[]\\",
]
ODD_NUMBERS = ["86555\r\nBcc: evil@example.org", "evil@example.org", "<script>", "\u202e86555", "+447700900000"]
MORE_ROUTES = f"""
[[number]]
number = "*"
default = "{DEPARTMENT}"
[[keyword]]
word = "snow"
department = "{DEPARTMENT}"
"""


class Story:
    def __init__(self, verdicts, town, server, receiver):
        self.verdicts, self.server, self.receiver = verdicts, server, receiver
        self.house = House(town.smtp(server), {
            DEPARTMENT: email(MAILBOX, more=f', reply_to = "{REPLY_TO}"') + "\n" + town.push(receiver, ["push"])},
            {"push": SECRET})
        self.house.routes.write_text(self.house.routes.read_text() + MORE_ROUTES)
        # In the order of the pushes: text, sender, number texted; those that were answered 200.
        self.sent, self.refused = [], []

    def push(self, text, sender=RESIDENT, to="86555"):
        status = push(self.house, sender, text, to=to)
        if status == 200:
            self.sent.append((text, sender, to))
        else:
            self.refused.append((status, text[:40], sender[:40], to))

    def run(self):
        texts = [text for text, _ in TEXTS] + ODD_TEXTS
        with self.house:
            for text in texts:
                self.push(text)
            self.verdicts.equal("texts that are refused", self.refused, [])
            for sender in ODD_SENDERS:
                self.push(f"from {sender}", sender=sender)
            for number in ODD_NUMBERS:
                self.push(f"to {number}", to=number)
            self.verdicts.holds("some odd senders are taken", len(self.sent) >= len(texts) + 6, self.refused)
            until("all have come", lambda: self.receiver.count() >= len(self.sent) and
                  self.server.count(MAILBOX) >= len(self.sent))
        self.judge()

    def judge(self):
        pushed = {arrival.key: arrival.what for arrival in self.receiver.arrivals.of[DEPARTMENT]}
        mails = {mail.id: mail for mail in (Mail(arrival.what) for arrival in self.server.arrivals.of[MAILBOX])}
        self.verdicts.equal("mails are those of the pushes", mails.keys() ^ pushed.keys(), set())
        self.verdicts.equal("as many as were sent", len(mails), len(self.sent))
        self.verdicts.equal("mailboxes", list(self.server.arrivals.of), [MAILBOX])
        self.verdicts.equal("complaints", self.receiver.complaints, [])
        # What was taken twice within the carrier's patience would be one text: each has another id here.
        left = sorted(text for text, _, _ in self.sent)
        self.verdicts.equal("pushes, byte for byte", sorted(each.record["text"] for each in pushed.values()), left)
        for identity, each in pushed.items():
            self.judge_mail(mails[identity], each.record)

    def judge_mail(self, mail, record):
        text, what = record["text"], f"{record['text'][:30]!r} from {record['from'][:20]!r}"
        self.verdicts.holds(f"{what}: text as sent", mail.text == lines(text), (mail.text[:80], mail.raw[:1200]))
        is_usual = record["to"] == "86555"
        wrong = mail.wrong(DEPARTMENT, [MAILBOX], more_headers=["reply-to"])
        if not is_usual:
            wrong.pop("subject", None)
        self.verdicts.equal(f"{what}: what is wrong", wrong, {})
        headers = mail.raw.partition(b"\r\n\r\n")[0]
        odd = re.search(rb"evil|^bcc|<script|[^\x20-\x7e\r\n]|447700900123", headers, re.IGNORECASE | re.MULTILINE)
        self.verdicts.holds(f"{what}: nobody's words in headers", not odd, headers)
        answers_to = [each.addr_spec for each in mail.message["reply-to"].addresses]
        self.verdicts.equal(f"{what}: answers go to", answers_to, [REPLY_TO])
        fields = mail.fields
        found = list(fields)
        self.verdicts.equal(f"{what}: fields", found, ["From", "To", "Received", "Sent", "Keyword", "Department", "Id"])
        self.verdicts.equal(f"{what}: id", fields["Id"], mail.id)
        self.verdicts.equal(f"{what}: keyword", fields["Keyword"], record.get("keyword") or "none")
        self.verdicts.equal(f"{what}: department", fields["Department"], DEPARTMENT)
        if record["from"] == RESIDENT:
            self.verdicts.equal(f"{what}: whom to phone back", fields["From"], f"{RESIDENT}   tel:{RESIDENT}")
        below = mail.body.partition(f"End of the text {mail.id}\n")[2]
        odd = re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", below)
        self.verdicts.holds(f"{what}: nothing odd in the fields", not odd, below)


def main():
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory() as folder:
        town = Town(pathlib.Path(folder))
        with MailServer(Kind(town.certificate)) as server, Receiver(DEPARTMENT, town.certificate, SECRET) as receiver:
            Story(verdicts, town, server, receiver).run()
    verdicts.end()


if __name__ == "__main__":
    main()
