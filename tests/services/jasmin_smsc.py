"""A message centre as a gateway sees it: waits for an SMPP 3.4 bind on 127.0.0.1, delivers the texts of
a file, and ends when the gateway has acknowledged every piece of them.

    jasmin_smsc.py PORT FILE [HOW]      lines of FILE: FROM TO TEXT, in UTF-8

A text goes out as a phone sends it: in GSM 03.38, an octet a letter (coding 0), or in UTF-16 (coding 8)
if that alphabet lacks a letter. HOW says how a text goes out that is too long for one piece: `udh`, in
pieces with a header whose reference has 8 bits; `udh16`, 16 bits; `sar`, in pieces that parameters tell
of; or `payload`, whole, in a parameter. The alphabet's table is that of python-messaging, which Jasmin
brings.
"""

import asyncio
import random
import struct
import sys

import messaging.sms.gsm0338  # noqa: F401 (registers the alphabet)

PATIENCE_S = 30
HEADER = struct.Struct(">IIII")
RESPONSE = 0x80000000
BINDS = {0x01, 0x02, 0x09}
DELIVER_SM = 0x05
WORDS_HAVE_HEADER = 0x40
SAR_REFERENCE, SAR_TOTAL, SAR_NUMBER, PAYLOAD = 0x020C, 0x020E, 0x020F, 0x0424
# By coding: octets of a text that goes out whole, and of a piece beside its header.
ROOM = {0: (160, 152), 8: (140, 132)}


def encoded(text):
    """The coding, and the letters one by one, so that none is cut."""
    try:
        return 0, [letter.encode("gsm0338") for letter in text]
    except UnicodeError:
        return 8, [letter.encode("utf-16-be") for letter in text]


def cut(letters, room):
    pieces = [b""]
    for letter in letters:
        if len(pieces[-1]) + len(letter) > room:
            pieces.append(b"")
        pieces[-1] += letter
    return pieces


def bodies(sender, receiver, text, how, reference):
    """The bodies of the deliver_sm that carry one text."""
    coding, letters = encoded(text)
    whole, room = ROOM[coding]
    if sum(map(len, letters)) <= whole:
        return [body(sender, receiver, coding, b"".join(letters))]
    if how == "payload":
        return [body(sender, receiver, coding, b"", 0, parameter(PAYLOAD, b"".join(letters)))]
    pieces = cut(letters, room)
    return [
        body(sender, receiver, coding, *piece(words, how, reference, len(pieces), number))
        for number, words in enumerate(pieces, 1)
    ]


def piece(words, how, reference, total, number):
    """Words, esm_class and parameters of one piece."""
    if how == "udh":
        return struct.pack(">BBBBBB", 5, 0, 3, reference % 256, total, number) + words, WORDS_HAVE_HEADER
    if how == "udh16":
        return struct.pack(">BBBHBB", 6, 8, 4, reference, total, number) + words, WORDS_HAVE_HEADER
    told = (SAR_REFERENCE, ">H", reference), (SAR_TOTAL, ">B", total), (SAR_NUMBER, ">B", number)
    return words, 0, b"".join(parameter(tag, struct.pack(form, value)) for tag, form, value in told)


def parameter(tag, value):
    return struct.pack(">HH", tag, len(value)) + value


def body(sender, receiver, coding, words, esm_class=0, parameters=b""):
    def number(digits):
        international, isdn = 1, 1
        return struct.pack(">BB", international, isdn) + digits.encode() + b"\0"

    flags = struct.pack(">BBB", esm_class, 0, 0) + b"\0\0" + struct.pack(">BBBB", 0, 0, coding, 0)
    return b"\0" + number(sender) + number(receiver) + flags + struct.pack(">B", len(words)) + words + parameters


async def next_command(reader, writer):
    """What the gateway said: command, status, sequence. Its requests are answered."""
    length, command, status, sequence = HEADER.unpack(await reader.readexactly(HEADER.size))
    await reader.readexactly(length - HEADER.size)
    if not command & RESPONSE:
        name = b"smsc\0" if command in BINDS else b""
        writer.write(HEADER.pack(HEADER.size + len(name), command | RESPONSE, 0, sequence) + name)
    return command, status, sequence


async def deliver(connections, deliveries):
    reader, writer = await connections.get()
    while (await next_command(reader, writer))[0] not in BINDS:
        pass
    for sequence, each in enumerate(deliveries, 1):
        writer.write(HEADER.pack(HEADER.size + len(each), DELIVER_SM, 0, sequence) + each)
    left = set(range(1, len(deliveries) + 1))
    while left:
        command, status, sequence = await next_command(reader, writer)
        if command == DELIVER_SM | RESPONSE:
            if status:
                sys.exit(f"delivery {sequence} was refused with status {status:#x}")
            left.remove(sequence)


async def main(port, file, how="udh"):
    with open(file, encoding="utf-8", newline="\n") as lines:
        texts = [line.rstrip("\n").split(" ", 2) for line in lines]
    # A gateway remembers a reference for minutes, so the next run begins elsewhere.
    first = random.randrange(65536)
    deliveries = [
        each for number, text in enumerate(texts, first) for each in bodies(*text, how, number % 65536)
    ]
    connections = asyncio.Queue()
    server = await asyncio.start_server(lambda *streams: connections.put_nowait(streams), "127.0.0.1", int(port))
    async with server:
        await asyncio.wait_for(deliver(connections, deliveries), PATIENCE_S)


asyncio.run(main(*sys.argv[1:]))
