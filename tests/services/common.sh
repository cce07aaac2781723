#!/usr/bin/env bash
# What the service scripts share: where state is kept, ports, processes, Maven.
#
# Sourced, never run. Every service NAME has a folder of its own with its configuration, logs, ports
# and pid files; nothing is kept anywhere else (apart from Maven's ~/.m2/repository). A process is
# known by its pid together with its start time, so a pid that the kernel has handed on to somebody
# else is never signalled. Everything listens on 127.0.0.1, on ports below 32768 so that an outgoing
# connection cannot sit on one.

set -euo pipefail

SERVICES_DIR=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
ROOT_DIR=$(cd -- "$SERVICES_DIR/../.." && pwd)
CACHE_DIR=$ROOT_DIR/target/tests
STATE_ROOT=${SMS_ROUTER_TEST_STATE:-$ROOT_DIR/target/tests/services}

fail() {
    printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
    exit 1
}

usage() {
    # The script's own header, up to the first line that is no comment, is its manual.
    awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0" >&2
    exit 64
}

# state NAME: the folder of a service, made by `start` only.
state() {
    [[ $1 =~ ^[a-zA-Z0-9_-]+$ ]] || fail "a service's name has letters, digits, - and _ only"
    printf '%s\n' "$STATE_ROOT/$1"
}

started() {
    local dir
    dir=$(state "$1")
    [[ -f $dir/address ]] || fail "no service named $1 has been started"
    printf '%s\n' "$dir"
}

# ---- ports ---------------------------------------------------------------------------------------

# Local ports in use in any state (first pattern) or listened on (second), in decimal.
ports_in_use() { socket_ports '[0-9A-F][0-9A-F]'; }
ports_listening() { socket_ports '0A'; }
socket_ports() {
    local hex
    sed -nE "s/^ *[0-9]+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} $1 .*/\1/p" \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        while read -r hex; do printf '%d\n' "0x$hex"; done
}

