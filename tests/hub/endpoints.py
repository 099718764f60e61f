"""Which function answers which endpoint."""

from __future__ import annotations

from tests.hub import reads, writes
from tests.hub.calls import Call, Reply
from tests.hub.refusal import Refusal


async def answer(call: Call) -> Reply:
    """Raises Refusal."""
    match call.route.endpoint:
        case "whoami":
            return await reads.whoami(call)
        case "info":
            return await reads.describe_repo(call)
        case "refs":
            return await reads.list_refs(call)
        case "commits":
            return await reads.list_commits(call)
        case "tree":
            return await reads.list_tree(call)
        case "paths-info":
            return await reads.list_paths(call)
        case "resolve":
            return await reads.resolve(call)
        case "xet-token":
            return await reads.give_xet_token(call)
        case "auth-check":
            return await reads.auth_check(call)
        case "create":
            return await writes.create_repo(call)
        case "delete":
            return await writes.delete_repo(call)
        case "settings":
            return await writes.change_settings(call)
        case "validate-yaml":
            return await writes.validate_yaml(call)
        case "tag":
            return await writes.tag(call)
        case "branch":
            return await writes.branch(call)
        case "preupload":
            return await writes.preupload(call)
        case "lfs-batch":
            return await writes.announce_large(call)
        case "lfs-put":
            return await writes.receive_large(call)
        case "lfs-verify":
            return await writes.verify_large(call)
        case "commit":
            return await writes.commit(call)
        case _:
            raise Refusal(404, f"this hub has no {call.route.endpoint}")
