# SPDX-License-Identifier: Apache-2.0
# What is wrong or hostile gives an error that names it, changes nothing and leaves nothing.

: "${CTR:=ours}" "${DAEMON:=ours}" "${SHIM:=ours}"
export CTR DAEMON SHIM

load lib

setup_file()
{
    stack
    write_config
    if [ $DAEMON = ours ]; then
        cat >>"$T/config.toml" <<EOF
[plugins."io.containerd.service.v1.diff-service"]
  max_layer_bytes = 100000000
  max_layer_entries = 10000
EOF
    fi
    start_daemon
    import_image
    # What every test compares with at its end, once nothing waits to be collected.
    ctr leases create --id settle
    ctr leases rm --sync settle
    inventory >"$T/inventory"
}

teardown_file()
{
    end_stack
}

setup()
{
    rm -rf "$T/host"
    mkdir -p "$T/host"
    echo untouched >"$T/host/victim"
    DAEMON_PID=$(cat "$T/daemon.pid")
}

teardown()
{
    [ -n "$BATS_TEST_COMPLETED" ] || { show_log; remove_all; forget_image; }
}

# What there is, in words that do not change while nothing changes.
inventory()
{
    ctr images ls -q | sort
    ctr containers ls -q | sort
    ctr snapshots ls | awk '{ print $1 }' | sort
    ctr content ls -q | sort
    ctr content active | grep -v REF || :
    list_mounts
}

unchanged()
{
    [ "$(inventory)" = "$(cat "$T/inventory")" ]
}

forget_image()
{
    local lease
    for lease in $(ctr leases ls -q); do
        ctr leases rm "$lease" >/dev/null || :
    done
    for ref in $(ctr content active 2>/dev/null | awk 'NR > 1 { print $1 }'); do
        ctr content rm "$ref" >/dev/null 2>&1 || :
    done
    ctr images rm --sync docker.io/library/bad:latest >/dev/null 2>&1 || :
}

# The daemon that was there before is there, answers, and all is as it was.
all_is_well()
{
    kill -0 "$DAEMON_PID"
    answers
    [ "$(cat "$T/host/victim")" = untouched ]
    [ "$(stat -c %h "$T/host/victim")" = 1 ]
    [ "$(ls -A "$T/host")" = victim ]
    until_true 10 unchanged || { inventory | diff "$T/inventory" - ; return 1; }
    nothing_left
}

