# SPDX-License-Identifier: Apache-2.0
# containerd's own ctr of 2.x, which moves images through the transfer service. tests/interop/run
# builds it outside of the sandbox.

CTR=newest
: "${DAEMON:=ours}" "${SHIM:=ours}"
export CTR DAEMON SHIM

load lib

OTHER=docker.io/library/other:v1

setup_file()
{
    [ ! -e "$CTD_CACHE/ctr2.reason" ] || return 0
    stack
    ln -sf "$CTD_CACHE/ctr2" "$T/bin/ctr"
    start_daemon
}

teardown_file()
{
    end_stack
}

setup()
{
    [ ! -e "$CTD_CACHE/ctr2.reason" ] || skip "$(cat "$CTD_CACHE/ctr2.reason")"
}

teardown()
{
    [ -n "${BATS_TEST_COMPLETED:-}" ] || show_log
}

images()
{
    ctr images ls -q | sort
}

# Nothing of any image, once the collector has run.
forget_all()
{
    local names
    names=$(images)
    [ -z "$names" ] || ctr images rm --sync $names >/dev/null
    until_true 10 is_empty ctr content ls -q
    until_true 10 is_empty list_snapshots
    is_empty ctr leases ls -q
}

list_ingests()
{
    ctr content active | tail -n +2
}

list_snapshots()
{
    ctr snapshots ls | tail -n +2
}

@test "the plugins are there" {
    run ctr plugins ls
    for want in 'streaming.v1 +manager .* ok' 'transfer.v1 +local .* ok' \
        'grpc.v1 +streaming .* ok' 'grpc.v1 +transfer .* ok'; do
        matches "$output" "io.containerd.$want"
    done
}

@test "import: names, references, snapshots" {
    run ctr images import --label color=green "$T/image.tar"
    echo "$output"
    ((status == 0))
    [ "$(images)" = "$IMAGE" ]
    matches "$(ctr images ls "name==$IMAGE")" 'color=green'
    matches "$(ctr content ls)" 'containerd.io/gc.ref.content.config=sha256:'
    matches "$(ctr content ls)" 'containerd.io/gc.ref.content.l.0=sha256:'
    matches "$(ctr content ls)" 'containerd.io/gc.ref.snapshot.overlayfs=sha256:'
    matches "$(ctr content ls)" 'containerd.io/uncompressed=sha256:'
    matches "$(list_snapshots)" Committed
    # The lease of the import went with it.
    is_empty ctr leases ls -q
}

@test "run what was imported" {
    run ctr run --rm "$IMAGE" hello /bin/echo from a transferred image
    echo "$output"
    ((status == 0))
    [ "$output" = "from a transferred image" ]
}

@test "import again, and from a pipe" {
    ctr images import "$T/image.tar"
    ctr images import - <"$T/image.tar"
    [ "$(images)" = "$IMAGE" ]
    (ctr images import "$T/image.tar" >"$T/one" 2>&1 & ctr images import "$T/image.tar" >"$T/two" 2>&1; wait $!)
    cat "$T/one" "$T/two"
    ! grep -i fail "$T/one" "$T/two"
}

@test "tag" {
    run ctr images tag "$IMAGE" "$OTHER"
    [ "$output" = "$OTHER" ]
    [ "$(images)" = "$IMAGE"$'\n'"$OTHER" ]
    ctr images tag "$IMAGE" "$OTHER"
    run ctr images tag docker.io/library/missing:1 "$OTHER"
    ((status != 0))
    matches "$output" 'docker.io/library/missing:1.*not found'
}

@test "export: a layout that is whole" {
    ctr images export "$T/out.tar" "$IMAGE" "$OTHER"
    mkdir "$T/layout"
    tar -C "$T/layout" -xf "$T/out.tar"
    [ "$(cat "$T/layout/oci-layout")" = '{"imageLayoutVersion":"1.0.0"}' ]
    matches "$(cat "$T/layout/index.json")" "\"io.containerd.image.name\":\"$IMAGE\""
    matches "$(cat "$T/layout/index.json")" '"org.opencontainers.image.ref.name":"v1"'
    matches "$(cat "$T/layout/manifest.json")" '"RepoTags":\["demo:latest","other:v1"\]'
    (cd "$T/layout/blobs/sha256" && sha256sum * | awk '$1 != $2 { exit 1 }')
    # Each member once, in order.
    tar -tf "$T/out.tar" | LC_ALL=C sort -cu
}

@test "export: the archive is whole whenever ctr ends" {
    for i in {1..25}; do
        ctr images export "$T/again.tar" "$IMAGE"
        tar -tf "$T/again.tar" >/dev/null
        [ -e "$T/first.tar" ] || cp "$T/again.tar" "$T/first.tar"
        # All but the padding, which nobody misses.
        cmp -n "$(($(stat -c %s "$T/first.tar") - 512))" "$T/first.tar" "$T/again.tar"
    done
}

