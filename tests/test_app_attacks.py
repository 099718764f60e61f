"""Whatever a client sends, the viewer reads and fetches nothing but its dataset and media, and still answers."""

import http.client
import itertools
import json
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from tests.test_app_server import ask, functions, place_id
from tests.viewed import open_world, running, write_world

# An audit hook cannot be taken off again; while the list is null it keeps nothing.
_touched: list[str] | None = None


def _watch(event, args):
    if _touched is not None and event in ("open", "os.listdir", "os.scandir", "socket.connect", "subprocess.Popen"):
        _touched.append(f"{event} {args[1] if event == 'socket.connect' else args[0]}")


sys.addaudithook(_watch)


@contextmanager
def watching():
    """What this process, and so the server in it, opens and connects to."""
    global _touched
    touched = _touched = []
    try:
        yield touched
    finally:
        _touched = None


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("attacked")
    write_world(root)
    (root / "media" / "zero").symlink_to("/dev/zero")
    return root


@pytest.fixture(scope="module", params=["labelling", "read-only", "space"])
def address(request, world, tmp_path_factory):
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("gradio"))
    options = {"host": "0.0.0.0", "in_space": True} if request.param == "space" else {}
    with running(open_world(world, read_only=request.param != "labelling"), **options) as address:
        yield address
    assert list(os.scandir(os.environ.pop("GRADIO_TEMP_DIR"))) == []


def post(address, target, body, **headers):
    sent = {"content-type": "application/json"} | headers
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(address, target, method="POST", headers=sent, body=data)


def alive(address):
    return ask(address, "/health")[0] == 200


def file_data(path):
    return {"path": path, "url": path, "orig_name": "x", "meta": {"_type": "gradio.FileData"}}


def targets(world):
    return (
        "/etc/hostname",
        "/dev/zero",
        "/proc/self/environ",
        str(world / "secret.txt"),
        str(world / "media/zero"),
        str(world / "media/link.txt"),
        "../../../../../../etc/hostname",
        "file:///etc/hostname",
        "http://localhost:9/canary",
    )


WRAPS = {
    "bare": lambda it: it,
    "in a list": lambda it: [it],
    "in a dict": lambda it: {"value": it},
    "in dicts and lists": lambda it: {"a": [{"b": [[it]]}]},
    "a stream": lambda it: it | {"is_stream": True},
    "with a name in place of meta": lambda it: {"name": it["path"], "path": it["path"], "is_file": True},
    "an update": lambda it: {"__type__": "update", "value": it},
}


def routes(address):
    """Every way to call each function, and functions that there are not."""
    numbers = [*range(len(functions(address)) + 2), None, -1, 2**31, 2**70]
    by_number = ("/gradio_api/run/predict", "/gradio_api/queue/join", "/gradio_api/api/predict")
    for route, number in itertools.product(by_number, numbers):
        yield route, {"fn_index": number, "session_hash": "attack"}
    for form, name in itertools.product(("run", "call", "api", "call/v2"), ("row", "search", "stats", "follow", "x")):
        yield f"/gradio_api/{form}/{name}", {}


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_file_in_an_input_of_any_function_is_refused_before_anything_is_opened(address, world, wrap):
    num_inputs = {number: len(function["inputs"]) for number, function in enumerate(functions(address))}
    for (route, fields), path in itertools.product(routes(address), targets(world)):
        payload = WRAPS[wrap](file_data(path))
        num = max(1, num_inputs.get(fields.get("fn_index"), 1))
        with watching() as touched:
            status, _, body = post(address, route, {"data": [payload] * num, **fields})
        assert 400 <= status < 500, (route, fields, path, body)
        assert not [each for each in touched if path in each or ("connect" in each and "canary" in each)], touched
    assert alive(address)