# free_ports COUNT FILE: writes that many ports, one a line, to FILE. The lock and the files of the
# other services keep two scripts that start at the same moment from choosing the same one.
free_ports() {
    local count=$1 file=$2
    mkdir -p "$CACHE_DIR"
    (
        flock 9
        declare -A taken=()
        local port chosen=()
        for port in $(ports_in_use) $(cat "$STATE_ROOT"/*/ports 2>/dev/null); do taken[$port]=1; done
        while ((${#chosen[@]} < count)); do
            port=$((RANDOM % 12000 + 20000))
            [[ -z ${taken[$port]:-} ]] || continue
            taken[$port]=1
            chosen+=("$port")
        done
        printf '%s\n' "${chosen[@]}" >"$file"
    ) 9>"$CACHE_DIR/ports.lock"
}

# ---- waiting -------------------------------------------------------------------------------------

# until_true SECONDS COMMAND…: asks ten times a second; false when the time is up.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS <= end)) || return 1
        sleep 0.1
    done
}

# Not `ports_listening | grep -q`: grep would leave early and pipefail would call that a failure.
port_closed() { [[ " $(ports_listening | tr '\n' ' ')" != *" $1 "* ]]; }
port_open() { ! port_closed "$1"; }

# ---- processes -----------------------------------------------------------------------------------

# process_facts PID: its state letter and start time, nothing if it is gone. The command's name may
# hold blanks and brackets, so fields are counted from the last bracket.
process_facts() {
    local line
    { line=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
    awk '{ print $1, $20 }' <<<"${line##*) }"
}

# spawn FOLDER COMMAND…: runs in a session of its own, logs to FOLDER/log, notes FOLDER/pid.
spawn() {
    local dir=$1 pid facts
    shift
    setsid "$@" >>"$dir/log" 2>&1 </dev/null &
    pid=$!
    facts=$(process_facts "$pid")
    printf '%s %s\n' "$pid" "${facts#* }" >"$dir/pid"
    disown "$pid"
}

# pid_of FOLDER: the pid, if that very process still runs (a zombie does not).
pid_of() {
    local pid start facts
    [[ -f $1/pid ]] || return 0
    read -r pid start <"$1/pid" || return 0
    facts=$(process_facts "$pid")
    [[ -n $facts && ${facts#* } == "$start" && ${facts%% *} != [ZX] ]] || return 0
    printf '%s\n' "$pid"
}

running() { [[ -n $(pid_of "$1") ]]; }
gone() { ! running "$1"; }

frozen() {
    local pid facts
    pid=$(pid_of "$1")
    [[ -n $pid ]] || return 1
    facts=$(process_facts "$pid")
    [[ ${facts%% *} == T ]]
}

# signal SIGNAL FOLDER: false if the process is gone.
signal() {
    local pid
    pid=$(pid_of "$2")
    [[ -n $pid ]] && kill -s "$1" "$pid" 2>/dev/null
}

# terminate FOLDER…: asks all, waits, and forces those that do not go within 20 s.
terminate() {
    local dir
    for dir; do
        signal TERM "$dir" || continue
        signal CONT "$dir" || true
    done
    for dir; do
        until_true 20 gone "$dir" || force "$dir"
    done
}

# force FOLDER…: kill -9, back when the process is gone.
force() {
    local dir
    for dir; do signal KILL "$dir" || true; done
    for dir; do until_true 10 gone "$dir" || fail "process $(pid_of "$dir") survives kill -9"; done
}

# give_up FOLDER TEXT: shows the end of the log (lines cut, some are 20 kB) and fails.
give_up() {
    { tail -n 30 "$1/log" 2>/dev/null || true; } | cut -c 1-300 >&2
    fail "$2; log: $1/log"
}

# ---- Java ----------------------------------------------------------------------------------------

# class_path NAME [POM]: the jars of a pom (NAME.pom.xml), resolved once and remembered by its content.
class_path() {
    local pom=${2:-$SERVICES_DIR/$1.pom.xml} file
    type java mvn >/dev/null 2>&1 ||
        fail "java and mvn are needed: apt-get install openjdk-17-jre-headless maven"
    file=$CACHE_DIR/class-path-$1-$(sha256sum "$pom" | cut -c 1-16)
    mkdir -p "$CACHE_DIR"
    (
        flock 9
        if ! jars_present "$file"; then
            resolve "$pom" "$file"
        fi
    ) 9>"$CACHE_DIR/class-path-$1.lock"
    cat "$file"
}

jars_present() {
    local jar jars
    [[ -s $1 ]] || return 1
    IFS=: read -ra jars <"$1" || true
    for jar in "${jars[@]}"; do [[ -f $jar ]] || return 1; done
}

# A download can break: three tries, with a longer pause before each.
resolve() {
    local try
    for try in 1 2 3; do
        if mvn -q -B -f "$1" dependency:build-classpath -Dmdep.includeScope=runtime \
            -Dmdep.outputFile="$2.new" >"$2.log" 2>&1 </dev/null 9>&-; then
            mv "$2.new" "$2"
            return
        fi
        echo "Maven could not resolve $(basename "$1") (try $try of 3)" >&2
        ((try == 3)) || sleep $((try * 5))
    done
    tail -n 20 "$2.log" | cut -c 1-300 >&2
    fail "Maven could not resolve $1; log: $2.log"
}

# certificates FOLDER: an authority (ca.pem) and one certificate for 127.0.0.1, made anew at every start; servers in
# Java want key (PKCS#8), certificate and authority in one file (server.pem).
certificates() {
    local dir=$1 key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
    command -v openssl >/dev/null || fail "openssl is needed: apt-get install openssl"
    (
        cd "$dir"
        umask 077
        openssl req -x509 "${key[@]}" -days 7 -subj '/CN=authority of the tests' \
            -keyout ca.key -out ca.pem
        openssl req -new "${key[@]}" -subj '/CN=127.0.0.1' -keyout server.key -out server.csr
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 7 \
            -extfile <(echo 'subjectAltName=IP:127.0.0.1,DNS:localhost') -out server.crt
        cat server.key server.crt ca.pem >server.pem
    ) >"$dir/openssl.log" 2>&1 || fail "openssl failed; log: $dir/openssl.log"
}
