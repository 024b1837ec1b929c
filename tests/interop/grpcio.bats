# SPDX-License-Identifier: Apache-2.0
# The daemon's API as a foreign gRPC implementation sees it; each test is a case of grpc-client.py.

: "${CTR:=ours}" "${DAEMON:=ours}" "${SHIM:=ours}"
export CTR DAEMON SHIM

load lib

setup_file()
{
    stack
    start_daemon
    protoc -I "$TOP" --include_imports --descriptor_set_out="$T/api.pb" \
        $(cd "$TOP" && ls proto/*.proto)
    DAEMON_PID=$(cat "$T/daemon.pid")
    export DAEMON_PID
}

teardown_file()
{
    end_stack
}

client()
{
    run timeout -k 5 90 /usr/bin/python3 "$TOP/tests/interop/grpc-client.py" "$T/api.pb" "$T/c.sock" "$1"
    echo "$output"
    ((status == 0)) || show_log
    ((status == 0))
    kill -0 "$DAEMON_PID"
}

@test "version" {
    client version
}

@test "health" {
    client health
}

@test "introspection" {
    client introspection
}

@test "namespace life" {
    client namespace_life
}

@test "namespace is required" {
    client namespace_is_required
}

@test "content 20 mb slow reader" {
    client content_20_mb_slow_reader
}

@test "content errors" {
    client content_errors
}

@test "content resumed" {
    client content_resumed
}

@test "content locked" {
    client content_locked
}

@test "containers and filters" {
    client containers_and_filters
}

@test "images" {
    client images
}

@test "leases" {
    client leases
}

@test "snapshots" {
    client snapshots
}

@test "events" {
    client events
}

@test "unknown service and method" {
    client unknown_service_and_method
}

@test "malformed messages" {
    client malformed_messages
}

@test "compressed request" {
    client compressed_request
}

@test "deadline" {
    client deadline
}

@test "message size" {
    client message_size
}

@test "encoded error text" {
    client encoded_error_text
}

@test "cancellation" {
    client cancellation
}

@test "slow readers do not delay others" {
    client slow_readers_do_not_delay_others
}

@test "many calls at once" {
    client many_calls_at_once
}

@test "tasks of nobody" {
    client tasks_of_nobody
}

@test "every case of the client has a test here" {
    for name in $(/usr/bin/python3 "$TOP/tests/interop/grpc-client.py" --list); do
        grep -qx "    client $name" "$BATS_TEST_FILENAME"
    done
}
