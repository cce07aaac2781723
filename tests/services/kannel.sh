#!/usr/bin/env bash
# A real Kannel gateway on loopback: bearerbox, smsbox and Kannel's own fake SMSC.
#
#   kannel.sh start NAME URL [--post] [--retries N]
#                               starts both boxes; every text is fetched from URL, to which the query
#                               below is added; --post sends the text as the body of a POST;
#                               --retries: how often a failed fetch is tried again, 1 s apart (10;
#                               Kannel's own default is 0)
#   kannel.sh send NAME COUNT FILE   the fake SMSC sends COUNT texts, each a line of FILE picked at
#                               random (`FROM TO TEXT`, UTF-8); back when bearerbox has taken all
#   kannel.sh settle NAME SECONDS    waits until every text taken has been answered 200 or 202
#   kannel.sh fetches NAME      what smsbox did, one line for each fetch that ended: `ok URL` or
#                               `failed URL`; the ledger a test compares with what arrived
#   kannel.sh status NAME       bearerbox's own status page
#   kannel.sh stop NAME
#
# The query: sender=%q to=%P message=%b ts=%T id=%I charset=%C coding=%c (with --post: no message and
# no charset, they are in the body and its Content-Type).
#
# Learnt from Debian's Kannel 1.4.5:
# - fakesmsc takes `FROM TO TYPE DATA`. TYPE `text`: DATA as it is; UTF-8 arrives as UTF-8, coding 0.
#   `ucs2`: percent-encoded UTF-16BE, arrives as charset UTF-16BE, coding 2. `data`: percent-encoded
#   bytes, arrives as charset 8-BIT, coding 1. With several messages it picks at random each time, so
#   equal texts occur; each has its own %I. It never ends by itself, not even after the last message.
# - 2,000 texts go through bearerbox in less than half a second and through smsbox, to a receiver
#   written in Python, in one second. smsbox opens a new connection for nearly every fetch while
#   many are under way: a receiver with a short listen backlog loses SYNs, which adds 1, 3, 7 s.
# - With `smsbox-id` set bearerbox does not route to the box ("smsbox_list empty!"): leave it out.
# - bearerbox with texts still queued does not end on SIGTERM.
# - bearerbox's access log writes a dot for each byte beyond ASCII; smsbox's access log has the URL
#   whole, and that is what `fetches` prints.

# shellcheck source=tests/services/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

FAKESMSC=/usr/lib/kannel/test/fakesmsc
PATH=$PATH:/usr/sbin

start() {
    local name=${1:-} url=${2:-} post='' retries=10 dir
    [[ -n $name && -n $url ]] || usage
    shift 2
    while (($#)); do
        case $1 in
        --post) post=yes ;;
        --retries) retries=${2:?--retries N} && shift ;;
        *) usage ;;
        esac
        shift
    done
    type bearerbox smsbox "$FAKESMSC" >/dev/null 2>&1 ||
        fail "Kannel is needed: apt-get install kannel kannel-extras"
    dir=$(state "$name")
    if running "$dir/bearerbox" || running "$dir/smsbox"; then fail "$name runs already; stop it first"; fi
    rm -rf "$dir"
    mkdir -p "$dir/bearerbox" "$dir/smsbox" "$dir/fakesmsc"
    free_ports 3 "$dir/ports"
    configuration "$dir" "$url" "$post" "$retries" >"$dir/kannel.conf"
    launch "$dir"
    echo "$url" >"$dir/address"
}

port() { sed -n "$2p" "$1/ports"; }

configuration() {
    local dir=$1 url=$2 post=$3 retries=$4 mark='?' query
    if [[ $url == *\?* ]]; then mark='&'; fi
    query="sender=%q&to=%P&ts=%T&id=%I&coding=%c"
    cat <<END
group = core
admin-port = $(port "$dir" 1)
admin-interface = 127.0.0.1
admin-password = tests
smsbox-port = $(port "$dir" 2)
smsbox-interface = 127.0.0.1
box-allow-ip = "127.0.0.1"
access-log = "$dir/bearerbox/access"

group = smsc
smsc = fake
smsc-id = fake
host = 127.0.0.1
port = $(port "$dir" 3)
connect-allow-ip = "127.0.0.1"

group = smsbox
bearerbox-host = 127.0.0.1
access-log = "$dir/smsbox/access"
http-request-retry = $retries
http-queue-delay = 1

# Nothing is ever sent back to the phone.
group = sms-service
keyword = default
catch-all = true
max-messages = 0
omit-empty = true
END
    if [[ $post ]]; then
        echo "send-sender = true"
        echo "post-url = \"$url$mark$query\""
    else
        echo "get-url = \"$url$mark$query&message=%b&charset=%C\""
    fi
}

