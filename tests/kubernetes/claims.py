"""Claims: what is said of the manifests, each a function that fails by an assertion.

Comes in: functions under `@claim`. Goes out: a line for each, and the count that tests/run reads. Always true: those of
a module are judged after those of the modules before it, and beside one another, for most of them wait for processes.
Not here: what is claimed.
"""

import concurrent.futures
import itertools
import sys
import time
import traceback

CLAIMS = []
AT_ONCE = 4


def claim(text):
    """The function below holds, or says by its assertion why not."""
    def keep(function):
        CLAIMS.append((text, function))
        return function
    return keep


def none(problems):
    """A list of problems that has to be empty."""
    problems = list(problems)
    assert not problems, "\n    ".join(str(problem) for problem in problems)


def some(problems, of, expected):
    """A change that does harm has to be found, and by the right words."""
    found = "; ".join(str(problem) for problem in problems)
    assert expected in found, f"{of} was not refused with {expected!r}, but: {found or 'nothing'}"


def judge(one):
    """Whether it holds, and the line that says so."""
    text, function = one
    begin = time.monotonic()
    try:
        function()
        said = "ok"
    except AssertionError as error:
        said = f"FAILED\n    {error}"
    except Exception:  # A claim that cannot be judged is not met; the others still are judged.
        said = "FAILED\n" + traceback.format_exc()
    return said == "ok", f"{text} ({time.monotonic() - begin:.1f} s) ... {said}"


def main():
    """Judges all; ends the process."""
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
        for _, module in itertools.groupby(CLAIMS, lambda one: one[1].__module__):
            for holds, line in threads.map(judge, module):
                failed += not holds
                print(line, flush=True)
    print(f"{len(CLAIMS) - failed} passed, {failed} failed, 0 ignored", flush=True)
    sys.exit(1 if failed else 0)
