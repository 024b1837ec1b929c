# SPDX-License-Identifier: Apache-2.0
# Sandboxes: our ctr, daemon and shim, since nobody else's shim for runc has them.

CTR=ours DAEMON=ours SHIM=ours
load lib

setup_file()
{
    export CTR DAEMON SHIM
    stack
    start_daemon
    import_image
    ctr oci spec >"$T/pod.json"
}

teardown_file()
{
    end_stack
}

teardown()
{
    [ -n "$BATS_TEST_COMPLETED" ] || { show_log 20; remove_all; ctr sandboxes rm -f pod >/dev/null 2>&1 || :; }
}

c()
{
    run --separate-stderr ctr "$@"
    echo "ctr $* = $status: $output${stderr:+ / stderr: $stderr}"
}

shims()
{
    pgrep -cf 'containerd-shim-runc-v2 -namespace' || :
}

no_shims()
{
    [ "$(shims)" -eq 0 ]
}

@test "run, list, info" {
    c sandboxes run "$T/pod.json" pod
    ((status == 0))
    [ "$output" = pod ]
    [ "$(shims)" -eq 1 ]
    c sandboxes ls
    matches "${lines[0]}" '^ID +CREATED +RUNTIME *$'
    matches "${lines[1]}" '^pod +[0-9-]+ [0-9:.]+ \+0000 UTC +io.containerd.runc.v2 *$'
    c sandboxes ls --filters id==other
    ((${#lines[@]} == 1))
    c sandboxes info pod
    [ "$(jq -r '.ID, .Sandboxer, .Runtime.Name, .Spec.ociVersion' <<<"$output" | head -n 3 | xargs)" = \
        'pod shim io.containerd.runc.v2' ]
    [ -e "$T/state/io.containerd.sandbox.controller.v1.shim/$CTD_NS/pod/config.json" ]
}

@test "a name that is taken, and ones that are not there" {
    c sandboxes run "$T/pod.json" pod
    ((status != 0))
    matches "$stderr" 'sandbox bucket "pod" already exists'
    c sandboxes info nosuch
    ((status != 0))
    matches "$stderr" 'nosuch.*not found'
    c sandboxes run "$T/nosuch.json" other
    ((status != 0))
    matches "$stderr" 'failed to read sandbox config'
    c sandboxes run --runtime io.containerd.nosuch.v1 "$T/pod.json" other
    ((status != 0))
    matches "$stderr" 'containerd-shim-nosuch-v1'
    c sandboxes ls
    ((${#lines[@]} == 2))
    c namespaces rm "$CTD_NS"
    ((status != 0))
    matches "$stderr" 'sandboxes'
}

@test "containers share the sandbox's shim" {
    c run -d --sandbox pod "$IMAGE" one /bin/sleep 1000
    ((status == 0))
    c run -d --sandbox pod "$IMAGE" two /bin/sleep 1000
    ((status == 0))
    [ "$(shims)" -eq 1 ]
    [ "$(cat "$T/state/io.containerd.runtime.v2.task/$CTD_NS/one/sandbox")" = pod ]
    c run --rm --sandbox pod "$IMAGE" three /bin/sh -c 'echo out; exit 3'
    ((status == 3))
    [ "$output" = out ]
    [ "$(shims)" -eq 1 ]
    task_is one RUNNING
    remove two
    task_is one RUNNING
    c run -d --sandbox nosuch "$IMAGE" alone /bin/sleep 1000
    ((status == 0))
    [ "$(shims)" -eq 2 ]
    remove alone
}

@test "a restart of the daemon" {
    stop_daemon
    [ "$(shims)" -eq 1 ]
    start_daemon
    task_is one RUNNING
    c run --rm --sandbox pod "$IMAGE" four /bin/sh -c 'exit 4'
    ((status == 4))
    [ "$(shims)" -eq 1 ]
    c tasks exec --exec-id e1 one /bin/echo in-exec
    [ "$output" = in-exec ]
}

@test "the daemon killed" {
    stop_daemon KILL
    start_daemon
    task_is one RUNNING
    c run --rm --sandbox pod "$IMAGE" five /bin/sh -c 'exit 5'
    ((status == 5))
}

@test "remove: containers end, the shim goes, containers without it stay records" {
    c sandboxes rm pod
    ((status == 0))
    until_true 10 no_shims
    c sandboxes ls
    ((${#lines[@]} == 1))
    until_true 10 task_is_not_running one
    c tasks ls -q
    [ -z "$output" ]
    remove one
    nothing_left
    [ -z "$(find "$T"/{state,root}/io.containerd.sandbox.controller.v1.shim -mindepth 2)" ]
}

@test "a shim that is killed: all is cleaned up, the record stays until it is removed" {
    c sandboxes run "$T/pod.json" pod
    ((status == 0))
    c run -d --sandbox pod "$IMAGE" one /bin/sleep 1000
    ((status == 0))
    kill -KILL $(pgrep -f 'containerd-shim-runc-v2 -namespace')
    until_true 10 is_empty ctr tasks ls -q
    c sandboxes ls
    ((${#lines[@]} == 2))
    c run -d --sandbox pod "$IMAGE" late /bin/sleep 1000
    ((status != 0))
    matches "$stderr" "can't find shim for sandbox pod"
    remove one late
    c sandboxes rm pod
    ((status == 0))
    nothing_left
}

@test "a shim without sandboxes: an error, and nothing left" {
    # The distribution's program under a name of its own.
    ln -s /usr/bin/containerd-shim-runc-v2 "$T/bin/containerd-shim-other-v2"
    c sandboxes run --runtime io.containerd.other.v2 "$T/pod.json" pod
    ((status != 0))
    matches "$stderr" 'failed to create sandbox pod'
    c sandboxes ls
    ((${#lines[@]} == 1))
    nothing_left
}
