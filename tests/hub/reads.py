"""Endpoints that read: info, refs, tree, paths, commits, files."""

from __future__ import annotations

import hashlib
import time
from typing import Any
from urllib.parse import quote, urlencode

from tests.hub.calls import Call, Reply, file_reply, json_reply
from tests.hub.cards import metadata_of
from tests.hub.listing import (
    describe_commit,
    describe_path,
    describe_sibling,
    folders_of,
    last_commit,
    list_folder,
)
from tests.hub.refusal import Refusal, no_entry
from tests.hub.users import check_download, check_read, check_write


async def whoami(call: Call) -> Reply:
    if call.user is None:
        raise Refusal(401, "Invalid username or password.")
    return json_reply(
        {
            "type": "user",
            "id": call.user.name,
            "name": call.user.name,
            "fullname": call.user.name,
            "orgs": [{"type": "org", "name": org, "fullname": org, "roleInOrg": "write"} for org in call.user.orgs],
            "auth": {"type": "access_token", "accessToken": {"displayName": "loopback", "role": call.user.role}},
        }
    )


async def auth_check(call: Call) -> Reply:
    check = check_write if call.route.rest else check_download
    check(call.user, call.repository.state)
    return json_reply({})


async def describe_repo(call: Call) -> Reply:
    repository = call.repository
    check_read(call.user, repository.state)
    oid = repository.commit_of(call.route.rest[0])
    commit, state = repository.commit(oid), repository.state
    readme = commit.tree.get("README.md")
    card = metadata_of(repository.objects.path(readme.sha256).read_text("utf-8")) if readme else None
    return json_reply(
        {
            "_id": hashlib.sha1(state.name.encode()).hexdigest()[:24],
            "id": state.name,
            "author": state.namespace,
            "sha": oid,
            "lastModified": commit.date,
            "createdAt": state.created_at,
            "private": state.private,
            "gated": state.gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "cardData": card,
            "siblings": [
                describe_sibling(path, entry, blobs=call.is_set("blobs")) for path, entry in sorted(commit.tree.items())
            ],
        }
    )


async def list_refs(call: Call) -> Reply:
    state = call.repository.state
    check_read(call.user, state)
    refs: dict[str, list[dict[str, str]]] = {"converts": [], "pullRequests": []}
    for kind, folder, names in (("branches", "heads", state.branches), ("tags", "tags", state.tags)):
        refs[kind] = [
            {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": oid} for name, oid in sorted(names.items())
        ]
    return json_reply(refs)


async def list_commits(call: Call) -> Reply:
    repository = call.repository
    check_read(call.user, repository.state)
    history = list(repository.history(call.route.rest[0]))
    start = int(call.request.query.get("p", "0")) * call.store.tree_page_size
    page = history[start : start + call.store.tree_page_size]
    headers = {}
    if start + len(page) < len(history):
        page_number = start // call.store.tree_page_size + 1
        headers = _next_page(call, "commits", history[0][0], {"p": str(page_number)})
    return json_reply([describe_commit(oid, commit) for oid, commit in page], headers=headers)


async def list_tree(call: Call) -> Reply:
    repository = call.repository
    check_read(call.user, repository.state)
    revision, folder = call.route.rest
    oid = repository.commit_of(revision)
    tree = repository.commit(oid).tree
    if folder and folder not in folders_of(tree):
        raise no_entry(folder, oid)
    paths = list_folder(tree, folder, recursive=call.is_set("recursive"))
    after = call.request.query.get("cursor", "")
    rest = [path for path in paths if path > after]
    page = rest[: call.store.tree_page_size]
    headers = {}
    if len(page) < len(rest):
        query = {**call.request.query, "cursor": page[-1]}
        headers = _next_page(call, "tree", oid, query, folder)
    return json_reply(_describe_paths(call, oid, page), headers=headers)


async def list_paths(call: Call) -> Reply:
    repository = call.repository
    check_read(call.user, repository.state)
    oid = repository.commit_of(call.route.rest[0])
    form = await call.request.post()
    tree = repository.commit(oid).tree
    known = {*tree, *folders_of(tree)}
    wanted = [str(path) for path in form.getall("paths", [])]
    expand = str(form.get("expand", "")).lower() == "true"
    return json_reply(_describe_paths(call, oid, [path for path in wanted if path in known], expand=expand))


async def give_xet_token(call: Call) -> Reply:
    """Where the client's hf_xet puts and finds chunks. It reads the body, the Python side the headers."""
    check = check_write if call.route.rest == ("write",) else check_download
    check(call.user, call.repository.state)
    expires = int(time.time()) + 3600
    headers = {
        "X-Xet-Cas-Url": call.store.xet.url,
        "X-Xet-Access-Token": "loopback",
        "X-Xet-Token-Expiration": str(expires),
    }
    return json_reply({"casUrl": call.store.xet.url, "accessToken": "loopback", "exp": expires}, headers=headers)


async def resolve(call: Call) -> Reply:
    repository = call.repository
    check_download(call.user, repository.state)
    revision, path = call.route.rest
    oid = repository.commit_of(revision)
    entry = repository.commit(oid).tree.get(path)
    if entry is None:
        raise no_entry(path, oid)
    headers = {"X-Repo-Commit": oid, "ETag": f'"{entry.oid}"'}
    if entry.lfs:
        headers |= {"X-Linked-Etag": f'"{entry.oid}"', "X-Linked-Size": str(entry.size)}
    if xet_file := call.store.xet.find(entry.sha256):
        token = f"{call.url}/api/{call.route.kind}s/{call.route.repo}/xet-read-token/{oid}"
        headers |= {"X-Xet-Hash": xet_file.hash, "Link": f'<{token}>; rel="xet-auth"'}
    wanted = call.request.headers.get("Range") if call.ranges else None
    if call.request.headers.get("If-Range", headers["ETag"]) != headers["ETag"]:
        wanted = None
    return file_reply(repository.objects.path(entry.sha256), entry.size, wanted, headers)


def _describe_paths(call: Call, oid: str, paths: list[str], *, expand: bool = False) -> list[dict[str, Any]]:
    tree = call.repository.commit(oid).tree
    described = [describe_path(tree, path) for path in paths]
    for entry in described:
        if "lfs" in entry and (xet_file := call.store.xet.find(entry["lfs"]["oid"])):
            entry["xetHash"] = xet_file.hash
    if expand or call.is_set("expand"):
        history = list(call.repository.history(oid))
        for entry in described:
            entry["lastCommit"] = last_commit(history, entry["path"])
    return described


def _next_page(call: Call, endpoint: str, oid: str, query: dict[str, str], folder: str = "") -> dict[str, str]:
    """The next page is one of the same commit, also when the branch moves in between."""
    path = f"{call.url}/api/{call.route.kind}s/{call.route.repo}/{endpoint}/{oid}"
    if folder:
        path += "/" + quote(folder, safe="")
    return {"Link": f'<{path}?{urlencode(query)}>; rel="next"'}
