#!/usr/bin/env bash
# A real Jasmin gateway on loopback, with RabbitMQ and Redis of its own, and a message centre for it.
#
#   jasmin.sh start NAME URL [--get] [--retries N]
#                               every text is pushed to URL, by POST or GET; --retries: how often a
#                               failed push is tried again, 1 s apart (3, Jasmin's default; there
#                               30 s apart)
#   jasmin.sh send NAME FILE [HOW]   the message centre (jasmin_smsc.py, which says what HOW is) sends
#                               the texts of FILE, lines `FROM TO TEXT`; back when Jasmin has taken all
#   jasmin.sh settle NAME COUNT SECONDS   waits until COUNT pushes have been acknowledged and nothing
#                               is queued any more
#   jasmin.sh pushes NAME       what Jasmin did, one line for each push that ended: `ok ID`, `failed ID`
#                               or, when it has given up, `lost ID`
#   jasmin.sh stop NAME
#
# Jasmin is the one in target/tests/venv-jasmin, which `tests/run jasmin` installs.
#
# Learnt from Jasmin 0.11.1 with Debian's RabbitMQ 3.10 and Redis 7.0:
# - It takes its spec of AMQP from a file that its package lacks; txAMQP, which it needs, has one.
# - Its own SMPP server has to run: the thrower and jCli want it, asked for or not.
# - jCli reads the next line before it has answered `ok` to a message centre's settings and takes it for
#   one more of them: wait for the answer. A receiver is known to the session that added it, and to no
#   other before `persist`.
# - The push has `coding` as an octet (`coding=%08`), not in digits, and no `validity` if there is none.
# - It joins pieces whose reference has 8 bits, and those of SAR, but not those of 16 bits. It joins when
#   the last piece comes, which must be the last to come; its key is reference and receiver, for 5
#   minutes, without the sender: another long text with that reference is lost. It has one connection
#   to Redis here (10 unless told), so that pieces cannot overtake one another on their way there.
# - It takes all that is queued at once, so what is refused is tried again all at once.

# shellcheck source=tests/services/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

PYTHON=$CACHE_DIR/venv-jasmin/bin/python
PATH=$PATH:/usr/sbin
RABBITMQ=/usr/lib/rabbitmq/bin

start() {
    local name=${1:-} url=${2:-} method=POST retries=3 dir
    [[ -n $name && -n $url ]] || usage
    shift 2
    while (($#)); do
        case $1 in
        --get) method=GET ;;
        --retries) retries=${2:?--retries N} && shift ;;
        *) usage ;;
        esac
        shift
    done
    [[ -x $PYTHON ]] || fail "Jasmin is needed: tests/run jasmin"
    type epmd redis-server "$RABBITMQ/rabbitmq-server" >/dev/null 2>&1 ||
        fail "RabbitMQ and Redis are needed: apt-get install rabbitmq-server redis-server"
    dir=$(state "$name")
    if running "$dir/jasmin" || running "$dir/rabbitmq"; then fail "$name runs already; stop it first"; fi
    rm -rf "$dir"
    mkdir -p "$dir"/{epmd,rabbitmq/data,redis/data,jasmin/logs,jasmin/store}
    free_ports 10 "$dir/ports"
    launch_queue "$dir"
    configuration "$dir" "$retries" >"$dir/jasmin/jasmin.cfg"
    launch_jasmin "$dir"
    connect "$dir" "$url" "$method"
    echo "$url" >"$dir/address"
}

# port FOLDER WHAT
port() {
    local what number=0
    for what in epmd amqp distribution redis jcli router clients smpp smpp-admin smsc; do
        number=$((number + 1))
        [[ $what != "$2" ]] || sed -n "${number}p" "$1/ports"
    done
}

# ---- RabbitMQ and Redis --------------------------------------------------------------------------

# environment FOLDER: sets `environment`, in which RabbitMQ reads nothing of the machine's own. Its start
# script would stay beside it as a shell, and it would outlive that: told of systemd, it becomes RabbitMQ.
environment() {
    local dir=$1/rabbitmq
    environment=(
        HOME="$dir" RUNNING_UNDER_SYSTEMD=true ERL_CRASH_DUMP_BYTES=0
        ERL_EPMD_PORT="$(port "$1" epmd)" ERL_EPMD_ADDRESS=127.0.0.1
        RABBITMQ_NODENAME=jasmin@localhost RABBITMQ_CONF_ENV_FILE=/dev/null
        RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf" RABBITMQ_ADVANCED_CONFIG_FILE="$dir/advanced.config"
        RABBITMQ_ENABLED_PLUGINS_FILE="$dir/plugins" RABBITMQ_MNESIA_BASE="$dir/data"
        RABBITMQ_LOG_BASE="$dir" RABBITMQ_LOGS=-
        RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$(port "$1" amqp)"
        RABBITMQ_DIST_PORT="$(port "$1" distribution)"
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
    )
}

launch_queue() {
    local dir=$1
    : >"$dir/rabbitmq/rabbitmq.conf"
    echo '[].' | tee "$dir/rabbitmq/plugins" >"$dir/rabbitmq/advanced.config"
    # Started by hand: RabbitMQ would leave one behind that nobody has a pid of.
    spawn "$dir/epmd" epmd -port "$(port "$dir" epmd)" -address 127.0.0.1
    until_open "$dir" epmd epmd 10
    spawn "$dir/redis" redis-server --port "$(port "$dir" redis)" --bind 127.0.0.1 --save '' --appendonly no \
        --dir "$dir/redis/data"
    environment "$dir"
    spawn "$dir/rabbitmq" env "${environment[@]}" "$RABBITMQ/rabbitmq-server"
    until_open "$dir" redis redis 10
    until_open "$dir" rabbitmq amqp 60
}

