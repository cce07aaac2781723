#!/usr/bin/env bash
# A real Apache Cassandra node on loopback. It stands in for Scylla, which no package registry has:
# the CQL that the archive uses is understood by both.
#
#   cassandra.sh start NAME [--tls] [--set 'KEY: VALUE']…   starts, waits until it answers, prints host:port;
#                                --tls: by TLS only, with a certificate of the client, which its own (server.crt,
#                                server.key beside the authority) may be, and a password (cassandra, cassandra);
#                                --set adds a line to cassandra.yaml
#   cassandra.sh stop NAME       SIGTERM, and forgets its data
#   cassandra.sh kill NAME       kill -9; the data stay
#   cassandra.sh freeze NAME     SIGSTOP
#   cassandra.sh thaw NAME       SIGCONT
#   cassandra.sh restart NAME    starts it again on the same port and data (SIGTERM first if it runs)
#   cassandra.sh address NAME    host:port of the CQL listener
#   cassandra.sh ca NAME         path of the certificate it is checked against (only with --tls)
#   cassandra.sh log NAME        path of its log
#   cassandra.sh resolve         downloads the jars and does no more
#
# A write is answered after its commit log is synced: with the default, `periodic`, kill -9 forgets up to
# a second of answered writes, which elsewhere other replicas still have.

# shellcheck source=tests/services/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

start() {
    local name=${1:-} dir tls='' extra=()
    [[ -n $name ]] || usage
    shift
    while (($#)); do
        case $1 in
        --tls) tls=yes ;;
        --set) extra+=("${2:?--set 'KEY: VALUE'}") && shift ;;
        *) usage ;;
        esac
        shift
    done
    dir=$(state "$name")
    if running "$dir"; then fail "$name runs already; stop it first"; fi
    rm -rf "$dir"
    mkdir -p "$dir"
    class_path cassandra >"$dir/class-path"
    free_ports 2 "$dir/ports"
    settings "$dir" >"$dir/cassandra.yaml"
    if [[ $tls ]]; then
        certificates "$dir"
        secure "$dir" >>"$dir/cassandra.yaml"
    fi
    if ((${#extra[@]})); then printf '%s\n' "${extra[@]}" >>"$dir/cassandra.yaml"; fi
    echo "127.0.0.1:$(port "$dir" 1)" >"$dir/address"
    launch "$dir"
    cat "$dir/address"
}

port() { sed -n "$2p" "$1/ports"; }

settings() {
    local dir=$1
    cat <<END
cluster_name: tests
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
num_tokens: 1
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
native_transport_port: $(port "$dir" 1)
storage_port: $(port "$dir" 2)
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{seeds: "127.0.0.1:$(port "$dir" 2)"}]
data_file_directories: ["$dir/data/tables"]
commitlog_directory: "$dir/data/commitlog"
hints_directory: "$dir/data/hints"
saved_caches_directory: "$dir/data/caches"
cdc_raw_directory: "$dir/data/cdc"
commitlog_sync: group
commitlog_sync_group_window: 10ms
commitlog_segment_size: 8MiB
commitlog_total_space: 128MiB
memtable_heap_space: 128MiB
memtable_offheap_space: 128MiB
auto_snapshot: false
storage_compatibility_mode: NONE
END
}

secure() {
    cat <<END
authenticator: {class_name: PasswordAuthenticator}
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  keystore: $1/server.pem
  truststore: $1/ca.pem
  ssl_context_factory: {class_name: org.apache.cassandra.security.PEMBasedSslContextFactory}
END
}

launch() {
    local dir=$1 each
    for each in 1 2; do
        until_true 10 port_closed "$(port "$dir" $each)" || fail "port $(port "$dir" $each) is in use"
    done
    spawn "$dir" java -XX:TieredStopAtLevel=1 -Xms256m -Xmx512m -XX:+UseG1GC \
        -Djdk.attach.allowAttachSelf=true -Dio.netty.tryReflectionSetAccessible=true \
        "-Dcassandra.config=file://$dir/cassandra.yaml" "-Dcassandra.storagedir=$dir/data" \
        -Dcassandra-foreground=yes "-Dlogback.configurationFile=$SERVICES_DIR/cassandra.logback.xml" \
        -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=0 \
        -Dcassandra.superuser_setup_delay_ms=0 \
        --add-exports=java.base/{jdk.internal.misc,java.lang.ref}=ALL-UNNAMED \
        --add-exports=java.management.rmi/com.sun.jmx.remote.internal.rmi=ALL-UNNAMED \
        --add-exports=java.rmi/{sun.rmi.registry,sun.rmi.server}=ALL-UNNAMED \
        --add-exports=java.sql/java.sql=ALL-UNNAMED --add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED \
        --add-exports=jdk.attach/sun.tools.attach=ALL-UNNAMED \
        --add-opens=java.base/{java.lang.module,jdk.internal.loader,jdk.internal.ref,jdk.internal.reflect}=ALL-UNNAMED \
        --add-opens=java.base/{jdk.internal.math,jdk.internal.module,jdk.internal.util.jar,sun.nio.ch}=ALL-UNNAMED \
        --add-opens=java.base/{java.io,java.nio,java.lang,java.lang.reflect,java.util}=ALL-UNNAMED \
        --add-opens=java.base/{java.util.concurrent,java.util.concurrent.atomic}=ALL-UNNAMED \
        --add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED \
        -cp "$(<"$dir/class-path")" org.apache.cassandra.service.CassandraDaemon
    until_true 120 ready_or_gone "$dir" || give_up "$dir" "Cassandra is not ready after 120 s"
    running "$dir" || give_up "$dir" "Cassandra ended"
}

ready_or_gone() {
    running "$1" || return 0
    if [[ -e $1/ca.pem ]]; then
        [[ $(startup | timeout 2 openssl s_client -quiet -cert "$1/server.crt" -key "$1/server.key" \
            -connect "127.0.0.1:$(port "$1" 1)" 2>/dev/null | opcode) == [23] ]]
    else
        [[ $(startup_answer "$(port "$1" 1)") == [23] ]]
    fi
}

# A STARTUP frame, and the opcode of its answer: 2 is READY, 3 asks for a password.
startup() { printf '\x04\0\0\0\x01\0\0\0\x16\0\x01\0\x0bCQL_VERSION\0\x053.0.0'; }
opcode() { head -c 5 | od -An -tu1 -j4 2>/dev/null | tr -d ' '; }

# startup_answer PORT
startup_answer() {
    {
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        startup >&3
        timeout 2 head -c 5 <&3 | opcode
    } 2>/dev/null || true
}

stop() {
    local dir
    dir=$(state "${1:?}")
    terminate "$dir"
    rm -rf "$dir/data" "$dir/address" "$dir/ports"
}

restart() {
    local dir
    dir=$(started "$1")
    terminate "$dir"
    launch "$dir"
}

signal_node() {
    local dir
    dir=$(started "$2")
    signal "$1" "$dir" || fail "$2 does not run"
}

command=${1:-}
shift || usage
case $command in
start) start "$@" ;;
stop) stop "$@" ;;
kill) force "$(started "${1:?}")" ;;
freeze) signal_node STOP "$@" ;;
thaw) signal_node CONT "$@" ;;
restart) restart "$@" ;;
ca) ls "$(started "${1:?}")/ca.pem" ;;
address) cat "$(started "${1:?}")/address" ;;
log) echo "$(started "${1:?}")/log" ;;
resolve) class_path cassandra >/dev/null ;;
*) usage ;;
esac
