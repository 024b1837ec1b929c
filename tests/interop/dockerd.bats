# SPDX-License-Identifier: Apache-2.0
# Debian's dockerd over our daemon: it brings images and layers of its own and asks for namespaces,
# containers, tasks, exec and events.

: "${CTR:=ours}" "${DAEMON:=ours}" "${SHIM:=ours}"
export CTR DAEMON SHIM

load lib

setup_file()
{
    stack
    export CONTAINERD_NAMESPACE=moby DOCKER_HOST=unix://$T/d.sock
    start_daemon
    start_dockerd
}

teardown_file()
{
    docker rm -f $(docker ps -aq) >/dev/null 2>&1 || :
    [ ! -e "$T/dockerd.pid" ] || { kill "$(cat "$T/dockerd.pid")" && until_true 30 gone "$(cat "$T/dockerd.pid")"; } || :
    end_stack
}

teardown()
{
    [ -n "$BATS_TEST_COMPLETED" ] || { show_log; echo "--- dockerd:"; tail -20 "$T/dockerd.log"; }
}

start_dockerd()
{
    dockerd --containerd="$T/c.sock" --iptables=false --ip6tables=false --bridge=none \
        --host="$DOCKER_HOST" --data-root="$T/dockerd" --exec-root="$T/dockerd-run" \
        --pidfile="$T/dockerd.pid" --cgroup-parent="/$CTD_NS" --live-restore \
        --storage-driver=overlay2 >>"$T/dockerd.log" 2>&1 </dev/null 3>&- &
    until_true 40 docker_answers
}

docker_answers()
{
    timeout 10 docker version >/dev/null 2>&1
}

d()
{
    run --separate-stderr timeout 90 docker "$@"
    echo "docker $* = $status: $output${stderr:+ / stderr: $stderr}"
}

@test "docker load, images" {
    d load -i "$T/image.tar"
    ((status == 0))
    d images --format '{{.Repository}}:{{.Tag}}'
    matches "$output" 'demo:latest'
}

@test "docker info names the runtime, docker version the daemon" {
    d version --format '{{json .Server.Components}}'
    ((status == 0))
    matches "$output" '"Name":"containerd"'
}

@test "docker run --rm: output, exit code" {
    d run --rm --network none demo sh -c 'echo out; echo err >&2; exit 11'
    ((status == 11))
    [ "$output" = out ]
    matches "$stderr" err
}

@test "docker run -i: input" {
    output=$(seq 1 1000 | timeout 60 docker run --rm -i --network none demo wc -l)
    [ "$output" -eq 1000 ]
}

@test "docker run -d, ps, top, exec, logs, stats" {
    d run -d --name web --network none demo sh -c 'echo started; exec sleep 1000'
    ((status == 0))
    d ps --format '{{.Names}} {{.Status}}'
    matches "$output" '^web Up'
    d top web
    ((status == 0))
    matches "$output" 'sleep 1000'
    d exec web sh -c 'echo in-exec; exit 4'
    ((status == 4))
    [ "$output" = in-exec ]
    logged()
    {
        [ "$(docker logs web)" = started ]
    }
    until_true 10 logged
    d stats --no-stream --format '{{.Name}} {{.PIDs}}' web
    ((status == 0))
    [ "$output" = "web 1" ]
}

@test "our own client sees the container in namespace moby" {
    run ctr tasks ls
    echo "$output"
    ((status == 0))
    matches "$output" '[0-9a-f]{64} +[0-9]+ +RUNNING'
}

@test "docker pause, unpause, restart" {
    d pause web
    ((status == 0))
    d ps --format '{{.Names}} {{.Status}}'
    matches "$output" 'Paused'
    d unpause web
    ((status == 0))
    d restart -t 0 web
    ((status == 0))
    d inspect -f '{{.State.Running}}' web
    [ "$output" = true ]
}

@test "the daemon is killed and started under dockerd: the container stays and is managed again" {
    pid=$(docker inspect -f '{{.State.Pid}}' web)
    stop_daemon KILL
    start_daemon
    kill -0 "$pid"
    execs()
    {
        [ "$(timeout 10 docker exec web echo again)" = again ]
    }
    until_true 30 execs
    [ "$(docker inspect -f '{{.State.Pid}}' web)" = "$pid" ]
}

@test "docker stop, exit code, rm" {
    d stop -t 1 web
    ((status == 0))
    d inspect -f '{{.State.ExitCode}}' web
    [ "$output" = 137 ]
    d rm web
    ((status == 0))
    d ps -aq
    [ -z "$output" ]
}

@test "docker run --rm -t: a terminal" {
    run timeout 60 script -qec "docker run --rm -t --network none demo sh -c 'tty; exit 3'" /dev/null
    echo "$output"
    ((status == 3))
    matches "$output" '/dev/pts/0'
}

@test "a container over its memory limit is reported as killed for it" {
    [ -d /sys/fs/cgroup/memory ] || [ -e /sys/fs/cgroup/cgroup.controllers ] || skip "no memory controller"
    d run --name hungry --network none -m 8m demo sh -c 'x=$(head -c 60000000 /dev/zero | tr "\\0" x); echo survived'
    ((status == 137))
    oom_seen()
    {
        [ "$(docker inspect -f '{{.State.OOMKilled}}' hungry)" = true ]
    }
    until_true 5 oom_seen
    d rm hungry
    ((status == 0))
}

@test "a program that is not there: docker's exit code 127, nothing left" {
    run -127 --separate-stderr timeout 90 docker run --rm --network none demo /bin/nosuch
    echo "$output $stderr"
    matches "$stderr" nosuch
    d ps -aq
    [ -z "$output" ]
    nothing_left 'containerd-shim|runc init|sleep 1000'
}