def test_a_file_in_the_other_fields_of_a_call_is_refused_or_dropped(address, world):
    for path in targets(world):
        payload = file_data(path)
        spread = dict.fromkeys(("event_id", "oauth_token", "batched", "simple_format", "extra", "kwargs"), payload)
        with watching() as touched:
            for fields in (
                {"event_data": payload},
                {"event_data": {"query": payload}},
                {"session_hash": payload},
                {"trigger_id": payload},
                {"fn_index": payload},
            ):
                call = {"data": [], "fn_index": 0, "session_hash": "attack", **fields}
                assert 400 <= post(address, "/gradio_api/run/predict", call)[0] < 500, fields
            call = {"data": [], "fn_index": 0, "session_hash": "attack", **spread}
            assert post(address, "/gradio_api/run/predict", call)[0] == 200
        assert not [each for each in touched if path in each], touched
    assert alive(address)


def test_a_state_of_the_page_that_is_none_is_not_an_error_of_the_server(address):
    (filtered,) = [number for number, each in enumerate(functions(address)) if len(each["inputs"]) > 3]
    values = ["", "cot", *[[]] * 7, *[None] * 6, "order", False]
    for state in ("", "null", "[]", '{"query": {"path": "/etc/hostname"}}', "[" * 100_000, '{"query": "' + "x" * 99):
        call = {"data": [state, *values], "fn_index": filtered, "session_hash": "attack"}
        assert post(address, "/gradio_api/run/predict", call)[0] == 200, state[:40]
    for place, wrong in ((2, "neither"), (2, 5), (2, None), (3, ["no choice"]), (3, "x"), (10, "1e400"), (17, "yes")):
        data = [None, *values]
        data[place] = wrong
        call = {"data": data, "fn_index": filtered, "session_hash": "attack"}
        assert post(address, "/gradio_api/run/predict", call)[0] == 422, (place, wrong)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe\x00", 400),
        (b"[" * 200_000, 400),
        (b'{"data": [' + b'{"a":' * 40_000, 400),
        (b'{"data": [NaN], "fn_index": 0}', 400),
        (b'{"data": [' + b"9" * 10_000 + b'], "fn_index": 0}', 400),
        (b'{"data": [1e999], "fn_index": 0}', 422),
        (b"null", 422),
        (b"[]", 422),
        (b'"x"', 422),
        (b"{}", 422),
        (b'{"data": null}', 422),
        (b'{"data": {}}', 422),
        (b'{"data": [], "fn_index": "0"}', 422),
        (b'{"data": [], "fn_index": true}', 422),
        (b'{"data": [], "fn_index": 0, "session_hash": "../x"}', 422),
        (b'{"data": [], "fn_index": 0, "event_data": {"number": 1e30}}', 422),
        (b'{"data": ["x" , "y"], "fn_index": 0}', 422),
        (b'{"data": []}', 404),
        (b" " * 300_000 + b'{"data": []}', 413),
    ],
)
def test_a_body_that_is_no_call_is_one_clean_refusal(address, body, status):
    found, headers, said = post(address, "/gradio_api/run/predict", body)
    assert (found, headers["content-type"]) == (status, "text/plain; charset=utf-8")
    assert said.count(b"\n") == 1 and b"Traceback" not in said


def test_a_form_is_no_call(address):
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", ""):
        assert post(address, "/gradio_api/run/row", {"data": ["x"]}, **{"content-type": kind})[0] == 415


@pytest.mark.parametrize("size", [10**6, 30 * 10**6])
def test_a_huge_body_is_refused_and_not_kept(address, size):
    status, _, said = post(address, "/gradio_api/run/predict", b"x" * size)
    assert (status, alive(address)) == (413, True), said


