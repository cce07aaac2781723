"""Judges k8s/: all claims, one line each. Run by `tests/run kubernetes`, after tests/kubernetes/tools.

With `--write` it writes what is printed by the program and kept in k8s/, instead.
"""

import sys

# Imported for their claims, in this order: what is cheap first, names when the metrics are known.
import on_objects  # noqa: F401
import shape  # noqa: F401
import service  # noqa: F401
import strimzi
import rights  # noqa: F401
import names  # noqa: F401
import claims

if sys.argv[1:] == ["--write"]:
    strimzi.write()
else:
    claims.main()
