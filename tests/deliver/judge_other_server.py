"""A mail server by other hands, a process of its own, killed with -9 in the middle and started again.

Comes in: NODE_PACKAGES with npm's smtp-server. Goes out: verdicts on what came.
"""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import types

from arrivals import Arrivals, Judgement, until
from house import House, Town, email
from load import Load
from mails import Mail
from mailserver import PASSWORD, USER
from router import Verdicts, free_port

HERE = pathlib.Path(__file__).resolve().parent
MAILBOX, DEPARTMENT = "contactcentre@example.gov.uk", "contact-centre"
SENDERS, TEXTS_EACH, KILLED_AFTER = 16, 30, 100


class NodeServer:
    """Its lines are read as they come; of one that is killed the last may be half a line."""

    def __init__(self, town, folder):
        self.port, self.arrivals, self.process = free_port(), Arrivals(), None
        self.is_ready = threading.Event()
        certificate, key = folder / "mail.pem", folder / "mail.key"
        for blob in town.certificate.cert_chain_pems:
            blob.write_to_path(certificate, append=True)
        town.certificate.private_key_pem.write_to_path(key)
        script = pathlib.Path(os.environ["NODE_PACKAGES"]) / "mailserver.js"
        shutil.copy(HERE / "node/mailserver.js", script)
        self.command = ["node", script, str(self.port), certificate, key, USER, PASSWORD]

    def __enter__(self):
        self.is_ready.clear()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self.reader.start()
        until("the other mail server listens", self.is_ready.is_set)
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()

    def _read(self, stream):
        for line in stream:
            if not line.endswith(b"\n"):
                return
            said = json.loads(line)
            if "ready" in said:
                self.is_ready.set()
            for mailbox in said.get("to", []):
                envelope = types.SimpleNamespace(content=base64.b64decode(said["raw"]), mail_from=said["from"])
                self.arrivals.add(mailbox, Mail(envelope).key, envelope)


def main():
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        town = Town(folder)
        server = NodeServer(town, folder)
        with server, House(town.smtp(server), {DEPARTMENT: email(MAILBOX)}) as house, \
                Load(house, {"hello": DEPARTMENT}, SENDERS) as load:
            load.more(TEXTS_EACH)
            until("it is at work", lambda: server.arrivals.count(MAILBOX) >= KILLED_AFTER)
            server.kill()
            done = server.arrivals.count(MAILBOX)
            verdicts.holds("killed in the middle", done < SENDERS * TEXTS_EACH, done)
            server.__enter__()
            load.is_brought()
            until("all is delivered", lambda: server.arrivals.count(MAILBOX) == SENDERS * TEXTS_EACH)
        mails = [Mail(arrival.what) for arrival in server.arrivals.of[MAILBOX]]
        Judgement(verdicts, "mails to the other server", [
            (mail.key, mail.text, mail.sender, mail.body) for mail in mails]).of(load, DEPARTMENT)
        wrong = [mail.wrong(DEPARTMENT, [MAILBOX]) for mail in mails]
        verdicts.equal("what is wrong with mails to the other server", [each for each in wrong if each][:2], [])
    verdicts.end()


if __name__ == "__main__":
    main()
