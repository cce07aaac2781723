#!/usr/bin/env bash
# Ends every service whose state is in the state folder, at once and by force, and deletes their data.
#
#   stop-all.sh        (the state folder is $SMS_ROUTER_TEST_STATE, else target/tests/services)
#
# For the end of a test run, when nobody needs the data any more; also cleans up after a run that was
# killed. Logs stay.

# shellcheck source=tests/services/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

mapfile -t found < <(find "$STATE_ROOT" -name pid -type f -printf '%h\n' 2>/dev/null || true)
force "${found[@]}"
rm -rf "$STATE_ROOT"/*/data "$STATE_ROOT"/*/*/data "$STATE_ROOT"/*/address "$STATE_ROOT"/*/ports
