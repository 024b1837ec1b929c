#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Write an image that is wrong, or means harm, in one way.

  bad-image.py KIND OUTPUT [HOST-DIRECTORY]     HOST-DIRECTORY: what an escape aims at
"""

import gzip
import hashlib
import importlib.machinery
import importlib.util
import io
import json
import os
import sys
import tarfile

sys.dont_write_bytecode = True
TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/make-image")
loader = importlib.machinery.SourceFileLoader("make_image", TOOL)
spec = importlib.util.spec_from_loader("make_image", loader)
make_image = importlib.util.module_from_spec(spec)
loader.exec_module(make_image)

entry, add_file, MEDIA = make_image.entry, make_image.add_file, make_image.MEDIA
NAME = "docker.io/library/bad:latest"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(*fills):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for fill in fills:
            fill(tar)
    return out.getvalue()


def member(name, kind=tarfile.REGTYPE, data=None, mode=0o644, **more):
    def fill(tar):
        if data is not None:
            tar.addfile(entry(name, kind, mode, size=len(data), **more), io.BytesIO(data))
        else:
            tar.addfile(entry(name, kind, mode, **more))
    return fill


class Image:
    """One layer over nothing, with a place to go wrong at each step."""

    def __init__(self, tar_bytes):
        self.tar = tar_bytes
        self.diff_id = sha256(tar_bytes)
        self.blob = gzip.compress(tar_bytes, 6, mtime=0)
        self.blob_digest = None  # None: the true one
        self.layer_type = MEDIA + "layer.v1.tar+gzip"
        self.config = None
        self.user = ""
        self.config_size = None
        self.manifest_extra = {}

    def write(self, path):
        out = make_image.Layout(path)
        config = self.config
        if config is None:
            config = json.dumps({
                "architecture": make_image.ARCHITECTURES.get(os.uname().machine, "amd64"),
                "os": "linux",
                "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "User": self.user},
                "rootfs": {"type": "layers", "diff_ids": [self.diff_id]}}).encode()
        blob = out.add_blob(self.layer_type, self.blob, self.blob_digest)
        configured = out.add_blob(MEDIA + "config.v1+json", config)
        if self.config_size is not None:
            configured["size"] = self.config_size
        manifest = {"schemaVersion": 2, "mediaType": MEDIA + "manifest.v1+json",
                    "config": configured, "layers": [blob], **self.manifest_extra}
        descriptor = out.add_blob(MEDIA + "manifest.v1+json", json.dumps(manifest).encode())
        descriptor["platform"] = {
            "architecture": make_image.ARCHITECTURES.get(os.uname().machine, "amd64"),
            "os": "linux"}
        out.finish(NAME, descriptor, configured["digest"], [blob["digest"]])


def base(tar):
    """A root file system that no other image has, so that no layer of it is there already."""
    make_image.add_base(tar)
    add_file(tar, "etc/kind", " ".join(sys.argv[1:2]).encode())


def truncated_layer(_):
    image = Image(layer(base))
    image.blob = image.blob[:len(image.blob) // 2]
    return image


def truncated_tar(_):
    whole = layer(base)
    image = Image(whole[:len(whole) // 2 + 100])
    return image


def lying_layer_digest(_):
    image = Image(layer(base))
    image.blob_digest = sha256(b"something else")
    return image


def lying_diff_id(_):
    image = Image(layer(base))
    image.diff_id = sha256(b"something else")
    return image


def not_gzip(_):
    image = Image(layer(base))
    image.blob = b"this is no gzip stream" * 100
    return image


def trailing_garbage(_):
    image = Image(layer(base))
    image.blob += b"\xde\xad\xbe\xef" * 10
    return image


def dotdot(host):
    return Image(layer(
        base, member("../" * 20 + host.lstrip("/") + "/escaped-1", data=b"x"),
        member("etc/../../../../../../../.." + host + "/escaped-2", data=b"x"),
        member(host + "/inside", data=b"x"),
        member("..", tarfile.DIRTYPE, mode=0o777), member("../..", tarfile.DIRTYPE, mode=0o777)))


def symlink(host):
    """Links to the host's directory, and then files through the links."""
    return Image(layer(
        base, member("absolute", tarfile.SYMTYPE, linkname=host),
        member("absolute/escaped-1", data=b"x"),
        member("relative", tarfile.SYMTYPE, linkname="../" * 20 + host.lstrip("/")),
        member("relative/escaped-2", data=b"x"),
        member("proc-root", tarfile.SYMTYPE, linkname="/proc/self/root"),
        member("proc-root" + host + "/escaped-3", data=b"x"),
        member("absolute/victim", data=b"overwritten"),
        member("root-link", tarfile.SYMTYPE, linkname="/"),
        member("root-link" + host + "/victim", data=b"overwritten")))


