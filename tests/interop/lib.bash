# SPDX-License-Identifier: Apache-2.0
# What the suites share. Each file of tests is run by tests/interop/run inside tools/sandbox: /run is
# a tmpfs of its own, no foreign process is visible, and CTD_NS is a containerd namespace of its own.
#
# CTR, DAEMON and SHIM are each `ours` or `stock`: our program, or the distribution's.

bats_require_minimum_version 1.5.0

TOP=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
IMAGE=docker.io/library/demo:latest
ctd_path=/usr/sbin:/usr/bin:/sbin:/bin

die()
{
    printf '%s\n' "$*" >&2
    return 1
}

# until_true SECONDS COMMAND...: wait for it, but not for ever.
until_true()
{
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        if ((SECONDS >= deadline)); then
            die "still not true: $*"
            return 1
        fi
        read -rt 0.05 <> <(:) || :
    done
}

# A look at any failure's surroundings; bats shows what a failed test printed.
show_log()
{
    echo "--- the daemon's last lines ($T/daemon.log):"
    grep -v 'loading plugin' "$T/daemon.log" 2>/dev/null | tail -n "${1:-8}" || :
}

# stack: lay out the programs that CTR, DAEMON and SHIM choose, and one image; nothing is started.
stack()
{
    [ "${CTD_SANDBOX:-}" = 1 ] || die "run this through tests/interop/run" || return
    T=$(mktemp -d /run/t.XXXXXX)
    export T TOP IMAGE PATH="$T/bin:$ctd_path"
    export CONTAINERD_ADDRESS=$T/c.sock CONTAINERD_NAMESPACE=$CTD_NS
    mkdir "$T/bin"
    case $DAEMON in
    ours) "$TOP/tools/stage" "$T/bin" daemon worker || return ;;
    stock) ln -s /usr/bin/containerd "$T/bin/" ;;
    esac
    case $CTR in
    ours) "$TOP/tools/stage" "$T/bin" ctr || return ;;
    stock) ln -s /usr/bin/ctr "$T/bin/" ;;
    esac
    case $SHIM in
    ours) "$TOP/tools/stage" "$T/bin" shim || return ;;
    stock) ln -s /usr/bin/containerd-shim-runc-v2 "$T/bin/" ;;
    esac
    make_image "$T/image.tar"
}

# make_image FILE [OPTION...]: the same arguments are built once per run of all suites.
make_image()
{
    local key file=$1
    shift
    key=$(printf '%s\n' "$@" | md5sum | cut -c1-16)
    if [ -n "${CTD_CACHE:-}" ]; then
        [ -e "$CTD_CACHE/$key" ] ||
            { "$TOP/tools/make-image" -o "$CTD_CACHE/$key.new" "$@" && mv "$CTD_CACHE/$key.new" "$CTD_CACHE/$key"; } || return
        ln -sf "$CTD_CACHE/$key" "$file"
    else
        "$TOP/tools/make-image" -o "$file" "$@"
    fi
}

write_config()
{
    cat >"$T/config.toml" <<EOF
version = 2
root = "$T/root"
state = "$T/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt",
    "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
    "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "$T/c.sock"
[ttrpc]
  address = "$T/c.sock.ttrpc"
EOF
}

answers()
{
    timeout 20 ctr version >"$T/version" 2>&1
}

answers_or_ended()
{
    answers || ! kill -0 "$(cat "$T/daemon.pid")" 2>/dev/null
}

# start_daemon: with what write_config wrote, or with the defaults of it.
start_daemon()
{
    [ -e "$T/config.toml" ] || write_config
    "$T/bin/containerd" --config "$T/config.toml" --log-level "${LOG_LEVEL:-info}" \
        >>"$T/daemon.log" 2>&1 </dev/null 3>&- &
    echo $! >"$T/daemon.pid"
    disown
    if ! until_true 20 answers_or_ended || ! answers; then
        cat "$T/version" >&2
        show_log 40 >&2
        die "$DAEMON daemon does not answer"
    fi
}

