# SPDX-License-Identifier: Apache-2.0
# The stock client pulls from a registry: it fetches, the daemon's content, diff and snapshot
# services do the rest.

: "${CTR:=stock}" "${DAEMON:=ours}" "${SHIM:=ours}"
export CTR DAEMON SHIM

load lib

REF=127.0.0.1:5000/team/app

setup_file()
{
    stack
    start_daemon
    start_registry
    make_image "$T/app.tar" --name docker.io/library/app:1 --layers 5 --megabytes 30 --files 300
    skopeo copy -q --insecure-policy --dest-tls-verify=false "oci-archive:$(readlink -f "$T/app.tar")" "docker://$REF:1"
}

teardown_file()
{
    [ ! -e "$T/registry.pid" ] || kill "$(cat "$T/registry.pid")" || :
    end_stack
}

teardown()
{
    [ -n "$BATS_TEST_COMPLETED" ] || { show_log; tail -5 "$T/registry.log"; }
}

start_registry()
{
    cat >"$T/registry.yml" <<EOF
version: 0.1
storage: { filesystem: { rootdirectory: $T/registry }, delete: { enabled: true } }
http: { addr: 127.0.0.1:5000 }
EOF
    docker-registry serve "$T/registry.yml" >"$T/registry.log" 2>&1 </dev/null 3>&- &
    echo $! >"$T/registry.pid"
    until_true 20 registry_answers
}

registry_answers()
{
    [ "$(/usr/bin/python3 -c 'import urllib.request as u; print(u.urlopen("http://127.0.0.1:5000/v2/").status)' 2>/dev/null)" = 200 ]
}

pull()
{
    run ctr images pull --plain-http "$@"
    echo "ctr images pull $* = $status: $(tail -3 <<<"$output")"
}

@test "pull: five layers over plain HTTP" {
    pull $REF:1
    ((status == 0))
    [ "$(ctr images ls -q)" = $REF:1 ]
    [ "$(ctr content ls -q | wc -l)" -eq 7 ]
    [ "$(ctr snapshots ls | grep -c Committed)" -eq 5 ]
}

@test "what was pulled is what was pushed" {
    digest=$(ctr images ls | awk -v i=$REF:1 '$1 == i { print $3 }')
    [ "$digest" = "$(skopeo inspect --tls-verify=false docker://$REF:1 | jq -r .Digest)" ]
    for blob in $(ctr content ls -q); do
        [ "sha256:$(ctr content get "$blob" | sha256sum | cut -d' ' -f1)" = "$blob" ]
    done
    run ctr images check
    matches "$output" 'complete \(6/6\)'
}

@test "pull again: nothing is fetched twice" {
    pull $REF:1
    ((status == 0))
    matches "$output" 'total: +0.0 B'
}

@test "a container runs from it and sees the files of every layer" {
    run ctr run --rm $REF:1 pulled /bin/sh -c 'ls -d /data/layer*; find /data -type f | wc -l'
    echo "$output"
    ((status == 0))
    [ "${lines[*]}" = "/data/layer2 /data/layer3 /data/layer4 /data/layer5 300" ]
}

@test "pull by digest" {
    pull "$REF@$(skopeo inspect --tls-verify=false docker://$REF:1 | jq -r .Digest)"
    ((status == 0))
}

@test "pull of a name that is not there: not found, nothing is stored" {
    before=$(ctr content ls -q | sort)
    pull $REF:nosuch
    ((status != 0))
    matches "$output" 'not found'
    [ "$(ctr content ls -q | sort)" = "$before" ]
}

@test "push, and read it back" {
    run ctr images tag $REF:1 127.0.0.1:5000/team/copy:2
    ((status == 0))
    run ctr images push --plain-http 127.0.0.1:5000/team/copy:2
    echo "$output" | tail -3
    ((status == 0))
    [ "$(skopeo inspect --tls-verify=false docker://127.0.0.1:5000/team/copy:2 | jq -r .Digest)" = \
        "$(skopeo inspect --tls-verify=false docker://$REF:1 | jq -r .Digest)" ]
}

@test "export, and import into an empty namespace" {
    run ctr images export "$T/exported.tar" $REF:1
    ((status == 0))
    ctr namespaces create "$CTD_NS-x"
    run ctr -n "$CTD_NS-x" images import "$T/exported.tar"
    echo "$output"
    ((status == 0))
    [ "$(ctr -n "$CTD_NS-x" images ls -q)" = $REF:1 ]
    run ctr -n "$CTD_NS-x" images rm --sync $REF:1
    ((status == 0))
    until_true 10 is_empty ctr -n "$CTD_NS-x" content ls -q
    ctr namespaces rm "$CTD_NS-x"
}

@test "the daemon is killed in the middle of a pull: the next pull is complete" {
    make_image "$T/large.tar" --name docker.io/library/large:1 --layers 3 --megabytes 90 --files 900 --level 1
    skopeo copy -q --insecure-policy --dest-tls-verify=false "oci-archive:$(readlink -f "$T/large.tar")" docker://127.0.0.1:5000/team/large:1
    ctr images pull --plain-http 127.0.0.1:5000/team/large:1 >"$T/pull.out" 2>&1 3>&- &
    client=$!
    started()
    {
        ctr content active 2>/dev/null | grep -q layer || ctr snapshots ls | grep -q extract ||
            gone $client
    }
    until_true 20 started
    stop_daemon KILL
    wait $client || :
    start_daemon
    pull 127.0.0.1:5000/team/large:1
    ((status == 0))
    run ctr run --rm 127.0.0.1:5000/team/large:1 whole /bin/sh -c 'find /data -type f | wc -l'
    [ "$output" = 900 ]
}

@test "removing all images empties the store" {
    # The client that lost its daemon left a lease, which would hold its content for a day.
    for lease in $(ctr leases ls -q); do
        ctr leases rm "$lease"
    done
    ctr images rm --sync $(ctr images ls -q)
    until_true 20 is_empty ctr content ls -q
    [ "$(ctr snapshots ls | wc -l)" -le 1 ]
    [ -z "$(find "$T/root/io.containerd.content.v1.content/blobs" -type f)" ]
    nothing_left
}