# Some leave sockets or FIFOs when a shim was killed; ours do not.
sweep_after_stock()
{
    [ "$CTR $DAEMON $SHIM" = "ours ours ours" ] || rm -rf /run/containerd/s/* /run/containerd/fifo/*
}

bad_image()
{
    /usr/bin/python3 "$TOP/tests/interop/bad-image.py" "$1" "$T/bad.tar" "$T/host"
    run ctr images import "$T/bad.tar"
    rm "$T/bad.tar"
    echo "import of $1 = $status: $output"
}

# refused KIND REGEX: the import fails with such a text.
refused()
{
    bad_image "$1"
    ((status != 0))
    ((status != 124))
    matches "$output" "$2"
    # The stock client records an image before it unpacks it.
    [ $CTR = ours ] || forget_image
    all_is_well
}

# confined KIND: it may be refused or brought inside, but the host's files are as they were.
confined()
{
    bad_image "$1"
    ((status != 124))
    forget_image
    all_is_well
}

@test "image: a layer that ends early" {
    refused truncated-layer '(unexpected EOF|unexpected end|truncated|ends? early)'
}

@test "image: a tar that ends inside of a file" {
    refused truncated-tar '(unexpected EOF|unexpected end|truncated|ends? early)'
}

@test "image: a layer with another digest than its name" {
    refused lying-layer-digest 'sha256:'
}

@test "image: a layer with another content than its diffID" {
    refused lying-diff-id '(diff|layer|sha256)'
}

@test "image: a layer that is not what its media type says" {
    refused not-gzip '(gzip|header|magic|tar|compress)'
}

@test "image: ../ in names" {
    confined dotdot
}

@test "image: files through symbolic links" {
    confined symlink
}

@test "image: a file over a symbolic link" {
    confined final-symlink
}

@test "image: hard links to the host" {
    confined hardlink
    confined hardlink-dotdot
    confined hardlink-through-symlink
}

@test "image: whiteouts that aim at the host" {
    confined whiteout
}

@test "image: fifty thousand device nodes" {
    [ $DAEMON = ours ] || skip "the stock daemon has no bound"
    refused device-bomb '(entries|more than|too many|limit|bound)'
}

@test "image: more entries than the bound" {
    [ $DAEMON = ours ] || skip "the stock daemon has no bound"
    refused entry-bomb '(entries|more than|too many|limit|bound)'
}

@test "image: a gzip bomb beyond the bound" {
    [ $DAEMON = ours ] || skip "the stock daemon has no bound"
    refused gzip-bomb '(bytes|large|limit|bound)'
}

@test "image: very deep directories, very long names" {
    confined deep-directories
    refused long-name '(name too long|long)'
}

@test "image: a negative size in a header" {
    refused pax-lies '(header|size|tar|invalid)'
}

@test "image: a config that is not JSON, or no object" {
    refused config-not-json '(JSON|json|invalid character|parse)'
    refused config-not-object '(JSON|json|object|unmarshal)'
}

@test "image: a config nested a hundred thousand deep" {
    refused config-nested '(JSON|json|deep|depth|parse|rootfs|no match)'
}

@test "image: a config of a hundred megabytes" {
    [ $CTR = ours ] || skip "the stock client reads any size"
    refused config-huge '(large|size|limit|bytes)'
}

@test "image: a config whose size is claimed to be two gigabytes" {
    [ $CTR = ours ] || skip "the stock client does not compare"
    refused config-size-lies '(size|sha256)'
}

@test "image: both manifest and index" {
    [ $DAEMON = ours ] || skip "1.6.20 with Debian's fixes answers differently"
    refused manifest-and-index '(manifest|index)'
}

@test "a user that is a number beyond 32 bits is an error, never a name or another number" {
    for kind in user-too-large user-wraps; do
        /usr/bin/python3 "$TOP/tests/interop/bad-image.py" $kind "$T/bad.tar"
        ctr images import "$T/bad.tar"
        run ctr run --rm docker.io/library/bad:latest bad-user /bin/id -u
        echo "$kind: $status: $output"
        ((status != 0))
        matches "$output" '(4294967296|18446744073709551616|out of range|user|uid)'
        ctr containers rm bad-user 2>/dev/null || :
        forget_image
        all_is_well
    done
}

@test "names that break the rule" {
    # The rule does let a good name through.
    ctr containers create -- "$IMAGE" good.name_1
    ctr containers rm good.name_1
    for name in 'a b' '../x' 'a/b' "$(printf 'x%.0s' {1..77})" '-a' 'a..b' 'ä' '.'; do
        run ctr containers create -- "$IMAGE" "$name"
        [ $status -ne 0 ] || { ctr containers rm -- "$name"; die "accepted as a container: $name"; }
        run ctr namespaces create -- "$name"
        [ $status -ne 0 ] || die "accepted as a namespace: $name"
        run ctr -n "$name" containers ls
        [ $status -ne 0 ] || die "accepted as the namespace of a call: $name"
    done
    all_is_well
}

@test "a runtime that is not there" {
    for runtime in io.containerd.nosuch.v1 io.containerd.runc.v9 /nosuch/shim ../../bin/sh 'a b'; do
        run ctr run --rm --runtime "$runtime" "$IMAGE" bad-runtime /bin/true
        echo "$status: $output"
        ((status != 0))
        matches "$output" '(nosuch|runc.v9|/bin/sh|a b|invalid runtime)' || [ $DAEMON = stock ]
        ctr containers rm bad-runtime 2>/dev/null || :
        all_is_well
    done
}

@test "a runc that is not there, ends with 127, talks nonsense, or is killed" {
    printf '#!/bin/sh\nexit 127\n' >"$T/exit-127"
    printf '#!/bin/sh\necho "{nonsense"; echo some-reason >&2; exit 1\n' >"$T/nonsense"
    printf '#!/bin/sh\nkill -9 $$\n' >"$T/killed"
    chmod +x "$T/exit-127" "$T/nonsense" "$T/killed"
    for binary in nosuch exit-127 nonsense killed; do
        run ctr run --rm --runc-binary "$T/$binary" "$IMAGE" bad-runc /bin/true
        echo "$binary: $status: $output"
        ((status != 0 && status != 124))
        matches "$output" "($binary|127|some-reason|killed|OCI runtime)"
        ctr containers rm bad-runc 2>/dev/null || :
        all_is_well
    done
}

@test "a program of the container that cannot be run: the error names it" {
    for program in /bin/nosuch /etc/passwd /tmp; do
        run ctr run --rm "$IMAGE" bad-program $program
        echo "$status: $output"
        ((status != 0))
        matches "$output" "$program"
        all_is_well
    done
}

@test "the shim is killed while its container runs" {
    ctr run -d "$IMAGE" orphan /bin/sleep 1000
    pid=$(task_pid orphan)
    shim=$(ps -o ppid= -p "$pid" | tr -d ' ')
    matches "$(cat /proc/$shim/cmdline | tr '\0' ' ')" containerd-shim
    ctr events >"$T/events" 2>&1 3>&- &
    watcher=$!
    kill -KILL "$shim"
    until_true 15 task_is_not_running orphan
    until_true 15 gone "$pid"
    kill $watcher
    ctr tasks rm -f orphan || :
    ctr tasks ls
    run ctr containers rm orphan
    ((status == 0))
    sweep_after_stock
    all_is_well
    # The name is free.
    run ctr run --rm "$IMAGE" orphan /bin/echo again
    [ "$output" = again ]
}

@test "the shim is killed while the daemon is away" {
    ctr run -d "$IMAGE" orphan /bin/sleep 1000
    pid=$(task_pid orphan)
    shim=$(ps -o ppid= -p "$pid" | tr -d ' ')
    stop_daemon KILL
    kill -KILL "$shim"
    until_true 10 gone "$shim"
    start_daemon
    DAEMON_PID=$(cat "$T/daemon.pid")
    until_true 15 task_is_not_running orphan
    until_true 15 gone "$pid"
    ctr tasks rm -f orphan 2>/dev/null || :
    ctr containers rm orphan
    sweep_after_stock
    all_is_well
}

@test "garbage on both sockets" {
    [ $DAEMON = ours ] || skip "the stock daemon keeps such connections on its second socket"
    for socket in "$T/c.sock" "$T/c.sock.ttrpc"; do
        run /usr/bin/python3 "$TOP/tests/interop/garbage.py" "$socket" "$DAEMON_PID"
        echo "$output"
        ((status == 0))
    done
    all_is_well
}

@test "garbage on a shim's socket does not hurt its container" {
    [ $SHIM = ours ] || skip "the stock shim keeps such connections"
    ctr run -d "$IMAGE" steady /bin/sleep 1000
    shim=$(ps -o ppid= -p "$(task_pid steady)" | tr -d ' ')
    sockets=$(find /run/containerd/s -type s)
    [ -n "$sockets" ]
    for socket in $sockets; do
        run /usr/bin/python3 "$TOP/tests/interop/garbage.py" "$socket" "$shim"
        echo "$output"
        ((status == 0))
    done
    run ctr tasks exec --exec-id e1 steady /bin/echo fine
    [ "$output" = fine ]
    remove steady
    all_is_well
}

@test "half-open connections do not keep others out" {
    /usr/bin/python3 "$TOP/tests/interop/garbage.py" --half-open "$T/c.sock" 200 >"$T/half" 3>&- &
    holder=$!
    until_true 20 grep -q ready "$T/half"
    for _ in 1 2 3; do
        CTR_TIMEOUT=10 answers
    done
    run ctr run --rm "$IMAGE" beside /bin/echo served
    [ "$output" = served ]
    kill $holder
    wait $holder || :
    all_is_well
}

@test "output that is no FIFO: an error that names it, no task" {
    ctr containers create "$IMAGE" no-fifo /bin/true
    protoc -I "$TOP" --include_imports --descriptor_set_out="$T/api.pb" $(cd "$TOP" && ls proto/*.proto)
    for path in "$T/host" "$T/nosuch/fifo" "relative/path"; do
        run env CONTAINER=no-fifo STDOUT="$path" timeout 60 \
            /usr/bin/python3 "$TOP/tests/interop/grpc-client.py" "$T/api.pb" "$T/c.sock" task_with_wrong_output
        echo "$path: $output"
        ((status == 0))
    done
    ctr containers rm no-fifo
    all_is_well
}

@test "a full disk: an error that says so, nothing is kept, and there is a way on" {
    stop_daemon TERM
    mkdir "$T/small"
    mount -t tmpfs -o size=12m tmpfs "$T/small"
    cp "$T/config.toml" "$T/config.saved"
    sed -i "s,^root = .*,root = \"$T/small/root\"," "$T/config.toml"
    start_daemon
    make_image "$T/big.tar" --layers 2 --megabytes 40 --files 10
    run ctr images import "$T/big.tar"
    echo "$status: $output"
    failed=$status
    kept=$(find "$T/small/root/io.containerd.content.v1.content/ingest" -type f -size +1M)
    forget_image
    ctr images rm --sync "$IMAGE" 2>/dev/null || :
    run ctr images import "$T/image.tar"
    again=$status
    echo "a small image: $status: $output"
    run ctr run --rm "$IMAGE" small /bin/echo fits
    ran=$output
    stop_daemon TERM
    umount "$T/small"
    rmdir "$T/small"
    mv "$T/config.saved" "$T/config.toml"
    start_daemon
    ((failed != 0))
    ((again == 0))
    [ "$ran" = fits ]
    [ -z "$kept" ] || [ $CTR = stock ]
    DAEMON_PID=$(cat "$T/daemon.pid")
    all_is_well
}

# The daemon is started with a file of its own; it must end by itself.
config_refused()
{
    printf '%s\n' "$1" >"$T/bad.toml"
    run timeout 20 "$T/bin/containerd" --config "$T/bad.toml"
    echo "$status: $output"
    ((status != 0 && status != 124))
}

@test "config: not TOML, wrong type, a socket path that is too long, a file that is not there" {
    config_refused 'this is not toml ='
    matches "$output" '(bad.toml|toml|line|parse)'
    config_refused "version = 2
root = 17"
    matches "$output" '(root|type|string)'
    long=$T/$(printf 'x%.0s' {1..120}).sock
    config_refused "version = 2
root = \"$T/r2\"
state = \"$T/s2\"
disabled_plugins = [\"io.containerd.grpc.v1.cri\"]
[grpc]
  address = \"$long\""
    matches "$output" '(long|exceed|invalid argument|unix socket path)'
    run timeout 20 "$T/bin/containerd" --config "$T/nosuch.toml"
    ((status != 0 && status != 124))
    matches "$output" nosuch.toml
    rm -rf "$T/r2" "$T/s2"
    all_is_well
}

@test "config: unknown keys are warned about, never fatal" {
    stop_daemon TERM
    printf '\n[plugins."io.containerd.nosuch.v1.thing"]\n  unknown_key = "x"\n' >>"$T/config.toml"
    sed -i '1i future_key = 3' "$T/config.toml"
    : >"$T/daemon.log"
    start_daemon
    DAEMON_PID=$(cat "$T/daemon.pid")
    if [ $DAEMON = ours ]; then
        grep -q 'level=warn.*future_key' "$T/daemon.log"
        grep -q 'level=warn.*unknown_key' "$T/daemon.log"
    fi
    all_is_well
}
