"""Judges k8s/: all claims, one line each. Run by `tests/run kubernetes`, after tests/kubernetes/tools."""

# Imported for their claims, in this order: what is cheap first, names when the metrics are known.
import on_objects  # noqa: F401
import shape  # noqa: F401
import service  # noqa: F401
import strimzi  # noqa: F401
import names  # noqa: F401
import claims

claims.main()