def final_symlink(host):
    """A file written over a link must replace the link, not write through it."""
    return Image(layer(
        base, member("link", tarfile.SYMTYPE, linkname=host + "/victim"),
        member("link", data=b"overwritten", mode=0o777)))


def hardlink(host):
    return Image(layer(base, member("hard", tarfile.LNKTYPE, linkname=host + "/victim"),
                       member("hard", data=b"overwritten")))


def hardlink_dotdot(host):
    return Image(layer(base, member(
        "hard", tarfile.LNKTYPE, linkname="../" * 20 + host.lstrip("/") + "/victim")))


def hardlink_through_symlink(host):
    return Image(layer(
        base, member("dir", tarfile.SYMTYPE, linkname=host),
        member("hard", tarfile.LNKTYPE, linkname="dir/victim")))


def whiteout(host):
    """Deletions that aim outside."""
    return Image(layer(
        base, member("../" * 20 + host.lstrip("/") + "/.wh.victim", data=b""),
        member("dir", tarfile.SYMTYPE, linkname=host),
        member("dir/.wh.victim", data=b""),
        member("tmp/.wh...", data=b""), member("tmp/.wh..", data=b""),
        member("dir/.wh..wh..opq", data=b""), member(".wh.", data=b"")))


def device_bomb(_):
    return Image(layer(base, member("nodes", tarfile.DIRTYPE, mode=0o755), *(
        member(f"nodes/n{i}", tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3)
        for i in range(50_000))))


def gzip_bomb(_):
    """Half a gigabyte that compresses to two megabytes, claimed by one honest entry."""
    size = 500_000_000
    head = entry("zeros", mode=0o644, size=size).tobuf(tarfile.PAX_FORMAT)
    whole, blob = hashlib.sha256(), io.BytesIO()
    with gzip.GzipFile(fileobj=blob, mode="wb", compresslevel=1, mtime=0) as stream:
        zeros = bytes(1 << 20)
        padded = (size + 511) // 512 * 512 + 1024
        for part in [head] + [zeros] * (padded >> 20) + [bytes(padded & 0xfffff)]:
            stream.write(part)
            whole.update(part)
    image = Image(layer(base))
    image.blob, image.diff_id = blob.getvalue(), "sha256:" + whole.hexdigest()
    return image


def entry_bomb(_):
    return Image(layer(base, *(member(f"tmp/e{i}", data=b"") for i in range(20_000))))


def deep_directories(_):
    return Image(layer(base, member("d/" * 3000 + "file", data=b"x")))


def long_name(_):
    return Image(layer(base, member("x" * 300, data=b"x")))


def pax_lies(_):
    """A header whose size field is negative, after whose sign a reader may run backwards."""
    head = bytearray(entry("liar", mode=0o644, size=0).tobuf(tarfile.USTAR_FORMAT))
    head[124:136] = b"\xff" * 12  # base-256, minus one
    head[148:156] = b"        "
    head[148:156] = b"%06o\0 " % sum(head)
    return Image(bytes(head) + layer(base))


def config_not_json(_):
    image = Image(layer(base))
    image.config = b"{ this is no JSON"
    return image


def config_not_object(_):
    image = Image(layer(base))
    image.config = b"[1, 2, 3]"
    return image


def config_nested(_):
    image = Image(layer(base))
    image.config = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    return image


def config_huge(_):
    image = Image(layer(base))
    image.config = b'{"os":"linux"' + b" " * 100_000_000 + b"}"
    return image


def config_size_lies(_):
    image = Image(layer(base))
    image.config_size = 2 << 30
    return image


def user_too_large(_):
    image = Image(layer(base))
    image.user = "4294967296"
    return image


def user_wraps(_):
    image = Image(layer(base))
    image.user = "18446744073709551616"  # 0 in 64 bits
    return image


def manifest_and_index(_):
    image = Image(layer(base))
    image.manifest_extra = {"manifests": [{
        "mediaType": MEDIA + "manifest.v1+json", "digest": sha256(b"x"), "size": 1}]}
    return image


def main():
    kind, output, *host = sys.argv[1:]
    globals()[kind.replace("-", "_")](host[0] if host else "/nowhere").write(output)


main()
