# SPDX-License-Identifier: Apache-2.0
# containerd's own Go client (its 2.x module) against the daemon; each test is a case of
# goclient/main.go. tests/interop/run builds the program outside of the sandbox.

: "${CTR:=ours}" "${DAEMON:=ours}" "${SHIM:=ours}"
export CTR DAEMON SHIM

load lib

setup_file()
{
    [ ! -e "$CTD_CACHE/goclient.reason" ] || return 0
    stack
    start_daemon
}

teardown_file()
{
    end_stack
}

setup()
{
    [ ! -e "$CTD_CACHE/goclient.reason" ] || skip "$(cat "$CTD_CACHE/goclient.reason")"
}

client()
{
    run timeout -k 5 100 "$CTD_CACHE/goclient" "$T/c.sock" "$T/image.tar" "$1"
    echo "$output"
    ((status == 0)) || show_log
    ((status == 0))
}

@test "version, health, server" {
    client version
}

@test "import and unpack" {
    client import
}

@test "container: create, start, wait, delete; input, output, exit code" {
    client container
}

@test "exec, pids, metrics, pause, resume" {
    client exec
}

@test "events" {
    client events
}

@test "leases" {
    client leases
}

@test "content" {
    client content
}

@test "snapshots" {
    client snapshots
}

@test "a second client finds the running task and its exit" {
    client reconnect
}

@test "eight containers at once" {
    client parallel
}

@test "remove the image; nothing is left" {
    client remove
    nothing_left
}