# until_open FOLDER SERVICE PORT SECONDS
until_open() {
    until_true "$4" port_open_or_gone "$1/$2" "$(port "$1" "$3")" ||
        give_up "$1/$2" "$2 does not listen after $4 s"
    running "$1/$2" || give_up "$1/$2" "$2 ended"
}
port_open_or_gone() { gone "$1" || port_open "$2"; }

# Messages that any queue holds, those that are with Jasmin included; nothing where that cannot be told.
queued() {
    environment "$1"
    env "${environment[@]}" "$RABBITMQ/rabbitmqctl" -q list_queues name messages 2>/dev/null |
        awk '$1 == "deliver_sm_thrower" { found = 1 } NR > 1 { sum += $2 } END { if (found) print sum + 0 }'
}

# ---- Jasmin --------------------------------------------------------------------------------------

configuration() {
    local dir=$1 retries=$2 spec
    spec=$("$PYTHON" -c 'import pathlib, txamqp; print(pathlib.Path(txamqp.__file__).parent)')
    cat <<END
[amqp-broker]
port = $(port "$dir" amqp)
spec = $spec/specs/standard/amqp0-9-1.stripped.xml

[redis-client]
port = $(port "$dir" redis)
poolsize = 1

[jcli]
bind = 127.0.0.1
port = $(port "$dir" jcli)
authentication = no

[router]
bind = 127.0.0.1
port = $(port "$dir" router)

[client-management]
bind = 127.0.0.1
port = $(port "$dir" clients)

[smpp-server]
bind = 127.0.0.1
port = $(port "$dir" smpp)

[smpp-server-pb]
bind = 127.0.0.1
port = $(port "$dir" smpp-admin)

[deliversm-thrower]
retry_delay = 1
max_retries = $retries
# Else it does not say what was acknowledged.
log_level = DEBUG
END
}

launch_jasmin() {
    local dir=$1
    spawn "$dir/jasmin" env LOG_PATH="$dir/jasmin/logs" STORE_PATH="$dir/jasmin/store" \
        "$PYTHON" "$SERVICES_DIR/jasmin_daemon.py" --config "$dir/jasmin/jasmin.cfg" \
        --enable-deliver-thrower --disable-http-api
    until_open "$dir" jasmin jcli 30
    # It goes on without what it could not start.
    ! grep -q 'Cannot ' "$dir/jasmin/log" || give_up "$dir/jasmin" "Jasmin did not start whole"
}

# connect FOLDER URL METHOD: what an operator types, from the message centre to us.
connect() {
    local dir=$1 url=$2 method=$3
    jcli "$dir" 'Successfully added MORoute' 'httpccm -a' 'cid router' "method $method" "url $url" ok \
        'morouter -a' 'type defaultroute' 'connector http(router)' ok
    jcli "$dir" 'Successfully added connector' 'smppccm -a' 'cid smsc' 'host 127.0.0.1' \
        "port $(port "$dir" smsc)" 'con_fail_delay 1' 'con_loss_delay 1' ok
    jcli "$dir" 'Successfully started connector' 'smppccm -1 smsc'
}

# jcli FOLDER ANSWER LINE…: types the lines and waits for the answer.
jcli() {
    local dir=$1 answer=$2 line said=''
    shift 2
    exec 3<>"/dev/tcp/127.0.0.1/$(port "$dir" jcli)"
    printf '%s\r\n' "$@" >&3
    while IFS= read -r -t 10 line <&3; do
        said+=$line$'\n'
        if [[ $line == *"$answer"* ]]; then
            exec 3>&-
            return
        fi
    done
    printf '%s' "$said" >&2
    fail "Jasmin did not answer '$answer' to '$1'"
}

# ---- texts ---------------------------------------------------------------------------------------

send() {
    local dir
    dir=$(started "${1:?}")
    [[ -r ${2:-} ]] || usage
    "$PYTHON" "$SERVICES_DIR/jasmin_smsc.py" "$(port "$dir" smsc)" "$2" "${3:-udh}"
}

pushes() {
    local id='\[msgid:([^]]*)\]'
    sed -nE -e "s/.* Destination end replied to message $id: 'ACK\/Jasmin'\$/ok \1/p; t" \
        -e "s/.* ERROR .* Throwing message $id .*/failed \1/p; t" \
        -e "s/.* Message .*$id: purged from queue\$/lost \1/p" \
        -e "s/.* Message $id is no more processed .*/lost \1/p" "$1/jasmin/logs/deliversm-thrower.log"
}

settle() {
    local dir
    dir=$(started "${1:?}")
    until_true "${3:?SECONDS}" acknowledged "$dir" "${2:?COUNT}" ||
        fail "$(pushes "$dir" | cut -d ' ' -f 1 | sort | uniq -c | xargs), where $2 were to be acknowledged"
    until_true 10 nothing_queued "$dir" || fail "Jasmin still has $(queued "$dir") messages in its queues"
}
acknowledged() { (($(pushes "$1" | grep -c '^ok ') >= $2)); }
nothing_queued() { [[ $(queued "$1") == 0 ]]; }

stop() {
    local dir
    dir=$(state "${1:?}")
    force "$dir/jasmin" "$dir/rabbitmq" "$dir/redis" "$dir/epmd"
    rm -f "$dir/address" "$dir/ports"
}

command=${1:-}
shift || usage
case $command in
start) start "$@" ;;
send) send "$@" ;;
settle) settle "$@" ;;
pushes) pushes "$(started "${1:?}")" ;;
stop) stop "$@" ;;
*) usage ;;
esac
