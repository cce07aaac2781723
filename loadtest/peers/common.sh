#!/usr/bin/env bash
# What the peers' scripts share: where a peer is installed, and the three ways to give up.
#
# Sourced by install, run and measure of each peer, never run. Sets PEER (the folder of the script that
# sources it), NAME (its name) and INSTALLED (target/peers/NAME, where everything of it is kept).

set -euo pipefail

PEER=$(cd -- "$(dirname -- "$0")" && pwd)
NAME=$(basename -- "$PEER")
ROOT=$(cd -- "$PEER/../../.." && pwd)
INSTALLED=$ROOT/target/peers/$NAME

fail() {
    printf 'peers/%s: %s\n' "$NAME" "$*" >&2
    exit 1
}

# Not a fault of ours: a registry refuses, or a package is not on this machine.
cannot() {
    printf 'peers/%s: cannot be had here: %s\n' "$NAME" "$*" >&2
    exit 3
}

# wanted COMMAND PACKAGE
wanted() { command -v "$1" >/dev/null || cannot "$1 is missing: apt-get install $2"; }

# stamp_of FILE…: what an installation was made from.
stamp_of() { cat "$@" | sha256sum; }
is_current() { [[ $(cat "$INSTALLED/stamp" 2>/dev/null) == "$1" ]]; }

# Everything that `run` is told.
settings() {
    : "${PORT:?the port to listen on}" "${BROKERS:?host:port,…}" "${ROUTES:?a file of lines: KEYWORD TOPIC}"
    [[ -e $INSTALLED/stamp ]] || fail "not installed: $PEER/install"
}