def test_a_huge_body_in_chunks_without_a_length_is_refused_too(address):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    headers = {"content-type": "application/json"}
    chunks = (b"x" * 65_536 for _ in range(200))
    connection.request("POST", "/gradio_api/queue/join", chunks, headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_that_does_not_come_keeps_nobody_else_waiting(address, monkeypatch):
    monkeypatch.setattr("app.calls.MAX_BODY_S", 0.5)
    host, port = urlsplit(address).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(
            b"POST /gradio_api/run/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: 100\r\n\r\n{"
        )
        assert alive(address)
        assert slow.recv(100).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "route", ["queue/data?session_hash=nobody", "call/row/nothing", "call/nothing/nothing", "call/row"]
)
def test_a_stream_that_nobody_has_begun_is_not_there(address, route):
    assert ask(address, f"/gradio_api/{route}")[0] in (404, 405)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/gradio_api/upload"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/component_server/"),
        ("POST", "/gradio_api/stream/x"),
        ("GET", "/gradio_api/stream/x/y/0/playlist.m3u8"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/cancel"),
        ("POST", "/gradio_api/reset"),
        ("GET", "/gradio_api/heartbeat/x"),
        ("GET", "/gradio_api/file=/dev/zero"),
        ("GET", "/gradio_api/proxy=http://127.0.0.1:9/"),
        ("GET", "/gradio_api/custom_component/x/client/component/x"),
        ("POST", "/gradio_api/run/row/"),
        ("POST", "/gradio_api/run/../run/row"),
        ("POST", "/gradio_api/call/v2/row"),
        ("PUT", "/gradio_api/run/row"),
        ("DELETE", "/gradio_api/queue/join"),
        ("POST", "/run/predict"),
        ("POST", "/api/predict"),
        ("POST", "/queue/join"),
    ],
)
def test_no_other_route_of_gradio_takes_a_request(address, method, target):
    body = json.dumps({"data": [file_data("/dev/zero")], "fn_index": 0}).encode()
    status, _, _ = ask(address, target, method=method, headers={"content-type": "application/json"}, body=body)
    assert status in (404, 405)
    assert alive(address)


HOSTS = (
    "evil.example",
    "evil.example:7860",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1@evil.example",
    "hf.space.evil.example",
    "localhost:80@evil.example",
    "[::1].evil.example",
    "",
)


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_of_another_name_is_refused(address, host):
    assert ask(address, "/health", headers={"host": host})[0] == 400
    assert ask(address, "/", headers={"host": host})[0] == 400


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://localhost.evil.example", "http://127.0.0.1:1"]
)
def test_a_page_of_another_origin_calls_nothing(address, origin):
    sent = {"data": [place_id(0)]}
    assert post(address, "/gradio_api/run/row", sent, origin=origin)[0] == 403


@pytest.mark.parametrize("header", ["x-forwarded-host", "x-gradio-server"])
def test_a_header_cannot_make_the_page_name_a_foreign_address(address, header):
    for value in ("evil.example", "http://evil.example", "evil.example, localhost"):
        assert b"evil" not in ask(address, "/", headers={header: value})[2]


def test_what_a_page_and_a_script_send_is_answered(address):
    status, _, body = post(address, "/gradio_api/run/row", {"data": [place_id(7)]})
    assert (status, json.loads(body)["data"][0]["id"]) == (200, place_id(7))
    event = json.loads(post(address, "/gradio_api/call/row", {"data": [place_id(7)]})[2])["event_id"]
    assert b"event: complete" in ask(address, f"/gradio_api/call/row/{event}")[2]
    asked = {"query": "?tab=browse", "labeller": "", "number": 1, "is_wide": True}
    call = {"data": [], "event_data": asked, "fn_index": 0, "session_hash": "page", "trigger_id": 1}
    assert post(address, "/gradio_api/run/predict", call)[0] == 200


def test_an_error_of_the_api_is_plain_text(address):
    body = json.loads(post(address, "/gradio_api/run/stats", {"data": ["rows='<half>'"]})[2])
    assert "'<half>'" in body["error"]


def test_many_bad_requests_at_once_keep_nobody_waiting(address):
    body = {"data": [file_data("/dev/zero")], "fn_index": 0, "session_hash": "x"}
    with ThreadPoolExecutor(20) as many:
        statuses = [each[0] for each in many.map(lambda _: post(address, "/gradio_api/queue/join", body), range(200))]
    assert set(statuses) == {422}
    assert alive(address)
