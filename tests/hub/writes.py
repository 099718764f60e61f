"""Endpoints that change something: repositories, settings, names, large files, commits."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.hub.attributes import is_large
from tests.hub.calls import Call, Reply, json_reply, refusal_reply
from tests.hub.cards import check_card
from tests.hub.history import Entry, large_entry, small_entry
from tests.hub.refusal import Refusal, no_entry
from tests.hub.repository import Repository
from tests.hub.users import check_namespace, check_write


async def create_repo(call: Call) -> Reply:
    wanted = await call.json()
    kind = wanted.get("type") or "model"
    namespace = wanted.get("organization") or (call.user.name if call.user else "")
    check_namespace(call.user, namespace)
    assert call.user is not None
    name = f"{namespace}/{wanted['name']}"
    url = f"{call.url}/{'datasets/' if kind == 'dataset' else ''}{name}"
    private = wanted.get("visibility") == "private" or wanted.get("private") is True
    try:
        call.store.create(kind, name, private=private, author=call.user.name)
    except Refusal as refusal:
        if refusal.status != 409:
            raise
        taken = refusal_reply(refusal)
        return json_reply({"error": str(refusal), "url": url}, 409, taken.headers)
    return json_reply({"url": url, "name": name})


async def delete_repo(call: Call) -> Reply:
    wanted = await call.json()
    kind = wanted.get("type") or "model"
    namespace = wanted.get("organization") or (call.user.name if call.user else "")
    name = f"{namespace}/{wanted['name']}"
    check_write(call.user, call.store.find(kind, name, anonymous=call.user is None).state)
    call.store.delete(kind, name)
    return json_reply({})


async def change_settings(call: Call) -> Reply:
    check_write(call.user, call.repository.state)
    wanted = await call.json()
    changes: dict[str, Any] = {name: wanted[name] for name in ("gated", "private") if name in wanted}
    if "visibility" in wanted:
        changes["private"] = wanted["visibility"] == "private"
    call.repository.configure(**changes)
    return json_reply(changes)


async def validate_yaml(call: Call) -> Reply:
    errors, warnings = check_card((await call.json())["content"])
    reply = {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]}
    return json_reply(reply, 400 if errors else 200)


async def tag(call: Call) -> Reply:
    """POST names the revision in the path and the tag in the body, DELETE names the tag in the path."""
    check_write(call.user, call.repository.state)
    if call.method == "DELETE":
        call.repository.remove_tag(call.route.rest[0])
    else:
        call.repository.add_tag((await call.json())["tag"], call.route.rest[0])
    return json_reply({})


async def branch(call: Call) -> Reply:
    check_write(call.user, call.repository.state)
    if call.method == "DELETE":
        call.repository.remove_branch(call.route.rest[0])
    else:
        call.repository.add_branch(call.route.rest[0], (await call.json()).get("startingPoint") or "main")
    return json_reply({})


async def preupload(call: Call) -> Reply:
    """Which files are large ones, and what lies at each path now: the client leaves out what is the same."""
    repository = call.repository
    check_write(call.user, repository.state)
    tree = repository.tree(call.route.rest[0])
    attributes = repository.attributes(call.route.rest[0])
    files = []
    for wanted in (await call.json())["files"]:
        path = wanted["path"]
        sample = base64.b64decode(wanted.get("sample", ""))
        large = is_large(path, wanted["size"], sample, attributes, call.store.large_above_bytes)
        files.append(
            {
                "path": path,
                "uploadMode": "lfs" if large else "regular",
                "shouldIgnore": False,
                "oid": tree[path].oid if path in tree else None,
            }
        )
    return json_reply({"files": files, "commitOid": repository.commit_of(call.route.rest[0])})


async def announce_large(call: Call) -> Reply:
    """Where each large file goes; no action for one whose bytes this repository has."""
    repository = call.repository
    check_write(call.user, repository.state)
    objects = []
    for wanted in (await call.json())["objects"]:
        sha256, size = wanted["oid"], wanted["size"]
        described: dict[str, Any] = {"oid": sha256, "size": size}
        if sha256 not in repository.objects:
            place = f"{call.route.kind}/{call.route.repo}/{sha256}"
            described["actions"] = {
                "upload": {"href": f"{call.url}/lfs/lfs-put/{place}", "header": {}},
                "verify": {"href": f"{call.url}/lfs/lfs-verify/{place}", "header": {}},
            }
        objects.append(described)
    return json_reply({"transfer": "basic", "objects": objects})


async def receive_large(call: Call) -> Reply:
    """As a signed URL: whoever has the address may write, no token is sent."""
    if call.method != "PUT":
        raise Refusal(405, "a large file is PUT")
    (sha256,) = call.route.rest
    with call.repository.objects.receiving(sha256) as write:
        async for chunk in call.chunks():
            write(chunk)
    call.store.uploaded.append(sha256)
    return json_reply({})


async def verify_large(call: Call) -> Reply:
    check_write(call.user, call.repository.state)
    _check_object(call.repository, await call.json())
    return json_reply({})


async def commit(call: Call) -> Reply:
    """All of the operations or none."""
    repository = call.repository
    check_write(call.user, repository.state)
    assert call.user is not None
    if call.is_set("create_pr"):
        raise Refusal(400, "this hub has no pull requests")
    header: dict[str, Any] = {}
    operations = []
    for key, value in _operations(await call.request.read()):
        if key == "header":
            header = value
        else:
            operations.append((key, value))
        if key == "lfsFile":
            _take_from_xet(call, value["oid"])
    if not header.get("summary"):
        raise Refusal(400, "a commit needs a header with a summary")
    oid = repository.push(
        call.route.rest[0],
        partial(_apply, repository, call.route.rest[0], operations),
        title=header["summary"],
        message=header.get("description") or "",
        author=call.user.name,
        parent=header.get("parentCommit"),
    )
    url = f"{call.url}/{'datasets/' if call.route.kind == 'dataset' else ''}{call.route.repo}/commit/{oid}"
    return json_reply({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})


def _take_from_xet(call: Call, sha256: str) -> None:
    """Rebuild a file that a client uploaded as Xet chunks; from here on it is an object as any other."""
    objects = call.repository.objects
    file = None if sha256 in objects else call.store.xet.find(sha256)
    if file is not None:
        with objects.receiving(sha256) as write:
            for chunk in call.store.xet.chunks(file):
                write(chunk)
        call.store.uploaded.append(sha256)


def _operations(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """NDJSON: one {key, value} a line."""
    for number, line in enumerate(body.splitlines(), start=1):
        if line.strip():
            try:
                operation = json.loads(line)
                yield operation["key"], operation["value"]
            except (ValueError, KeyError, TypeError) as error:
                raise Refusal(400, f"line {number} of the commit is no operation: {error!r}") from error


def _apply(
    repository: Repository, revision: str, operations: list[tuple[str, dict[str, Any]]], tree: dict[str, Entry]
) -> None:
    for key, value in operations:
        path = value["path"].rstrip("/") if key == "deletedFolder" else value["path"]
        if not path or any(part in ("", ".", "..", ".git") for part in path.split("/")):
            raise Refusal(400, f"{path!r} is no path for a file.")
        match key:
            case "file":
                tree[path] = _small_file(repository, value)
            case "lfsFile":
                tree[path] = large_entry(value["oid"], _check_object(repository, value))
            case "deletedFile" if path in tree:
                del tree[path]
            case "deletedFolder" if inside := [name for name in tree if name.startswith(f"{path}/")]:
                for name in inside:
                    del tree[name]
            case "deletedFile" | "deletedFolder":
                raise no_entry(path, repository.commit_of(revision))
            case _:
                raise Refusal(400, f"unknown operation {key!r}")


def _small_file(repository: Repository, value: dict[str, Any]) -> Entry:
    try:
        content = base64.b64decode(value["content"], validate=True)
    except binascii.Error as error:
        raise Refusal(400, f"the content of {value['path']} is no base64") from error
    repository.objects.add(content)
    return small_entry(content)


def _check_object(repository: Repository, value: dict[str, Any]) -> int:
    """The size of an object that must have arrived; a copy announces none."""
    sha256 = value["oid"]
    if sha256 not in repository.objects:
        raise Refusal(400 if "path" in value else 404, f"large file {sha256} was never uploaded")
    size = repository.objects.size(sha256)
    if value.get("size", size) != size:
        raise Refusal(400, f"large file {sha256} has {size} bytes, announced were {value['size']}")
    return size