@test "export: what is left out" {
    ctr images export --skip-manifest-json "$T/no-manifest.tar" "$IMAGE"
    ! tar -tf "$T/no-manifest.tar" | grep -x manifest.json
    run ctr images export "$T/none.tar" docker.io/library/missing:1
    ((status != 0))
    matches "$output" 'not found'
}

@test "export, forget, import, run" {
    forget_all
    ctr images import "$T/out.tar"
    [ "$(images)" = "$IMAGE"$'\n'"$OTHER" ]
    run ctr run --rm "$OTHER" again /bin/echo back
    [ "$output" = back ]
}

@test "names: base name, digests, index" {
    forget_all
    ctr images import --no-unpack --base-name docker.io/library/demo --digests "$T/image.tar"
    matches "$(images)" '^docker.io/library/demo:latest.docker.io/library/demo@sha256:[0-9a-f]{64}$'
    is_empty list_snapshots
    forget_all
    # Of other names nothing is kept but what has the digest.
    ctr images import --no-unpack --base-name example.org/mine --digests "$T/image.tar"
    matches "$(images)" '^example.org/mine@sha256:[0-9a-f]{64}.example.org/mine@sha256:[0-9a-f]{64}$'
    forget_all
    ctr images import --no-unpack --index-name example.org/index:1 "$T/image.tar"
    matches "$(ctr images ls)" 'example.org/index:1 +application/vnd.oci.image.index.v1'
    matches "$(ctr images ls "name==$IMAGE")" 'containerd.io/gc.bref.image=example.org/index:1'
    matches "$(ctr content ls)" 'containerd.io/gc.ref.content.m.0=sha256:'
    run ctr images export --platform linux/s390x "$T/none.tar" example.org/index:1
    ((status != 0))
    matches "$output" 'no manifest found for platform'
    ctr images export "$T/index.tar" example.org/index:1
    matches "$(tar -xOf "$T/index.tar" manifest.json)" '"RepoTags":\["example.org/index:1"\]'
}

# As docker save writes them.
docker_archive()
{
    rm -rf "$T/docker"
    mkdir "$T/docker"
    tar -C "$T/docker" -xf "$T/image.tar" manifest.json blobs
    python3 - "$T/docker" <<'EOF'
import gzip, json, os, sys
top = sys.argv[1]
image = json.load(open(f"{top}/manifest.json"))[0]
os.rename(f"{top}/{image['Config']}", f"{top}/config.json")
layers = []
for n, layer in enumerate(image["Layers"]):
    os.mkdir(f"{top}/{n}")
    with open(f"{top}/{layer}", "rb") as f, open(f"{top}/{n}/layer.tar", "wb") as out:
        data = f.read()
        out.write(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    layers.append(f"{n}/layer.tar")
json.dump([{"Config": "config.json", "RepoTags": ["demo:latest"], "Layers": layers}],
          open(f"{top}/manifest.json", "w"))
EOF
    rm -r "$T/docker/blobs"
    tar -C "$T/docker" -cf "$T/docker.tar" .
}

@test "import what docker save writes" {
    forget_all
    docker_archive
    ctr images import "$T/docker.tar"
    [ "$(images)" = "$IMAGE" ]
    run ctr run --rm "$IMAGE" docker /bin/echo docker
    [ "$output" = docker ]
    forget_all
    ctr images import --compress-blobs "$T/docker.tar"
    run ctr run --rm "$IMAGE" docker /bin/echo compressed
    [ "$output" = compressed ]
}

@test "archives that are none" {
    forget_all
    head -c 100000 /dev/urandom >"$T/noise"
    head -c 20000 "$T/image.tar" >"$T/short"
    tar -C "$T" -cf "$T/empty.tar" --files-from /dev/null
    mkdir -p "$T/lie/blobs/sha256"
    echo lie >"$T/lie/blobs/sha256/$(printf '%064d' 1)"
    tar -C "$T/lie" -cf "$T/lie.tar" blobs
    for bad in noise short empty.tar lie.tar; do
        run ctr images import "$T/$bad"
        echo "$bad: $output"
        ((status != 0))
    done
    matches "$output" 'failed to ingest'
    run ctr images import "$T/empty.tar"
    matches "$output" 'unrecognized image format'
    is_empty images
    forget_all
    until_true 10 is_empty list_processes containerd-worker
    is_empty list_ingests
}

@test "pull and push say that they are not there" {
    run ctr images pull --plain-http 127.0.0.1:1/x:1
    ((status != 0))
    matches "$output" 'method Transfer not implemented for containerd.types.transfer.OCIRegistry to containerd.types.transfer.ImageStore'
}

@test "nothing is left" {
    forget_all
    nothing_left
}
