"""What came where, in which order, and the verdict on it. Waiting for events.

Comes in: arrivals as servers note them, texts as a load notes them. Goes out: verdicts. Not here: how they came.
"""

import collections
import concurrent.futures
import dataclasses
import itertools
import sys
import threading
import time

WITHIN_S = 60
_clock = itertools.count()


def until(what, is_so, within_s=WITHIN_S, instead=lambda: ""):
    """What `is_so` gave once it is true of it. `instead`: what is told when it never is."""
    end = time.monotonic() + within_s
    while not (found := is_so()):
        if time.monotonic() > end:
            sys.exit(f"not within {within_s} s: {what} {instead()}")
        time.sleep(0.02)
    return found


@dataclasses.dataclass(frozen=True)
class Arrival:
    """`key` is what makes a repeat a repeat: Message-ID or webhook-id."""

    at: int
    key: str
    what: object


class Arrivals:
    """By destination, in the order in which they came; any thread may add."""

    def __init__(self):
        self.of, self.keys = collections.defaultdict(list), collections.defaultdict(set)

    def add(self, destination, key, what):
        self.of[destination].append(Arrival(next(_clock), key, what))
        self.keys[destination].add(key)

    def count(self, destination):
        """Different ones."""
        return len(self.keys[destination])

    def repeats(self, destination):
        return len(self.of[destination]) - self.count(destination)


class Turnstile:
    """Lets all pass until it is closed; then whoever comes waits, and can be counted."""

    def __init__(self):
        self.lock, self.is_open, self.waiting = threading.Lock(), True, []

    def pass_one(self):
        """A future that is done when one may pass."""
        place = concurrent.futures.Future()
        with self.lock:
            if self.is_open:
                place.set_result(None)
            else:
                self.waiting.append(place)
        return place

    def close(self):
        with self.lock:
            self.is_open = False

    def open(self):
        with self.lock:
            self.is_open, waiting, self.waiting = True, self.waiting, []
        for place in waiting:
            # Whoever waited may have left.
            if not place.cancelled():
                place.set_result(None)

    def held(self):
        return len(self.waiting)


class Judgement:
    """Of one destination: `found` are (key, text, sender, content) in the order of arrival, repeats among them."""

    def __init__(self, verdicts, what, found):
        self.verdicts, self.what, self.found = verdicts, what, found

    def equal(self, what, found, expected):
        return self.verdicts.equal(f"{self.what}: {what}", found, expected)

    def of(self, load, department):
        """Every text answered is there, nothing is made up, a repeat is the same, and senders' orders hold."""
        first, contents, keys = {}, collections.defaultdict(set), collections.defaultdict(set)
        for key, text, sender, content in self.found:
            first.setdefault(text, sender)
            contents[key].add(content)
            keys[text].add(key)
        answered = {text for text, of in load.answered.items() if of == department}
        begun = {text for text, of in load.begun.items() if of == department}
        self.verdicts.holds(f"{self.what}: there were texts", len(answered) > 0)
        self.equal("texts answered that never came", sorted(answered - first.keys())[:5], [])
        self.equal("texts that nobody sent", sorted(first.keys() - begun)[:5], [])
        self.equal("texts under several ids", [text for text in keys if len(keys[text]) > 1][:5], [])
        self.equal("repeats that differ", [key for key in contents if len(contents[key]) > 1][:5], [])
        self.equal("ids of several texts", len(contents), len(first))
        self.equal("senders' numbers", {text: of for text, of in first.items() if of != load.sender_of(text)}, {})
        self.in_order(first, load)

    def in_order(self, first, load):
        """By the first time that each came."""
        last, wrong = {}, []
        for text, sender in first.items():
            number = load.number_of(text)
            if last.get(sender, -1) > number:
                wrong.append(text)
            last[sender] = max(number, last.get(sender, -1))
        self.equal("texts that came after a later one of their sender", wrong[:5], [])
