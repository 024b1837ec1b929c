# SPDX-License-Identifier: Apache-2.0
# The life of images and containers under one choice of CTR, DAEMON and SHIM (ours or stock).
# tests/interop/run goes through all eight.

load lib

setup_file()
{
    stack
    start_daemon
}

teardown_file()
{
    end_stack
}

setup()
{
    import_image_once
}

teardown()
{
    [ -n "$BATS_TEST_COMPLETED" ] || { show_log; remove_all; }
}

import_image_once()
{
    [ -e "$T/imported" ] || { import_image && : >"$T/imported"; }
}

c()
{
    run --separate-stderr ctr "$@"
    echo "ctr $* = $status: $output${stderr:+ / stderr: $stderr}"
}

@test "version: client and server answer" {
    c version
    ((status == 0))
    matches "$output" 'Client:.*Version:.*Server:.*Version:'
}

@test "plugins: the ones that containers need are ok" {
    c plugins ls
    ((status == 0))
    matches "$output" 'io.containerd.snapshotter.v1 +overlayfs .*ok'
    matches "$output" 'io.containerd.content.v1 +content .*ok'
}

@test "images: import, list, tag, remove" {
    c images ls
    ((status == 0))
    matches "${lines[0]}" '^REF +TYPE +DIGEST +SIZE +PLATFORMS +LABELS'
    matches "$output" "$IMAGE +application/vnd.oci.image.manifest.v1\+json +sha256:[0-9a-f]{64} .*linux/"
    c images tag "$IMAGE" docker.io/library/other:1
    ((status == 0))
    c images ls -q
    matches "$output" "docker.io/library/other:1"
    c images rm docker.io/library/other:1
    ((status == 0))
    c images ls -q
    [ "$output" = "$IMAGE" ]
}

@test "run --rm: output, error output and exit code" {
    c run --rm "$IMAGE" out /bin/sh -c 'echo to-stdout; echo to-stderr >&2; exit 42'
    ((status == 42))
    [ "$output" = to-stdout ]
    [ "$stderr" = to-stderr ]
    c containers ls -q
    [ -z "$output" ]
}

