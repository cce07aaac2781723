#!/usr/bin/env bash
# Starts what the image holds as a cluster would: its root file system alone, read-only, as user 65532.
#
#   tests/kubernetes/image.sh PROGRAM FOLDER
#
# FOLDER is for what it makes, and emptied. The program serves its built-in sample from a folder that stands for the
# volume, takes a text that it sends itself from inside, and ends on SIGTERM. The stage that compiles is not built here,
# for base images come from elsewhere: it is linted, and this is said.

set -euo pipefail

# shellcheck source=tests/services/common.sh
source "$(dirname -- "$0")/../services/common.sh"

program=$1 folder=$2 here=$(dirname -- "$0")/../../k8s/image
root=$folder/rootfs volume=$folder/volume log=$folder/log status=0

# Only where there is a shell of its own to leave: in the background, or between brackets.
inside() {
    exec unshare --root="$root" --wd=/var/lib/sms-router --setgid 65532 --setuid 65532 /usr/bin/sms-router "$@"
}

# In a mount namespace of its own, so that nothing stays mounted however this ends.
if [[ ${SMS_ROUTER_IN_NAMESPACE:-} != yes ]]; then
    ((EUID == 0)) || exec sudo -n "$0" "$@"
    exec env SMS_ROUTER_IN_NAMESPACE=yes unshare --mount --pid --fork --kill-child "$0" "$@"
fi

rm -rf "$folder"
mkdir -p "$folder" "$volume"
"$here/rootfs" "$program" "$root"
if find "$root" -name '*sh' -type f | grep -q .; then
    fail "there is a shell in the image"
fi
chown 65532:65532 "$volume"
chmod 700 "$volume"
mount --bind "$root" "$root"
mount --bind "$volume" "$root/var/lib/sms-router"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"

free_ports 3 "$folder/ports"
mapfile -t ports <"$folder/ports"
export SMS_ROUTER__INBOUND__LISTEN=127.0.0.1:${ports[0]} \
    SMS_ROUTER__API__LISTEN=127.0.0.1:${ports[1]} SMS_ROUTER__MONITORING__LISTEN=127.0.0.1:${ports[2]}

inside serve >"$log" 2>&1 &
pid=$!
# It says so itself on standard error.
until_true 30 grep -q ' is ready$' "$log" || {
    cat "$log" >&2
    fail "the image's program is not ready"
}

# expect WHAT WANTED FOUND
expect() {
    if [[ $2 == "$3" ]]; then echo "ok: $1"; else
        echo "FAILED: $1: $2 was expected, not '$3'" >&2
        status=1
    fi
}
expect "it runs as user 65532" 65532 "$(awk '/^Uid:/ { print $3 }' "$root/proc/$pid/status")"
expect "its root cannot be written, not even by root" "" "$(if touch "$root/etc/written" 2>/dev/null; then echo written; fi)"
expect "it takes a text" 200 "$(inside simulate --to 86555 --from +447700900123 Snow | cut -c 1-3)"
expect "beside it, another says at once that no journal waits" "0 texts wait in data" \
    "$(inside journal status --wait 20)"
expect "what it keeps is on the volume" 1 "$(find "$volume/data" -name sms-router.sqlite -size +0 | wc -l)"
kill -TERM "$pid"
ended=0
wait "$pid" || ended=$?
expect "it ends with 0 on SIGTERM" 0 "$ended"
echo "not shown here: the stage of the Containerfile that compiles; it is linted, not built"
exit "$status"
