#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon's API seen by a foreign client: grpcio, with messages from proto/*.proto.

  grpc-client.py DESCRIPTORS ADDRESS CASE      DESCRIPTORS: protoc --descriptor_set_out
  grpc-client.py --list

A case is a function below; it raises when the daemon misbehaves.
"""

import hashlib
import os
import sys
import threading
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICES = "containerd.services."
NAMESPACE = os.environ.get("CONTAINERD_NAMESPACE", "grpcio")
STOCK = os.environ.get("DAEMON") == "stock"
MAX_MESSAGE = 16 << 20
CASES = {}


class Api:
    """Every method of every service, made from the descriptors."""

    def __init__(self, descriptors, address):
        self.pool = descriptor_pool.DescriptorPool()
        files = descriptor_pb2.FileDescriptorSet()
        with open(descriptors, "rb") as f:
            files.ParseFromString(f.read())
        for file in files.file:
            self.pool.Add(file)
        self.address = address
        self.channel = self.connect()

    def connect(self, **options):
        options = {"grpc.max_send_message_length": -1, "grpc.max_receive_message_length": -1,
                   "grpc.use_local_subchannel_pool": 1, **options}
        return grpc.insecure_channel("unix:" + self.address, options=list(options.items()))

    def message(self, name):
        descriptor = self.pool.FindMessageTypeByName(name)
        if hasattr(message_factory, "GetMessageClass"):
            return message_factory.GetMessageClass(descriptor)
        return message_factory.MessageFactory(self.pool).GetPrototype(descriptor)

    def method(self, name, channel=None):
        service, method = name.split("/")
        found = self.pool.FindServiceByName(service).FindMethodByName(method)
        proto = descriptor_pb2.MethodDescriptorProto()
        found.CopyToProto(proto)
        kind = "_".join("stream" if s else "unary"
                        for s in (proto.client_streaming, proto.server_streaming))
        request = self.message(found.input_type.full_name)
        response = self.message(found.output_type.full_name)
        stub = getattr(channel or self.channel, kind)(
            f"/{name}", request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=response.FromString)
        return stub, request

    def call(self, path, /, *, namespace=NAMESPACE, channel=None, timeout=30, **fields):
        """Unary methods: the response. Server streams: the call to iterate over."""
        stub, request = self.method(path, channel)
        return stub(request(**fields), timeout=timeout, metadata=metadata(namespace))

    def stream(self, name, messages, namespace=NAMESPACE, timeout=60):
        """Bidirectional methods: messages are dictionaries."""
        stub, request = self.method(name)
        return stub((request(**m) for m in messages), timeout=timeout,
                    metadata=metadata(namespace))

    def raw(self, name, data, timeout=10, **more):
        stub = self.channel.unary_unary(f"/{name}", request_serializer=None,
                                        response_deserializer=None)
        return stub(data, timeout=timeout, metadata=metadata(NAMESPACE), **more)


# What no lease holds may be collected at any moment, so every case works under one of its own.
LEASE = [f"case-{os.getpid()}"]


def metadata(namespace):
    if namespace is None:
        return []
    return [("containerd-namespace", namespace)] + [("containerd-lease", name) for name in LEASE]


def case(function):
    CASES[function.__name__] = function
    return function


def equal(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def true(value, what):
    if not value:
        raise AssertionError(f"not true: {what}")


def refused(code, text, function, /, *arguments, **named):
    """The call fails with this code (or one of these) and this text in its message."""
    codes = code if isinstance(code, tuple) else (code,)
    try:
        result = function(*arguments, **named)
        if isinstance(result, grpc.Call):  # a stream fails while it is read
            list(result)
    except grpc.RpcError as error:
        true(error.code() in codes,
             f"code {error.code()} with {error.details()!r} is one of {codes}")
        true(text in error.details(), f"{text!r} in {error.details()!r}")
        return error
    raise AssertionError(f"accepted, wanted {codes}")


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def namespaces(api, method, /, **fields):
    """The field that is called namespace collides with the parameter of call()."""
    stub, request = api.method(SERVICES + "namespaces.v1.Namespaces/" + method)
    return stub(request(**fields), timeout=30, metadata=metadata(NAMESPACE))


def write(api, data, ref, chunk=1 << 20, expected=None, commit=True, total=0, labels=None):
    messages = [{"action": 1, "ref": ref, "total": total, "offset": i, "data": data[i:i + chunk]}
                for i in range(0, len(data), chunk)]
    if commit:
        messages.append({"action": 2, "ref": ref, "total": total, "offset": len(data),
                         "expected": expected or digest_of(data), "labels": labels or {}})
    return list(api.stream(SERVICES + "content.v1.Content/Write", messages))


def delete_content(api, digest):
    api.call(SERVICES + "content.v1.Content/Delete", digest=digest)


@case
def version(api):
    reply = api.call(SERVICES + "version.v1.Version/Version", namespace=None)
    major, minor = reply.version.removeprefix("v").split(".")[:2]
    true(int(major) >= 1 and int(minor) >= 0, f"{reply.version} is a semantic version")


@case
def health(api):
    check = "grpc.health.v1.Health/Check"
    equal(api.call(check, namespace=None).status, 1, "status")
    refused(grpc.StatusCode.NOT_FOUND, "unknown service", api.call, check, service="nosuch")
    watch = api.call("grpc.health.v1.Health/Watch", namespace=None)
    equal(next(watch).status, 1, "first status of a watch")
    watch.cancel()


@case
def introspection(api):
    plugins = api.call(SERVICES + "introspection.v1.Introspection/Plugins", namespace=None).plugins
    names = {(p.type, p.id) for p in plugins}
    for kind, name in (("io.containerd.content.v1", "content"),
                       ("io.containerd.snapshotter.v1", "overlayfs"),
                       ("io.containerd.snapshotter.v1", "native")):
        true((kind, name) in names, f"{kind} {name} is in {sorted(names)}")
    filtered = api.call(SERVICES + "introspection.v1.Introspection/Plugins", namespace=None,
                        filters=["type==io.containerd.snapshotter.v1"]).plugins
    equal({p.type for p in filtered}, {"io.containerd.snapshotter.v1"}, "types after a filter")
    server = api.call(SERVICES + "introspection.v1.Introspection/Server", namespace=None)
    true(len(server.uuid) == 36, f"{server.uuid!r} is a UUID")


@case
def namespace_life(api):
    name = NAMESPACE + "-crud"
    namespaces(api, "Create", namespace={"name": name, "labels": {"a": "1"}})
    refused(grpc.StatusCode.ALREADY_EXISTS, name, namespaces, api, "Create",
            namespace={"name": name})
    equal(dict(namespaces(api, "Get", name=name).namespace.labels), {"a": "1"}, "labels")
    namespaces(api, "Update", namespace={"name": name, "labels": {"b": "2", "c": "3"}},
               update_mask={"paths": ["labels.b"]})
    equal(dict(namespaces(api, "Get", name=name).namespace.labels), {"a": "1", "b": "2"},
          "labels after a masked update")
    namespaces(api, "Update", namespace={"name": name, "labels": {"d": "4"}})
    equal(dict(namespaces(api, "Get", name=name).namespace.labels)["d"], "4", "label d")
    true(name in [n.name for n in namespaces(api, "List").namespaces], "it is listed")
    api.call(SERVICES + "containers.v1.Containers/Create", namespace=name,
             container=container("one"))
    refused(grpc.StatusCode.FAILED_PRECONDITION, name, namespaces, api, "Delete", name=name)
    api.call(SERVICES + "containers.v1.Containers/Delete", namespace=name, id="one")
    namespaces(api, "Delete", name=name)
    true(name not in [n.name for n in namespaces(api, "List").namespaces], "it is listed no more")
    refused(grpc.StatusCode.NOT_FOUND, name, namespaces, api, "Delete", name=name)
    for bad in ("", "-x", "a b", "a/b", "x" * 77, "ü", "../x", "a\nb"):
        refused(grpc.StatusCode.INVALID_ARGUMENT, "", namespaces, api, "Create",
                namespace={"name": bad})


@case
def namespace_is_required(api):
    method = SERVICES + "containers.v1.Containers/List"
    refused(grpc.StatusCode.FAILED_PRECONDITION, "namespace is required", api.call, method,
            namespace=None)
    refused(grpc.StatusCode.INVALID_ARGUMENT, "", api.call, method, namespace="a b")


@case
def content_20_mb_slow_reader(api):
    data = os.urandom(20_000_000)
    replies = write(api, data, "slow", chunk=(1 << 20) + 13)
    equal(replies[-1].digest, digest_of(data), "digest")
    equal(replies[-1].offset, len(data), "offset")
    read = hashlib.sha256()
    size = 0
    for reply in api.call(SERVICES + "content.v1.Content/Read", digest=digest_of(data)):
        equal(reply.offset, size, "offset")
        read.update(reply.data)
        size += len(reply.data)
        time.sleep(0.02)  # the reader is slow: that is the case
    equal((size, read.hexdigest()), (len(data), digest_of(data)[7:]), "what was read")
    part = b"".join(r.data for r in api.call(SERVICES + "content.v1.Content/Read",
                                             digest=digest_of(data), offset=9_999_999, size=77))
    equal(part, data[9_999_999:10_000_076], "a part")
    refused(grpc.StatusCode.OUT_OF_RANGE, "", api.call, SERVICES + "content.v1.Content/Read",
            digest=digest_of(data), offset=len(data) + 1)
    delete_content(api, digest_of(data))


@case
def content_errors(api):
    data = b"x" * 1000
    lie = "sha256:" + "0" * 64
    refused(grpc.StatusCode.FAILED_PRECONDITION, lie, write, api, data, "lie", expected=lie)
    refused(grpc.StatusCode.FAILED_PRECONDITION, "", write, api, data, "size", total=999)
    refused((grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION), "sha256:xyz",
            write, api, data, "bad", expected="sha256:xyz")
    refused(grpc.StatusCode.INVALID_ARGUMENT, "", write, api, data, "")
    for method in ("Info", "Read", "Delete"):
        refused(grpc.StatusCode.NOT_FOUND, "not found", api.call,
                f"{SERVICES}content.v1.Content/{method}", digest=lie)
        refused(grpc.StatusCode.INVALID_ARGUMENT, "", api.call,
                f"{SERVICES}content.v1.Content/{method}", digest="../../etc/passwd")
    refused(grpc.StatusCode.NOT_FOUND, "nosuch", api.call,
            SERVICES + "content.v1.Content/Status", ref="nosuch")
    write(api, data, "good")
    refused(grpc.StatusCode.ALREADY_EXISTS, digest_of(data), write, api, data, "again")
    delete_content(api, digest_of(data))
    for ref in ("lie", "size", "bad", "again"):
        try:
            api.call(SERVICES + "content.v1.Content/Abort", ref=ref)
        except grpc.RpcError as error:
            equal(error.code(), grpc.StatusCode.NOT_FOUND, "code of abort")
    left = api.call(SERVICES + "content.v1.Content/ListStatuses").statuses
    equal([s.ref for s in left], [], "ingests left")


@case
def content_resumed(api):
    data = os.urandom(3_000_000)
    first = write(api, data[:1_000_000], "resumed", commit=False)
    equal(first[-1].offset, 1_000_000, "offset")
    status = api.call(SERVICES + "content.v1.Content/Status", ref="resumed").status
    equal((status.ref, status.offset), ("resumed", 1_000_000), "status")
    refused(grpc.StatusCode.OUT_OF_RANGE, "", lambda: list(api.stream(
        SERVICES + "content.v1.Content/Write",
        [{"action": 1, "ref": "resumed", "offset": 1_000_001, "data": b"gap"}])))
    replies = list(api.stream(SERVICES + "content.v1.Content/Write", [
        {"action": 0, "ref": "resumed"},
        {"action": 1, "ref": "resumed", "offset": 1_000_000, "data": data[1_000_000:]},
        {"action": 2, "ref": "resumed", "offset": len(data), "total": len(data),
         "expected": digest_of(data), "labels": {"kind": "resumed"}}]))
    equal(replies[0].offset, 1_000_000, "offset of a stat")
    equal(replies[-1].digest, digest_of(data), "digest")
    info = api.call(SERVICES + "content.v1.Content/Info", digest=digest_of(data)).info
    equal((info.size, info.labels["kind"]), (len(data), "resumed"), "info")
    info = api.call(SERVICES + "content.v1.Content/Update",
                    info={"digest": digest_of(data), "labels": {"two": "2"}},
                    update_mask={"paths": ["labels.two"]}).info
    equal(dict(info.labels), {"kind": "resumed", "two": "2"}, "labels")
    found = [i.digest for r in api.call(SERVICES + "content.v1.Content/List",
                                        filters=['labels."two"==2']) for i in r.info]
    equal(found, [digest_of(data)], "what a filter finds")
    delete_content(api, digest_of(data))


@case
def content_locked(api):
    """A second writer of one ref is told that it is locked while the first is open."""
    opened, finish = threading.Event(), threading.Event()

    def messages():
        yield {"action": 1, "ref": "locked", "data": b"first"}
        opened.wait(20)
        finish.wait(20)

    first = api.stream(SERVICES + "content.v1.Content/Write", messages())
    equal(next(first).offset, 5, "offset")
    opened.set()
    refused(grpc.StatusCode.UNAVAILABLE, "locked", write, api, b"second", "locked")
    finish.set()
    list(first)
    api.call(SERVICES + "content.v1.Content/Abort", ref="locked")


def container(name, **labels):
    return {"id": name, "labels": labels, "image": f"docker.io/library/{name}:1",
            "runtime": {"name": "io.containerd.runc.v2"}, "snapshotter": "overlayfs",
            "spec": {"type_url": "types.containerd.io/opencontainers/runtime-spec/1/Spec",
                     "value": b'{"ociVersion":"1.0.2"}'}}


@case
def containers_and_filters(api):
    base = SERVICES + "containers.v1.Containers/"
    for i in range(20):
        made = api.call(base + "Create", container=container(
            f"c{i:02}", parity="odd" if i % 2 else "even", number=str(i))).container
        true(made.created_at.seconds > 0, "created_at is set")
    for filters, wanted in (
            ([], 20), (["id==c07"], 1), (["id~=^c0"], 10), (["labels.parity==odd"], 10),
            (['labels."parity"==odd,id~="c1."'], 5), (["id==c01", "id==c02"], 2),
            (["labels.parity!=odd"], 10), (["labels.nosuch"], 0),
            (["image==docker.io/library/c03:1"], 1), (["runtime.name==io.containerd.runc.v2"], 20)):
        got = [c.id for c in api.call(base + "List", filters=filters).containers]
        equal(len(got), wanted, f"number found by {filters} ({got})")
        equal(len([m for m in api.call(base + "ListStream", filters=filters)]), wanted,
              f"number streamed by {filters}")
    for bad in ("id==", "==x", "labels.", 'id=="'):
        refused(grpc.StatusCode.INVALID_ARGUMENT, "", api.call, base + "List", filters=[bad])
    updated = api.call(base + "Update", container={"id": "c01", "labels": {"new": "1"},
                                                   "image": "other"},
                       update_mask={"paths": ["labels.new"]}).container
    equal((updated.labels["new"], updated.labels["parity"], updated.image),
          ("1", "odd", "docker.io/library/c01:1"), "a masked update")
    refused(grpc.StatusCode.INVALID_ARGUMENT, "", api.call, base + "Update",
            container={"id": "c01"}, update_mask={"paths": ["nosuch"]})
    refused(grpc.StatusCode.ALREADY_EXISTS, "c01", api.call, base + "Create",
            container=container("c01"))
    for bad in ("", "a b", "x" * 77, "../a", "a/b"):
        refused(grpc.StatusCode.INVALID_ARGUMENT, "", api.call, base + "Create",
                container=container(bad))
    for i in range(20):
        api.call(base + "Delete", id=f"c{i:02}")
    refused(grpc.StatusCode.NOT_FOUND, "not found", api.call, base + "Delete", id="c01")
    equal(len(api.call(base + "List").containers), 0, "containers left")


@case
def images(api):
    base = SERVICES + "images.v1.Images/"
    data = b'{"schemaVersion":2}'
    write(api, data, "image", labels={"containerd.io/gc.root": "1"})
    target = {"media_type": "application/vnd.oci.image.manifest.v1+json",
              "digest": digest_of(data), "size": len(data)}
    api.call(base + "Create", image={"name": "example.com/a:1", "target": target})
    refused(grpc.StatusCode.ALREADY_EXISTS, "example.com/a:1", api.call, base + "Create",
            image={"name": "example.com/a:1", "target": target})
    reply = api.call(base + "Update", image={"name": "example.com/a:1", "labels": {"l": "1"}},
                     update_mask={"paths": ["labels"]}).image
    equal((dict(reply.labels), reply.target.digest), ({"l": "1"}, digest_of(data)), "image")
    equal([i.name for i in api.call(base + "List", filters=["name~=^example"]).images],
          ["example.com/a:1"], "images found")
    api.call(base + "Delete", name="example.com/a:1", sync=True)
    refused(grpc.StatusCode.NOT_FOUND, "example.com/a:1", api.call, base + "Get",
            name="example.com/a:1")
    delete_content(api, digest_of(data))


@case
def leases(api):
    base = SERVICES + "leases.v1.Leases/"
    LEASE.clear()
    api.call(base + "Create", id="l1", labels={"a": "b"})
    refused(grpc.StatusCode.ALREADY_EXISTS, "l1", api.call, base + "Create", id="l1")
    data = b"held by a lease"
    stub, request = api.method(SERVICES + "content.v1.Content/Write")
    list(stub(iter([request(action=2, ref="leased", data=data, expected=digest_of(data))]),
              timeout=10, metadata=metadata(NAMESPACE) + [("containerd-lease", "l1")]))
    held = api.call(base + "ListResources", id="l1").resources
    equal([(r.id, r.type) for r in held], [(digest_of(data), "content")], "resources")
    equal([l.id for l in api.call(base + "List", filters=['labels."a"==b']).leases], ["l1"],
          "leases found")
    api.call(base + "Delete", id="l1", sync=True)
    refused(grpc.StatusCode.NOT_FOUND, digest_of(data), api.call,
            SERVICES + "content.v1.Content/Info", digest=digest_of(data))
    refused(grpc.StatusCode.NOT_FOUND, "nosuch", api.call, base + "Delete", id="nosuch")


@case
def snapshots(api):
    base = SERVICES + "snapshots.v1.Snapshots/"
    for name in ("overlayfs", "native"):
        mounts = api.call(base + "Prepare", snapshotter=name, key="k1").mounts
        true(len(mounts) >= 1 and mounts[0].source, f"{name}: mounts {mounts}")
        refused(grpc.StatusCode.ALREADY_EXISTS, "k1", api.call, base + "Prepare",
                snapshotter=name, key="k1")
        api.call(base + "Commit", snapshotter=name, key="k1", name="k2", labels={"x": "y"})
        info = api.call(base + "Stat", snapshotter=name, key="k2").info
        equal((info.kind, info.labels["x"]), (3, "y"), "committed snapshot")
        api.call(base + "View", snapshotter=name, key="k3", parent="k2")
        refused(grpc.StatusCode.FAILED_PRECONDITION, "", api.call, base + "Remove",
                snapshotter=name, key="k2")
        refused(grpc.StatusCode.NOT_FOUND, "nosuch", api.call, base + "Prepare",
                snapshotter=name, key="k4", parent="nosuch")
        listed = [i.name for r in api.call(base + "List", snapshotter=name) for i in r.info]
        true({"k2", "k3"} <= set(listed), f"{listed} has k2 and k3")
        for key in ("k3", "k2"):
            api.call(base + "Remove", snapshotter=name, key=key)
        refused(grpc.StatusCode.NOT_FOUND, "k2", api.call, base + "Stat", snapshotter=name,
                key="k2")
    refused((grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND), "nosuch", api.call,
            base + "Prepare", snapshotter="nosuch", key="k1")


@case
def events(api):
    base = SERVICES + "events.v1.Events/"
    name = NAMESPACE + "-event"
    stream = api.call(base + "Subscribe", timeout=30,
                      filters=['topic=="/namespaces/create"', "topic~=^/mine"])
    got = []
    seen = threading.Event()

    def collect():
        try:
            for envelope in stream:
                got.append(envelope)
                seen.set()
        except grpc.RpcError:
            pass

    reader = threading.Thread(target=collect)
    reader.start()
    event = {"type_url": "example.com/mine", "value": b"payload"}
    deadline = time.monotonic() + 20
    while not seen.is_set():  # until the subscription stands
        true(time.monotonic() < deadline, "an event arrives")
        api.call(base + "Publish", topic="/mine/hello", event=event)
        seen.wait(0.1)
    namespaces(api, "Create", namespace={"name": name})
    namespaces(api, "Delete", name=name)
    while not any(e.topic == "/namespaces/create" for e in got):
        true(time.monotonic() < deadline, f"the namespace's event arrives after {got}")
        time.sleep(0.02)
    stream.cancel()
    reader.join()
    mine = next(e for e in got if e.topic == "/mine/hello")
    equal((mine.event.type_url, mine.event.value, mine.namespace),
          ("example.com/mine", b"payload", NAMESPACE), "what was published")
    made = next(e for e in got if e.topic == "/namespaces/create")
    equal(made.event.type_url.rpartition("/")[2], "containerd.events.NamespaceCreate", "type")
    equal(api.message("containerd.events.NamespaceCreate").FromString(made.event.value).name, name,
          "name in the event")
    true(all(e.topic != "/namespaces/delete" for e in got), "the filter holds back the rest")
    refused((grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNKNOWN), "", lambda: list(api.call(
        base + "Subscribe", timeout=10, filters=["==x"])))


@case
def unknown_service_and_method(api):
    refused(grpc.StatusCode.UNIMPLEMENTED, "unknown service no.such.Service", api.raw,
            "no.such.Service/Method", b"")
    refused(grpc.StatusCode.UNIMPLEMENTED,
            "unknown method Nope for service containerd.services.version.v1.Version", api.raw,
            SERVICES + "version.v1.Version/Nope", b"")


@case
def malformed_messages(api):
    wrong = (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)
    get = SERVICES + "containers.v1.Containers/Get"
    refused(wrong, "", api.raw, get, b"\xff\xff\xff\xff\xff")
    refused(wrong, "", api.raw, get, b"\x0a\x7fshort")
    if not STOCK:  # the stock server takes any bytes for a string
        refused(wrong, "", api.raw, get, b"\x0a\x02\xff\xfe")
        refused((*wrong, grpc.StatusCode.NOT_FOUND), "", api.raw, get, b"\x0a\x03a\x00b")
    version(api)


@case
def compressed_request(api):
    refused(grpc.StatusCode.UNIMPLEMENTED, "grpc-encoding", api.raw,
            SERVICES + "containers.v1.Containers/Get", b"\x0a\x01x" * 1000,
            compression=grpc.Compression.Gzip)


@case
def deadline(api):
    start = time.monotonic()
    refused(grpc.StatusCode.DEADLINE_EXCEEDED, "", lambda: list(
        api.call(SERVICES + "events.v1.Events/Subscribe", timeout=0.4)))
    taken = time.monotonic() - start
    true(0.3 < taken < 5, f"it took {taken:.2f} s")
    version(api)


@case
def message_size(api):
    refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max", lambda: list(api.stream(
        SERVICES + "content.v1.Content/Write",
        [{"action": 1, "ref": "huge", "data": b"x" * (MAX_MESSAGE + 1)}])))
    data = b"y" * (MAX_MESSAGE - 4096)
    equal(write(api, data, "large", chunk=len(data))[-1].digest, digest_of(data), "digest")
    delete_content(api, digest_of(data))
    left = [s.ref for s in api.call(SERVICES + "content.v1.Content/ListStatuses").statuses]
    true("huge" not in left, f"nothing is kept of it: {left}")


@case
def encoded_error_text(api):
    # The stock server formats its texts twice, which eats a per cent sign.
    name = ("50" if STOCK else "50%C3 %") + " of \u00fc \u4e16\u754c\ttab"
    error = refused(grpc.StatusCode.NOT_FOUND, "not found", api.call,
                    SERVICES + "images.v1.Images/Get", name=name)
    plain = name in error.details()
    quoted = name.replace("\t", "\\t") in error.details()
    true(plain or quoted, f"{error.details()!r} has the name")


def open_files(api):
    pid = os.environ.get("DAEMON_PID")
    return len(os.listdir(f"/proc/{pid}/fd")) if pid else 0


@case
def cancellation(api):
    """A caller that goes away takes its handlers along."""
    subscribe = SERVICES + "events.v1.Events/Subscribe"
    version(api)
    before = open_files(api)
    for _ in range(10):
        channel = api.connect()
        calls = [api.call(subscribe, channel=channel, timeout=60) for _ in range(20)]
        api.call(SERVICES + "version.v1.Version/Version", channel=channel)
        for one in calls[:10]:
            one.cancel()
        channel.close()  # and the other ten with their connection
    deadline_at = time.monotonic() + 10
    while open_files(api) > before + 2:
        true(time.monotonic() < deadline_at, f"{open_files(api)} files open, {before} before")
        time.sleep(0.05)
    data = os.urandom(8_000_000)
    write(api, data, "cancelled")
    for _ in range(20):
        read = api.call(SERVICES + "content.v1.Content/Read", digest=digest_of(data))
        next(read)
        read.cancel()
    delete_content(api, digest_of(data))
    version(api)


@case
def slow_readers_do_not_delay_others(api):
    """Fifty readers that do not read, fifty subscribers; health answers at once."""
    data = os.urandom(4_000_000)
    write(api, data, "bulk")
    slow = api.connect(**{"grpc.http2.lookahead_bytes": 65536})
    reads = [api.call(SERVICES + "content.v1.Content/Read", channel=slow, digest=digest_of(data),
                      timeout=60) for _ in range(50)]
    waits = [api.call(SERVICES + "events.v1.Events/Subscribe", channel=slow, timeout=60)
             for _ in range(50)]
    other = api.connect()
    for _ in range(20):
        start = time.monotonic()
        api.call("grpc.health.v1.Health/Check", namespace=None, channel=other, timeout=5)
        true(time.monotonic() - start < 2, "health answers within two seconds")
    for one in waits:
        one.cancel()
    for one in reads:
        equal(sum(len(r.data) for r in one), len(data), "bytes read in the end")
    slow.close()
    other.close()
    delete_content(api, digest_of(data))


@case
def many_calls_at_once(api):
    stub, request = api.method(SERVICES + "version.v1.Version/Version")
    futures = [stub.future(request(), timeout=30) for _ in range(2000)]
    equal(len({f.result().version for f in futures}), 1, "versions")


@case
def tasks_of_nobody(api):
    base = SERVICES + "tasks.v1.Tasks/"
    equal(len(api.call(base + "List").tasks), 0, "tasks")
    for method in ("Get", "Start", "Kill", "Wait", "Delete", "Pause", "ListPids"):
        refused(grpc.StatusCode.NOT_FOUND, "nosuch", api.call, base + method,
                container_id="nosuch")


def task_with_wrong_output(api):
    """Not in the list: bad-input.bats brings a container and a path."""
    path, name = os.environ["STDOUT"], os.environ["CONTAINER"]
    tasks = SERVICES + "tasks.v1.Tasks/"
    found = api.call(SERVICES + "containers.v1.Containers/Get", id=name).container
    rootfs = api.call(SERVICES + "snapshots.v1.Snapshots/Mounts", snapshotter=found.snapshotter,
                      key=found.snapshot_key).mounts
    create = {"container_id": name, "rootfs": rootfs, "stdout": path, "stderr": path}
    try:
        api.call(tasks + "Create", **create)
        api.call(tasks + "Start", container_id=name)
    except grpc.RpcError as error:
        true(os.path.basename(path) in error.details(), f"{error.details()!r} names {path}")
    else:
        raise AssertionError(f"a task writes to {path}")
    equal(len(api.call(tasks + "List").tasks), 0, "tasks left")


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
        return
    descriptors, address, name = sys.argv[1:]
    api = Api(descriptors, address)
    lease = LEASE.pop()
    try:
        namespaces(api, "Create", namespace={"name": NAMESPACE})
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.ALREADY_EXISTS, "code")
    api.call(SERVICES + "leases.v1.Leases/Create", id=lease)
    LEASE.append(lease)
    try:
        (CASES.get(name) or globals()[name])(api)
    finally:
        LEASE.clear()
        api.call(SERVICES + "leases.v1.Leases/Delete", id=lease, sync=True)


main()