@test "run --rm: much output arrives whole" {
    c run --rm "$IMAGE" much /bin/sh -c 'i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done'  >/dev/null
    ((status == 0))
    ((${#lines[@]} == 20000))
    [ "${lines[19999]}" = "line 19999" ]
}

@test "run --rm: standard input reaches the container, and its end" {
    seq 1 5000 >"$T/in"
    # The stock client of 1.6 does not tell a container that its input has ended.
    [ $CTR = ours ] && read_it=cat || read_it="head -c $(stat -c %s "$T/in")"
    output=$(ctr run --rm "$IMAGE" in /bin/sh -c "$read_it | md5sum" <"$T/in")
    [ "${output%% *}" = "$(md5sum <"$T/in" | cut -d' ' -f1)" ]
}

@test "run --rm: a program that is not there fails and leaves nothing" {
    c run --rm "$IMAGE" nosuch /bin/nosuch
    ((status != 0))
    matches "$output$stderr" nosuch
    c containers ls -q
    [ -z "$output" ]
    nothing_left
}

@test "run -t: a terminal with a size, and the exit code" {
    run timeout 60 script -qec "stty rows 33 cols 99; '$T/bin/ctr' run --rm -t $IMAGE tty /bin/sh -c 'tty; sleep 0.3; stty size; exit 5'" /dev/null
    echo "$output"
    ((status == 5))
    matches "$output" '/dev/(pts/0|console)'
    matches "$output" '33 99'
}

@test "run: environment, directory, user, read-only root, mount, label" {
    mkdir -p "$T/shared"
    echo from-the-host >"$T/shared/file"
    # The stock client of 1.6 has no --user.
    [ $CTR = ours ] && user="--user 1000:1000" id=1000:1000 || user='' id=0:0
    c run --rm --env NAME=value --cwd /tmp $user --read-only --label a=b \
        --mount "type=bind,src=$T/shared,dst=/home,options=rbind:ro" "$IMAGE" options \
        /bin/sh -c 'echo $NAME $(pwd) $(id -u):$(id -g) $(cat /home/file); touch /x 2>/dev/null || echo read-only'
    ((status == 0))
    [ "${lines[0]}" = "value /tmp $id from-the-host" ]
    [ "${lines[1]}" = read-only ]
}

@test "run -d: listed with its columns, described, labelled, removed" {
    c run -d --label one=1 "$IMAGE" web /bin/sleep 1000
    ((status == 0))
    c containers ls
    matches "${lines[0]}" '^CONTAINER +IMAGE +RUNTIME *$'
    matches "${lines[1]}" "^web +$IMAGE +io.containerd.runc.v2 *\$"
    c containers info web
    ((status == 0))
    [ "$(jq -r .ID <<<"$output")" = web ]
    [ "$(jq -r .Labels.one <<<"$output")" = 1 ]
    [ "$(jq -r .Image <<<"$output")" = "$IMAGE" ]
    [ "$(jq -r .Spec.process.args[0] <<<"$output")" = /bin/sleep ]
    c containers label web two=2
    ((status == 0))
    matches "$output" 'one=1'
    matches "$output" 'two=2'
    c tasks ls
    matches "${lines[0]}" '^TASK +PID +STATUS'
    matches "${lines[1]}" '^web +[0-9]+ +RUNNING'
    kill -0 "$(task_pid web)"
}

@test "a name that is taken is refused, and the container stays" {
    c run -d "$IMAGE" web /bin/sleep 1000
    ((status != 0))
    matches "$output$stderr" 'already exists'
    task_is web RUNNING
}

@test "a running task's container is not removed" {
    c containers rm web
    ((status != 0))
    task_is web RUNNING
}

@test "tasks ps and exec" {
    c tasks ps web
    ((status == 0))
    matches "${lines[0]}" '^PID'
    matches "$output" "$(task_pid web)"
    c tasks exec --exec-id e1 web /bin/sh -c 'echo in-exec; echo err >&2; exit 9'
    ((status == 9))
    [ "$output" = in-exec ]
    [ "$stderr" = err ]
    c tasks exec --exec-id e2 --cwd /tmp --user 1000 web /bin/sh -c 'pwd; id -u'
    ((status == 0))
    [ "${lines[*]}" = "/tmp 1000" ]
    output=$(seq 1 100 | ctr tasks exec --exec-id e3 web /bin/wc -l)
    [ "$output" -eq 100 ]
}

@test "exec -t: a terminal" {
    run timeout 60 script -qec "'$T/bin/ctr' tasks exec -t --exec-id e4 web /bin/sh -c 'tty; exit 6'" /dev/null
    echo "$output"
    ((status == 6))
    matches "$output" '/dev/pts/'
}

@test "exec of a program that is not there fails, the container stays" {
    c tasks exec --exec-id e5 web /bin/nosuch
    ((status != 0))
    task_is web RUNNING
    c tasks exec --exec-id e5 web /bin/true
    ((status == 0))
}

@test "pause and resume" {
    c tasks pause web
    ((status == 0))
    task_is web PAUSED
    c tasks resume web
    ((status == 0))
    task_is web RUNNING
}

@test "metrics of a running task" {
    c tasks metrics web
    ((status == 0))
    matches "$output" '(memory|pids)'
}

@test "the daemon is stopped and started: the container is found again" {
    pid=$(task_pid web)
    stop_daemon TERM
    kill -0 "$pid"
    start_daemon
    task_is web RUNNING
    [ "$(task_pid web)" = "$pid" ]
    c tasks exec --exec-id r1 web /bin/echo after-restart
    [ "$output" = after-restart ]
}

@test "the daemon is killed and started: the container is found again" {
    pid=$(task_pid web)
    stop_daemon KILL
    kill -0 "$pid"
    start_daemon
    task_is web RUNNING
    [ "$(task_pid web)" = "$pid" ]
    c tasks exec --exec-id r2 web /bin/echo after-kill
    [ "$output" = after-kill ]
    c images ls -q
    [ "$output" = "$IMAGE" ]
}

@test "a container that ends while the daemon is away is found stopped, with its exit code" {
    # Releases from 1.7 on take such a container for one whose shim is lost.
    [ "$DAEMON" = ours ] || [[ $(containerd --version) = *' 1.6.'* ]] || skip "their daemon forgets it"
    c run -d "$IMAGE" brief /bin/sh -c 'trap "exit 3" TERM; while :; do sleep 0.1; done'
    ((status == 0))
    pid=$(task_pid brief)
    stop_daemon KILL
    # The shell has set its trap once it runs sleep.
    until_true 10 pgrep -P "$pid" sleep >/dev/null
    kill -TERM "$pid"
    until_true 10 gone "$pid"
    start_daemon
    task_is brief STOPPED
    c tasks rm brief
    ((status == 0))
    matches "$stderr" 'non-zero exit code 3'
    c containers rm brief
    ((status == 0))
}

@test "kill, delete, remove" {
    pid=$(task_pid web)
    c tasks kill -s SIGKILL web
    ((status == 0))
    until_true 10 task_is web STOPPED
    gone "$pid"
    c tasks rm web
    ((status == 0))
    matches "$stderr" 'non-zero exit code 137'
    c tasks ls -q
    [ -z "$output" ]
    c containers rm web
    ((status == 0))
    c containers ls -q
    [ -z "$output" ]
}

@test "containers create, tasks start, kill -a, rm -f" {
    c containers create "$IMAGE" later /bin/sleep 1000
    ((status == 0))
    c tasks ls -q
    [ -z "$output" ]
    c tasks start -d later
    ((status == 0))
    task_is later RUNNING
    c tasks kill -a -s 9 later
    ((status == 0))
    until_true 10 task_is later STOPPED
    c tasks rm -f later
    c tasks ls -q
    [ -z "$output" ]
    c containers rm later
    ((status == 0))
}

@test "what is not there is called not found" {
    for command in "containers info" "tasks kill" "tasks rm" "containers rm" "snapshots rm" "content get"; do
        object=nosuch
        [ "$command" != "content get" ] || object=sha256:$(printf '0%.0s' {1..64})
        c $command $object
        ((status != 0))
        matches "$output$stderr" 'not found'
    done
}

@test "events are told in order" {
    ctr events >"$T/events" 2>&1 3>&- &
    watcher=$!
    # The subscription stands when an event of our own making arrives.
    subscribed()
    {
        ctr namespaces label "$CTD_NS" probe="$RANDOM"
        grep -q /namespaces/update "$T/events"
    }
    until_true 10 subscribed
    c run --rm "$IMAGE" evented /bin/true
    ((status == 0))
    until_true 10 grep -q /containers/delete "$T/events"
    kill $watcher
    wait $watcher || :
    cat "$T/events"
    told=$(awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^\/(containers|tasks)\//) { print $i; next } }' "$T/events" | xargs)
    [ "$told" = "/containers/create /tasks/create /tasks/start /tasks/exit /tasks/delete /containers/delete" ]
    grep -q "evented" "$T/events"
}

@test "snapshots, content and leases are listed" {
    c snapshots ls
    ((status == 0))
    matches "${lines[0]}" '^KEY +PARENT +KIND'
    matches "$output" 'sha256:[0-9a-f]{64} .*Committed'
    c content ls
    ((status == 0))
    matches "${lines[0]}" '^DIGEST[[:space:]]+SIZE[[:space:]]+AGE[[:space:]]+LABELS'
    matches "$output" 'sha256:[0-9a-f]{64}'
    digest=$(ctr images ls | awk -v i="$IMAGE" '$1 == i { print $3 }')
    ctr content get "$digest" >"$T/blob"
    [ "sha256:$(sha256sum <"$T/blob" | cut -d' ' -f1)" = "$digest" ]
    c leases create --id lease-1
    ((status == 0))
    c leases ls
    ((status == 0))
    matches "$output" 'lease-1'
    c leases rm lease-1
    ((status == 0))
    c leases ls -q
    [[ $output != *lease-1* ]]
}

@test "a view of a snapshot is mounted and removed" {
    parent=$(ctr snapshots ls | awk '$NF == "Committed" { print $1; exit }')
    c snapshots prepare work-1 "$parent"
    ((status == 0))
    mkdir -p "$T/mnt"
    eval "$(ctr snapshots mounts "$T/mnt" work-1)"
    [ -e "$T/mnt/bin/busybox" ]
    echo changed >"$T/mnt/new-file"
    umount "$T/mnt"
    c snapshots diff work-1 >/dev/null
    ((status == 0))
    c snapshots commit work-2 work-1
    ((status == 0))
    c snapshots info work-2
    ((status == 0))
    [ "$(jq -r .Kind <<<"$output")" = Committed ]
    c snapshots rm work-2
    ((status == 0))
}

@test "namespaces keep things apart" {
    c namespaces create "$CTD_NS-b"
    ((status == 0))
    c -n "$CTD_NS-b" images ls -q
    ((status == 0))
    [ -z "$output" ]
    c namespaces ls -q
    matches "$output" "$CTD_NS-b"
    c namespaces rm "$CTD_NS-b"
    ((status == 0))
    c namespaces ls -q
    [[ $output != *$CTD_NS-b* ]]
}

@test "six containers at once" {
    for i in 1 2 3 4 5 6; do
        ctr run -d "$IMAGE" many-$i /bin/sleep 1000 3>&- &
        pids[i]=$!
    done
    for i in 1 2 3 4 5 6; do
        wait "${pids[i]}"
    done
    c tasks ls
    [ "$(grep -c 'many-[1-6] .*RUNNING' <<<"$output")" -eq 6 ]
    remove many-1 many-2 many-3 many-4 many-5 many-6
    c containers ls -q
    [ -z "$output" ]
}

@test "kill -9 of the daemon during a run: nothing is lost, the name can be used again" {
    ctr run --rm "$IMAGE" torn /bin/sleep 1000 >/dev/null 2>&1 3>&- &
    client=$!
    until_true 10 task_is torn RUNNING
    stop_daemon KILL
    wait $client || :
    start_daemon
    task_is torn RUNNING
    remove torn
    c run --rm "$IMAGE" torn /bin/echo again
    ((status == 0))
    [ "$output" = again ]
}

@test "nothing is left: no process, mount, control group or file" {
    remove_all
    nothing_left
    c images rm "$IMAGE"
    ((status == 0))
    c images ls -q
    [ -z "$output" ]
    until_true 20 is_empty ctr content ls -q
    [ "$(ctr snapshots ls | wc -l)" -le 1 ]
    stop_daemon TERM
    nothing_left '[c]ontainerd'
}
