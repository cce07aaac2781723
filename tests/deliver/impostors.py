"""Servers that are somebody else: with another authority's certificate, another name's, one that has ended, without TLS,
in the clear with a wish for the password; receivers of that sort; addresses that are a private network's. None of them
ever gets a mail, a password or a push; when the right one is there, what waited comes.
"""

import datetime

from arrivals import until
from house import House, email, judge_words
from load import push
from mails import Mail
from mailserver import PASSWORD, USER, Kind, MailServer
from receiver import Receiver

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSByZWNlaXZlcnMgb2YgdGhlIHRlc3Rz"
MAILBOX = "contactcentre@example.gov.uk"
RESIDENT = "+447700900555"
# Of each impostor: the first tries may have been on their way before it was there.
TRIES = 3


def certificates(town):
    """None of them is to be believed."""
    ended = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    return {
        "another authority's": town.other.issue_cert("127.0.0.1"),
        "another name's": town.authority.issue_cert("mail.example.org"),
        "one that has ended": town.authority.issue_cert(
            "127.0.0.1", not_before=ended - datetime.timedelta(days=1), not_after=ended),
    }


def sent(verdicts, house, text):
    verdicts.equal(f"answer to {text}", push(house, RESIDENT, text), 200)
    return text


def judge_mail_servers(verdicts, town, tls):
    """The port is the same all the time; who listens there changes."""
    is_implicit = tls == "implicit"
    good = Kind(town.certificate, is_implicit)
    kinds = {name: Kind(certificate, is_implicit) for name, certificate in certificates(town).items()}
    if not is_implicit:
        kinds |= {"no TLS, and a wish for the password": Kind(None), "no TLS": Kind(None, wants_password=False)}
    with MailServer(good) as server, House(town.smtp(server, tls), {"contact-centre": email(MAILBOX)}) as house:
        texts = [sent(verdicts, house, "hello text 0")]
        until("the right server gets it", lambda: server.count(MAILBOX) == 1)
        passwords = len(server.passwords)
        verdicts.equal(f"{tls}: the password", server.passwords[-1], (USER, PASSWORD))
        for name, kind in kinds.items():
            server.go()
            server.come(kind)
            texts.append(sent(verdicts, house, f"hello text {len(texts)}"))
            server.is_tried(TRIES)
            verdicts.equal(f"{tls}, {name}: mails", server.count(MAILBOX), 1)
            verdicts.equal(f"{tls}, {name}: passwords", len(server.passwords), passwords)
            until("it is told", lambda: house.metric("delivery_up", "contact-centre", "email") == 0)
        server.go()
        server.come(good)
        until("what waited comes", lambda: server.count(MAILBOX) == len(texts))
        verdicts.equal(f"{tls}: in order", [Mail(each.what).text for each in server.arrivals.of[MAILBOX]], texts)
        judge_password(verdicts, house, server)
    judge_words(verdicts, f"serve, {tls}", house.said(), [SECRET])


def judge_password(verdicts, house, server):
    """One that is wrong is nobody's refusal of a text; a new one is used without a restart."""
    server.password = "another password"
    # What is connected stays so.
    server.go()
    server.come()
    before = server.count(MAILBOX)
    sent(verdicts, house, "hello, the password is another")
    server.is_tried(TRIES)
    verdicts.equal("mails by a wrong password", server.count(MAILBOX), before)
    house.write_secret("smtp", server.password)
    until("with the right one it comes", lambda: server.count(MAILBOX) == before + 1)
    verdicts.equal("dead letters", house.letters(), [])


def judge_without_tls(verdicts):
    """Only where the settings say so."""
    with MailServer(Kind(None, wants_password=False)) as server:
        smtp = f'[smtp]\nhost = "127.0.0.1"\nport = {server.port}\ntls = "none"\nfrom = "sms-router@example.gov.uk"\n'
        with House(smtp, {"contact-centre": email(MAILBOX)}) as house:
            sent(verdicts, house, "hello without TLS")
            until("it comes", lambda: server.count(MAILBOX) == 1)


def judge_receivers(verdicts, town):
    with Receiver("parking", town.certificate, SECRET) as receiver, \
            House("", {"contact-centre": "", "parking": town.push(receiver, ["push"])}, {"push": SECRET}) as house:
        texts = []
        for name, certificate in certificates(town).items():
            receiver.go()
            receiver.come(certificate)
            texts.append(sent(verdicts, house, f"parking text {len(texts)}"))
            tried = receiver.connections + TRIES
            until(f"a receiver with {name} certificate is tried", lambda: receiver.connections >= tried)
            verdicts.equal(f"{name}: requests", (receiver.requests, receiver.count()), (0, 0))
        receiver.go()
        receiver.come(town.certificate)
        until("what waited comes", lambda: receiver.count() == len(texts))
        found = [each.what.record["text"] for each in receiver.arrivals.of["parking"]]
        verdicts.equal("pushes in order", found, texts)


def judge_private_network(verdicts, town):
    """A name that leads to this machine, without leave: not even a connection."""
    with Receiver("parking", town.certificate, SECRET) as receiver:
        url = f"https://localhost:{receiver.port}/texts"
        channel = f'push = {{ url = "{url}", ca = "{town.ca}", secrets = [{{ file = "secrets/push" }}] }}'
        with House("", {"contact-centre": "", "parking": channel}, {"push": SECRET}) as house:
            sent(verdicts, house, "parking text")
            until("it is tried", lambda: house.metric("deliveries_total", "parking", "push", outcome="retried") >= TRIES)
            verdicts.equal("connections to a private network", receiver.connections, 0)
        with_leave = channel.removesuffix(" }") + ", private_network = true }"
        house.config.write_text(house.config.read_text().replace(channel, with_leave))
        with house:
            until("with leave it comes", lambda: receiver.count() == 1)


def judge_settings(verdicts):
    """What `check` says of settings that cannot be meant."""
    smtp = '[smtp]\nhost = "mail.example.gov.uk"\nfrom = "sms-router@example.gov.uk"\n'

    def checked(settings, parking):
        run = House(settings, {"contact-centre": "", "parking": parking}, {"push": SECRET}).run("check")
        return run.returncode, (run.stdout + run.stderr).decode()

    def push_to(url):
        return f'push = {{ url = "{url}", secrets = [{{ file = "secrets/push" }}] }}'

    for what, settings, parking, status, word in (
            ("e-mail", smtp, email(MAILBOX), 0, ""),
            ("e-mail without a server", "", email(MAILBOX), 1, "[smtp]"),
            ("a mailbox that is none", smtp, email("no mailbox"), 1, "no mailbox"),
            ("a mailbox with a header behind it", smtp, email("a@example.org\r\nBcc: b@example.org"), 1, "email"),
            ("push", "", push_to("https://texts.example.gov.uk/"), 0, ""),
            ("push over http", "", push_to("http://texts.example.gov.uk/"), 1, "url"),
            ("push to a private network", "", push_to("https://10.1.2.3/"), 1, "private_network"),
            ("push to a cloud's metadata", "", push_to("https://169.254.169.254/"), 1, "private_network"),
            ("push without a secret", "", 'push = { url = "https://texts.example.gov.uk/", secrets = [] }', 1, "secrets")):
        code, said = checked(settings, parking)
        verdicts.holds(f"check of {what}", code == status and word in said, (code, said[-500:]))


def judge(verdicts, town):
    judge_settings(verdicts)
    judge_mail_servers(verdicts, town, "starttls")
    judge_mail_servers(verdicts, town, "implicit")
    judge_without_tls(verdicts)
    judge_receivers(verdicts, town)
    judge_private_network(verdicts, town)
