#!/usr/bin/env bash
# A real Apache Kafka cluster on loopback, for tests and for trying things out.
#
#   kafka.sh start NAME BROKERS [--tls] [--rights] [--auto-create=true] [--set KEY=VALUE]…
#                               starts 1 or 3 brokers, waits until ready, prints their addresses;
#                               --tls adds a SASL_SSL listener (SCRAM-SHA-512 and PLAIN),
#                               --rights allows users what a rule says and no more (who comes without TLS may do
#                               all), and has every question of rights in the log,
#                               --set adds or replaces a line of server.properties
#   kafka.sh stop NAME [ID…]    SIGTERM to all and forgets their data; with IDs to those brokers only
#   kafka.sh kill NAME ID…      kill -9; back when they are gone and their ports are free
#   kafka.sh freeze NAME ID…    SIGSTOP
#   kafka.sh thaw NAME ID…      SIGCONT
#   kafka.sh restart NAME ID…   starts brokers again on the same ports and data (those that still run
#                               get a SIGTERM first); name all at once where a majority is down
#   kafka.sh address NAME [ID]  plaintext addresses, for `bootstrap.servers`
#   kafka.sh tls-address NAME   SASL_SSL addresses (only with --tls)
#   kafka.sh ca NAME            path of the certificate they are checked against
#   kafka.sh password NAME NEW  from now on the password for SCRAM-SHA-512; what is connected stays so
#   kafka.sh user NAME          one line: name, password for SCRAM-SHA-512, password for PLAIN
#   kafka.sh log NAME ID        path of a broker's log
#   kafka.sh resolve            downloads the jars and does no more
#
# Each broker is also a controller (KRaft). One broker: replication 1. Three: replication 3,
# min.insync.replicas 2. IDs count from 1. Sessions are the shortest that work (1 s), so that a killed
# broker is fenced, and may register again, after 1–2 s instead of 9–11. A missing topic is refused
# unless --auto-create=true.

# shellcheck source=tests/services/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

USER_NAME=sms-router
SCRAM_PASSWORD='scram-of-the-tests'
PLAIN_PASSWORD='plain-of-the-tests'

start() {
    local name=${1:-} brokers=${2:-} tls='' auto_create=false extra=() options=() dir
    [[ -n $name && $brokers =~ ^[1-9]$ ]] || usage
    shift 2
    while (($#)); do
        case $1 in
        --tls) tls=yes ;;
        --rights)
            extra+=(authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
                super.users=User:ANONYMOUS)
            options+=(-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=debug)
            ;;
        --auto-create=*) auto_create=${1#*=} ;;
        --set) extra+=("${2:?--set KEY=VALUE}") && shift ;;
        *) usage ;;
        esac
        shift
    done
    dir=$(state "$name")
    running_ids "$dir" | grep . >/dev/null && fail "$name runs already; stop it first"
    rm -rf "$dir"
    mkdir -p "$dir"
    class_path kafka >"$dir/class-path"
    echo "${options[@]}" >"$dir/options"
    configure "$dir" "$brokers" "$tls" "$auto_create" "${extra[@]}"
    format "$dir" "$brokers" "$tls"
    # shellcheck disable=SC2046 # the ids are meant to be words
    launch "$dir" $(seq "$brokers")
    cat "$dir/address"
}

