"""Faults that a test puts in the way of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class HubFault:
    """Meets the `nth` request (from 1, counted from now on) to an endpoint, and the `times - 1` that follow.

    when: "before", the request is not carried out; "after", it is, and then its reply is lost or replaced.
    kind:
      "status"  an error reply with `status`, `error_code` (X-Error-Code) and `headers`
      "reset"   the connection is reset (RST)
      "hang"    no answer until the hub stops
      "cut"     after only: half of the reply's body arrives, then the connection ends
      "call"    nothing but `call`: the request goes on
      "whole"   the request is carried out without its Range: the whole file is the reply
    call: runs first, whatever the kind (for "cut" once half of the body has gone): SIGKILL the client, push a commit.
    method, path: only requests with this method, or with this text in their decoded path.
    """

    endpoint: str
    when: Literal["before", "after"] = "before"
    kind: Literal["status", "reset", "hang", "cut", "call", "whole"] = "status"
    status: int = 500
    error_code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    nth: int = 1
    times: int = 1
    call: Callable[[], object] | None = None
    method: str | None = None
    path: str | None = None
    num_met: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind == "cut" and self.when != "after":
            raise ValueError("a reply is cut after its request was carried out: say when='after'")
        if self.kind == "call" and self.call is None:
            raise ValueError("kind='call' needs call=")

    def meets(self, endpoint: str, method: str, path: str) -> bool:
        """Count a request; whether the fault strikes it."""
        fits = self.endpoint == endpoint and self.method in (None, method) and (self.path or "") in path
        self.num_met += fits
        return fits and self.nth <= self.num_met < self.nth + self.times
