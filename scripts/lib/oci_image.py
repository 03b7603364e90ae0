"""The image of the Dockerfile without a container engine.

    oci_image.py sources                       the files that the build stage copies
    oci_image.py write DIR BASE PROGRAM        an OCI layout in DIR: the root file system BASE, and
                                               PROGRAM in the place of what the build stage makes
    oci_image.py config DIR                    the layout's configuration, one `key<TAB>value` a line
    oci_image.py unpack DIR TREE               the layout's root file system

Every instruction of the last stage is applied; one that is unknown here is an error, so that the
image tried is the image of the Dockerfile.
"""

import gzip
import hashlib
import io
import json
import pathlib
import platform
import re
import shlex
import string
import sys
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# What the base image of the Dockerfile sets.
BASE_CONFIG = {
    "Env": [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
    ],
    "User": "65532",
    "WorkingDir": "/home/nonroot",
}
OCI = "application/vnd.oci.image"


def stages(text):
    """The instructions of each stage, as (name, rest)."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found = []
    for line in filter(str.strip, text.splitlines()):
        name, rest = line.split(None, 1)
        if name == "FROM":
            found.append([])
        else:
            found[-1].append((name, rest.strip()))
    return found


def sources(build_stage):
    for name, rest in build_stage:
        if name == "COPY":
            yield from rest.split()[:-1]


def nanoseconds(duration):
    return int(duration.removesuffix("s")) * 1_000_000_000


def healthcheck(rest):
    options, command = rest.split("CMD", 1)
    options = dict(option.removeprefix("--").split("=") for option in options.split())
    return {
        "Test": ["CMD", *json.loads(command)],
        "Interval": nanoseconds(options["interval"]),
        "Timeout": nanoseconds(options["timeout"]),
        "StartPeriod": nanoseconds(options["start-period"]),
        "Retries": int(options["retries"]),
    }


def apply(last_stage):
    """The image's configuration, and where the program is copied to."""
    config, arguments, target = dict(BASE_CONFIG), {}, None
    for name, rest in last_stage:
        if name == "ARG":
            key, _, value = rest.partition("=")
            arguments[key] = value
        elif name == "LABEL":
            pairs = shlex.split(string.Template(rest).substitute(arguments))
            config.setdefault("Labels", {}).update(pair.split("=", 1) for pair in pairs)
        elif name == "ENV":
            config["Env"] = config["Env"] + shlex.split(rest)
        elif name == "EXPOSE":
            config["ExposedPorts"] = {f"{port}/tcp": {} for port in rest.split()}
        elif name == "USER":
            config["User"] = rest
        elif name in ("ENTRYPOINT", "CMD"):
            config[name.capitalize()] = json.loads(rest)
        elif name == "HEALTHCHECK":
            # Not in the specification of OCI; BuildKit writes it and Docker reads it.
            config["Healthcheck"] = healthcheck(rest)
        elif name == "COPY" and rest.startswith("--from=build "):
            target = rest.split()[2]
        else:
            sys.exit(f"Dockerfile: {name} {rest}: not supported by {sys.argv[0]}")
    return config, target


def own(member):
    """Root owns everything but the user's home, and times say nothing: builds are reproducible."""
    member.uid = member.gid = 65532 if member.name == "home/nonroot" else 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member


def layer(paths):
    """A tar archive of (path, name in the image)."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, name in paths:
            tar.add(path, name, recursive=False, filter=own)
    return archive.getvalue()


class Layout:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def blob(self, media_type, content):
        digest = hashlib.sha256(content).hexdigest()
        path = self.folder / "blobs" / "sha256" / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def json_blob(self, media_type, content):
        return self.blob(media_type, json.dumps(content, sort_keys=True).encode())

    def read(self, descriptor):
        return (self.folder / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()

    def manifest(self):
        index = json.loads((self.folder / "index.json").read_text())
        return json.loads(self.read(index["manifests"][0]))

    def config(self):
        return json.loads(self.read(self.manifest()["config"]))["config"]

    def write(self, base, program):
        config, target = apply(stages(pathlib.Path("Dockerfile").read_text())[-1])
        base = pathlib.Path(base)
        tree = sorted(base.rglob("*"))
        layers = [
            layer((path, path.relative_to(base).as_posix()) for path in tree),
            layer([(program, target.removeprefix("/"))]),
        ]
        image = {
            "architecture": ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": config,
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers],
            },
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": self.json_blob(f"{OCI}.config.v1+json", image),
            "layers": [
                self.blob(f"{OCI}.layer.v1.tar+gzip", gzip.compress(one, 1, mtime=0))
                for one in layers
            ],
        }
        descriptor = self.json_blob(f"{OCI}.manifest.v1+json", manifest)
        descriptor["annotations"] = {"org.opencontainers.image.ref.name": "capital-courier"}
        index = {"schemaVersion": 2, "manifests": [descriptor]}
        (self.folder / "index.json").write_text(json.dumps(index))
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def unpack(self, tree):
        for one in self.manifest()["layers"]:
            with tarfile.open(fileobj=io.BytesIO(self.read(one))) as tar:
                tar.extractall(tree)


def show(config):
    flat = {
        "user": [config["User"]],
        "env": config["Env"],
        "run": config["Entrypoint"] + config["Cmd"],
        "healthcheck": config["Healthcheck"]["Test"][1:],
        "label": [f"{key}={value}" for key, value in config["Labels"].items()],
    }
    for key, values in flat.items():
        for value in values:
            print(key, value, sep="\t")


def main(command, *arguments):
    if command == "sources":
        print(*sources(stages(pathlib.Path("Dockerfile").read_text())[0]), sep="\n")
    elif command == "write":
        Layout(arguments[0]).write(*arguments[1:])
    elif command == "config":
        show(Layout(arguments[0]).config())
    elif command == "unpack":
        Layout(arguments[0]).unpack(arguments[1])
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