launch() {
    local dir=$1
    spawn "$dir/bearerbox" bearerbox -v 1 "$dir/kannel.conf"
    until_true 10 port_open_or_gone "$dir/bearerbox" "$(port "$dir" 2)" ||
        give_up "$dir/bearerbox" "bearerbox does not listen after 10 s"
    spawn "$dir/smsbox" smsbox -v 1 "$dir/kannel.conf"
    until_true 15 connected_or_gone "$dir" || give_up "$dir/smsbox" "smsbox is not connected after 15 s"
    running "$dir/bearerbox" || give_up "$dir/bearerbox" "bearerbox ended"
    running "$dir/smsbox" || give_up "$dir/smsbox" "smsbox ended"
}

port_open_or_gone() { gone "$1" || port_open "$2"; }
connected_or_gone() {
    gone "$1/smsbox" || [[ $(status "$1") == *smsbox:*on-line* ]]
}

# status FOLDER: bearerbox's status page, over plain HTTP/1.0.
status() {
    {
        exec 3<>"/dev/tcp/127.0.0.1/$(port "$1" 1)"
        printf 'GET /status.txt?password=tests HTTP/1.0\r\n\r\n' >&3
        timeout 5 cat <&3
    } 2>/dev/null || true
}

# Lines of a log that hold a text; 0 when there is no log yet.
count() { grep -c -- "$2" "$1" 2>/dev/null || true; }
taken() { count "$1/bearerbox/access" ' Receive SMS '; }
answered() { count "$1/smsbox/access" "reply: 20[02] '<< successful >>'"; }

send() {
    local dir wanted texts=() line from to text
    dir=$(started "${1:?}")
    [[ ${2:-} =~ ^[1-9][0-9]*$ && -r ${3:-} ]] || usage
    if running "$dir/fakesmsc"; then fail "$1 is already sending"; fi
    # Not split by `read`: blanks at both ends of a text are the text's.
    while IFS= read -r line; do
        from=${line%% *} line=${line#* }
        to=${line%% *} text=${line#* }
        [[ ! $text || $text == "$line" ]] || texts+=("$from $to $(as_sent "$text")")
    done <"$3"
    ((${#texts[@]})) || fail "there is no text in $3"
    wanted=$(($(taken "$dir") + $2))
    spawn "$dir/fakesmsc" "$FAKESMSC" -H 127.0.0.1 -r "$(port "$dir" 3)" -i 0 -m "$2" "${texts[@]}"
    until_true $((30 + $2 / 100)) all_taken_or_gone "$dir" "$wanted" ||
        give_up "$dir/fakesmsc" "bearerbox took $(taken "$dir") of $wanted texts"
    running "$dir/fakesmsc" || give_up "$dir/fakesmsc" "the fake SMSC ended"
    force "$dir/fakesmsc"
}

all_taken_or_gone() { gone "$1/fakesmsc" || (($(taken "$1") >= $2)); }

# A phone sends Latin letters in seven bits and anything else as UCS-2; so does this (roughly: the
# seven-bit alphabet is not all of Latin-1).
as_sent() {
    if iconv -f UTF-8 -t ISO-8859-1 <<<"$1" >/dev/null 2>&1; then
        printf 'text %s\n' "$1"
    else
        printf 'ucs2 %s\n' "$(printf %s "$1" | iconv -f UTF-8 -t UTF-16BE | od -An -v -tx1 | tr -d '\n' | tr ' ' '%')"
    fi
}

settle() {
    local dir
    dir=$(started "${1:?}")
    until_true "${2:?SECONDS}" all_answered "$dir" ||
        fail "$(answered "$dir") of $(taken "$dir") texts have been answered 200 or 202"
}
all_answered() { (($(answered "$1") >= $(taken "$1"))); }

fetches() {
    local dir
    dir=$(started "${1:?}")
    sed -nE -e "s/.* url: '(.*)' reply: 20[02] '<< successful >>'$/ok \1/p; t" \
        -e "s/.* url: '(.*)' reply: .*/failed \1/p" "$dir/smsbox/access"
}

stop() {
    local dir
    dir=$(state "${1:?}")
    force "$dir/fakesmsc" "$dir/smsbox"
    signal TERM "$dir/bearerbox" || true
    until_true 3 gone "$dir/bearerbox" || force "$dir/bearerbox"
    rm -f "$dir/address" "$dir/ports"
}

command=${1:-}
shift || usage
case $command in
start) start "$@" ;;
send) send "$@" ;;
settle) settle "$@" ;;
fetches) fetches "$@" ;;
status) status "$(started "${1:?}")" ;;
stop) stop "$@" ;;
*) usage ;;
esac