gone()
{
    ! kill -0 "$1" 2>/dev/null
}

# stop_daemon [SIGNAL]: containers stay.
stop_daemon()
{
    local pid
    pid=$(cat "$T/daemon.pid")
    kill -s "${1:-TERM}" "$pid"
    until_true 20 gone "$pid"
}

# The programs of the stack; a call that hangs fails instead.
ctr()
{
    timeout -k 5 "${CTR_TIMEOUT:-60}" "$T/bin/ctr" "$@"
}

import_image()
{
    ctr images import "${1:-$T/image.tar}" >"$T/import.out" 2>&1 || { cat "$T/import.out"; show_log; return 1; }
}

# task_is NAME STATUS
task_is()
{
    ctr tasks ls 2>/dev/null | awk -v id="$1" -v want="$2" '$1 == id && $3 == want { ok = 1 } END { exit !ok }'
}

task_pid()
{
    ctr tasks ls | awk -v id="$1" '$1 == id { print $2 }'
}

# remove NAME...: stop and delete, whatever state it is in; for use after a test.
remove()
{
    local name
    for name in "$@"; do
        ctr tasks kill -s SIGKILL "$name" >/dev/null 2>&1 || :
        until_true 10 task_is_not_running "$name" || :
        ctr tasks rm -f "$name" >/dev/null 2>&1 || :
        ctr containers rm "$name" >/dev/null 2>&1 || :
    done
}

task_is_not_running()
{
    ! task_is "$1" RUNNING
}

# remove_all: every container, so that one failed test does not fail the next.
remove_all()
{
    local names
    names=$(ctr containers ls -q 2>/dev/null) || return 0
    [ -z "$names" ] || remove $names
}

list_processes()
{
    ps -e -o pid=,args= | grep -E "$1" | grep -vE 'grep|bats' || :
}

list_mounts()
{
    # A dockerd binds its own directory to itself for as long as it runs.
    awk '{ print $5 }' /proc/self/mountinfo | grep -E "^($T|/run/containerd)(/|\$)" | grep -vx "$T/dockerd" || :
}

list_cgroups()
{
    local top
    for top in /sys/fs/cgroup /sys/fs/cgroup/*; do
        find "$top/$CTD_NS" -mindepth 1 -type d 2>/dev/null || :
    done
}

list_files()
{
    find "$T/state" /run/containerd -mindepth 1 \( -name '*.sock' -o -type p -o -type s \
        -o -name config.json -o -name rootfs -o -name state.json \) 2>/dev/null |
        grep -vE "^$T/state/(io.containerd.(grpc|snapshotter|content|metadata)[^/]*)?$" || :
    # One directory for each task or container that somebody forgot.
    find "$T/state/io.containerd.runtime.v2.task" "$T/root/io.containerd.runtime.v2.task" \
        /run/containerd/runc /run/containerd/fifo -mindepth 2 -maxdepth 2 2>/dev/null || :
}

# nothing_left [PATTERN]: no container process, shim, mount, cgroup or file of one.
nothing_left()
{
    local what left bad=0
    for what in "processes ${1:-containerd-shim|runc|/bin/sleep}" mounts cgroups files; do
        until_true 5 is_empty "list_${what%% *}" "${what#* }" 2>/dev/null && continue
        left=$("list_${what%% *}" "${what#* }")
        printf 'left behind, %s:\n%s\n' "${what%% *}" "$left"
        bad=1
    done
    return $bad
}

is_empty()
{
    [ -z "$("$@")" ]
}

# matches TEXT REGEX: like [[ =~ ]], but it says what it saw.
matches()
{
    if [[ ! $1 =~ $2 ]]; then
        printf 'expected: %s\n     got: %s\n' "$2" "$1"
        return 1
    fi
}

end_stack()
{
    [ -n "${T:-}" ] || return 0
    remove_all
    [ ! -e "$T/daemon.pid" ] || stop_daemon TERM 2>/dev/null || stop_daemon KILL 2>/dev/null || :
}
