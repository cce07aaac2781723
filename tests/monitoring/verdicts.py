"""The count of what held and what did not, and the line that `tests/run` adds up."""

import sys


class Verdicts:
    def __init__(self):
        self.passed = self.failed = 0

    def holds(self, what, condition, found=""):
        """One claim; `found` is shown when it does not hold."""
        if condition:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {what}{': ' if found != '' else ''}{found}", flush=True)
        return bool(condition)

    def equal(self, what, found, expected):
        return self.holds(what, found == expected, f"found {found!r}, expected {expected!r}")

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(0 if self.passed and not self.failed else 1)