# Three ports for each broker: plaintext, controller, SASL_SSL.
configure() {
    local dir=$1 brokers=$2 tls=$3 auto_create=$4 id voters='' addresses='' tls_addresses='' port
    shift 4
    free_ports $((brokers * 3)) "$dir/ports"
    mapfile -t port <"$dir/ports"
    for ((id = 1; id <= brokers; id++)); do
        voters+=,$id@127.0.0.1:${port[3 * id - 2]}
        addresses+=,127.0.0.1:${port[3 * id - 3]}
        tls_addresses+=,127.0.0.1:${port[3 * id - 1]}
    done
    echo "${addresses#,}" >"$dir/address"
    if [[ $tls ]]; then
        echo "${tls_addresses#,}" >"$dir/tls-address"
        certificates "$dir"
    fi
    for ((id = 1; id <= brokers; id++)); do
        mkdir -p "$dir/$id"
        properties "$dir" "$brokers" "$id" "${voters#,}" "$tls" "$auto_create" \
            "${port[@]:3*id-3:3}" >"$dir/$id/server.properties"
        # The last line of a key counts, so what the caller sets comes last.
        if (($#)); then printf '%s\n' "$@" >>"$dir/$id/server.properties"; fi
        echo "${port[3 * id - 3]}" >"$dir/$id/port"
        echo "${port[3 * id - 2]}" >"$dir/$id/controller-port"
    done
}

properties() {
    local dir=$1 brokers=$2 id=$3 voters=$4 tls=$5 auto_create=$6 plain=$7 controller=$8 secure=$9
    local copies=1 in_sync=1 listeners advertised map
    if ((brokers >= 3)); then copies=3 in_sync=2; fi
    advertised=PLAINTEXT://127.0.0.1:$plain
    map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
    if [[ $tls ]]; then
        advertised+=,SASL_SSL://127.0.0.1:$secure
        map+=,SASL_SSL:SASL_SSL
    fi
    listeners=$advertised,CONTROLLER://127.0.0.1:$controller
    cat <<END
process.roles=broker,controller
node.id=$id
controller.quorum.voters=$voters
listeners=$listeners
advertised.listeners=$advertised
listener.security.protocol.map=$map
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/$id/data
auto.create.topics.enable=$auto_create
default.replication.factor=$copies
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$copies
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$in_sync
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$in_sync
log.retention.hours=96
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
log.cleaner.dedupe.buffer.size=2097152
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=250
replica.lag.time.max.ms=1000
controller.quorum.fetch.timeout.ms=1500
controller.quorum.election.timeout.ms=500
END
    [[ $tls ]] || return 0
    cat <<END
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_$USER_NAME="$PLAIN_PASSWORD";
ssl.keystore.type=PEM
ssl.keystore.location=$dir/server.pem
ssl.truststore.type=PEM
ssl.truststore.location=$dir/ca.pem
END
}

# Only SCRAM's: PLAIN's is a line of the brokers' settings.
password() {
    local dir=$1 new=$2
    java -XX:TieredStopAtLevel=1 -cp "$(<"$dir/class-path")" kafka.admin.ConfigCommand \
        --bootstrap-server "$(<"$dir/address")" --alter --entity-type users --entity-name "$USER_NAME" \
        --add-config "SCRAM-SHA-512=[password=$new]" >"$dir/password.log" 2>&1 || fail "log: $dir/password.log"
}

# All brokers at once: each is a JVM of its own. An id may begin with a dash, hence --cluster-id=.
format() {
    local dir=$1 brokers=$2 tls=$3 id cluster users=() jobs=()
    cluster=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
    if [[ $tls ]]; then
        users=(--add-scram "SCRAM-SHA-512=[name=$USER_NAME,password=$SCRAM_PASSWORD]")
    fi
    for ((id = 1; id <= brokers; id++)); do
        java -XX:TieredStopAtLevel=1 -cp "$(<"$dir/class-path")" kafka.tools.StorageTool format \
            "--cluster-id=$cluster" -c "$dir/$id/server.properties" "${users[@]}" \
            >"$dir/$id/log" 2>&1 </dev/null &
        jobs+=("$!")
    done
    for ((id = 1; id <= brokers; id++)); do
        wait "${jobs[id - 1]}" || give_up "$dir/$id" "broker $id could not format its storage"
    done
}

# launch FOLDER ID…: together, because none is ready before a majority is up.
launch() {
    local dir=$1 id options
    shift
    read -ra options <"$dir/options"
    for id; do
        until_true 10 port_closed "$(<"$dir/$id/port")" || fail "the port of broker $id is in use"
        until_true 10 port_closed "$(<"$dir/$id/controller-port")" ||
            fail "the controller port of broker $id is in use"
        spawn "$dir/$id" java -XX:TieredStopAtLevel=1 -Xms128m -Xmx512m -XX:+UseG1GC \
            -Dorg.slf4j.simpleLogger.showDateTime=true -Dorg.slf4j.simpleLogger.showThreadName=false \
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS" "${options[@]}" \
            -cp "$(<"$dir/class-path")" kafka.Kafka "$dir/$id/server.properties"
    done
    for id; do
        until_true 90 ready_or_gone "$dir" "$id" || give_up "$dir/$id" "broker $id is not ready after 90 s"
        running "$dir/$id" || give_up "$dir/$id" "broker $id ended"
    done
}

# A broker is ready when it names as many live brokers as processes run; one that is still starting
# says fewer. A frozen one drops out of that number once its session has ended.
ready_or_gone() {
    local dir=$1 id=$2
    running "$dir/$id" || return 0
    (($(live_brokers "$(<"$dir/$id/port")") >= $(responsive_ids "$dir" | wc -l)))
}

# live_brokers PORT: a metadata request for no topics (version 1) and the length of the list of
# brokers in its answer; 0 if there is no answer. An open port alone would be too early.
live_brokers() {
    local count
    count=$({
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        printf '\0\0\0\x16\0\x03\0\x01\0\0\0\x01\0\x08services\0\0\0\0' >&3
        timeout 2 head -c 12 <&3 | od -An -tu4 --endian=big | awk '{ print $3 }'
    } 2>/dev/null) || true
    echo "${count:-0}"
}

ids() { find "$1" -mindepth 1 -maxdepth 1 -name '[1-9]' -printf '%f\n' 2>/dev/null | sort; }
running_ids() {
    local id
    for id in $(ids "$1"); do if running "$1/$id"; then echo "$id"; fi; done
}
responsive_ids() {
    local id
    for id in $(running_ids "$1"); do if ! frozen "$1/$id"; then echo "$id"; fi; done
}

# folders NAME ID…: sets `folder`, an array, to the folders of those brokers.
folders() {
    local dir id
    dir=$(started "$1")
    shift
    (($#)) || usage
    folder=()
    for id; do
        [[ -d $dir/$id ]] || fail "there is no broker $id"
        folder+=("$dir/$id")
    done
}

stop() {
    local dir folder=()
    if (($# > 1)); then
        folders "$@"
        terminate "${folder[@]}"
        return
    fi
    dir=$(state "${1:?}")
    mapfile -t folder < <(running_ids "$dir" | sed "s|^|$dir/|")
    terminate "${folder[@]}"
    rm -rf "$dir"/*/data "$dir/address" "$dir/ports"
}

kill_brokers() {
    local folder each
    folders "$@"
    force "${folder[@]}"
    # A killed JVM is a zombie a moment before the kernel takes its sockets away.
    for each in "${folder[@]}"; do until_true 10 port_closed "$(<"$each/port")"; done
}

signal_brokers() {
    local how=$1 folder each
    shift
    folders "$@"
    for each in "${folder[@]}"; do signal "$how" "$each" || fail "$each does not run"; done
}

restart() {
    local dir folder
    dir=$(started "$1")
    folders "$@"
    terminate "${folder[@]}"
    shift
    launch "$dir" "$@"
}

address() {
    local dir
    dir=$(started "$1")
    if [[ ${2:-} ]]; then cut -d, -f"$2" "$dir/address"; else cat "$dir/address"; fi
}

command=${1:-}
shift || usage
case $command in
start) start "$@" ;;
stop) stop "$@" ;;
kill) kill_brokers "$@" ;;
freeze) signal_brokers STOP "$@" ;;
thaw) signal_brokers CONT "$@" ;;
restart) restart "$@" ;;
address) address "$@" ;;
tls-address) cat "$(started "$1")/tls-address" ;;
ca) ls "$(started "$1")/ca.pem" ;;
password) password "$(started "$1")" "${2:?}" ;;
user) echo "$USER_NAME $SCRAM_PASSWORD $PLAIN_PASSWORD" ;;
log) echo "$(started "$1")/${2:?}/log" ;;
resolve) class_path kafka >/dev/null ;;
*) usage ;;
esac
