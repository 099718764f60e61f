"""The viewer's HTTP side: what it serves, and above all what it does not."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from app.content_types import content_type
from app.gate import Gate
from tests.folders import kept_row, write_folder
from tests.viewed import HOSTILE_ID, NUM_KEPT, open_world, running, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    write_world(root)
    return root


@pytest.fixture(scope="module")
def address(world):
    with running(open_world(world)) as address:
        yield address


@pytest.fixture(scope="module")
def read_only(world):
    with running(open_world(world, read_only=True)) as address:
        yield address


def ask(address, target, *, method="GET", headers=None, body=None):
    """The raw target, exactly as given: no client may tidy up `..` on the way. Returns status, headers, body."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    try:
        connection.putrequest(method, target, skip_host="host" in {name.lower() for name in headers or {}})
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def place_id(number):
    return f"{number:016x}"


# Media


def test_media_of_a_row_are_served_with_the_type_of_their_bytes(address, world):
    status, headers, body = ask(address, f"/media/cot/{place_id(0)}")
    assert (status, headers["content-type"]) == (200, "video/mp4")
    assert body == (world / "media/clips/0.mp4").read_bytes()
    status, headers, _ = ask(address, f"/media/cot/{place_id(1)}")
    assert (status, headers["content-type"]) == (200, "image/png")


@pytest.mark.parametrize(
    ("asked", "start", "stop"), [("bytes=10-19", 10, 20), ("bytes=100-", 100, None), ("bytes=-7", -7, None)]
)
def test_a_range_of_a_video_is_served_so_that_it_can_be_sought(address, world, asked, start, stop):
    whole = (world / "media/clips/0.mp4").read_bytes()
    status, headers, body = ask(address, f"/media/cot/{place_id(0)}", headers={"range": asked})
    assert status == 206
    assert body == whole[start:stop]
    assert headers["content-range"].endswith(f"/{len(whole)}")


def test_a_range_past_the_end_is_refused(address):
    assert ask(address, f"/media/cot/{place_id(0)}", headers={"range": "bytes=99999999-"})[0] == 416


@pytest.mark.parametrize("number", [100, 101, 102])
def test_a_path_that_leads_out_of_the_media_root_is_not_followed(address, number):
    status, _, body = ask(address, f"/media/cot/{place_id(number)}")
    assert status == 404
    assert body.startswith(b"outside_root")
    assert b"secret" not in body.replace(b"secret.txt", b"")


@pytest.mark.parametrize("number", [103, 104])
def test_pages_and_drawings_among_the_media_are_bytes_to_be_saved(address, number):
    status, headers, _ = ask(address, f"/media/cot/{place_id(number)}")
    assert (status, headers["content-type"], headers["content-disposition"]) == (
        200,
        "application/octet-stream",
        "attachment",
    )
    assert headers["x-content-type-options"] == "nosniff"


def test_a_missing_file_and_an_unknown_row_are_told_apart(address):
    assert ask(address, f"/media/cot/{place_id(9)}")[2].startswith(b"missing: no file")
    assert ask(address, "/media/cot/ffff")[2] == b"missing: this dataset has no such row\n"
    assert ask(address, f"/media/rl/{place_id(0)}")[0] == 404
    assert ask(address, f"/media/rejected/{place_id(5)}")[0] == 404  # an accepted row


PATHS = (
    "/etc/passwd",
    "//etc/passwd",
    "../secret.txt",
    "..%2f..%2fsecret.txt",
    "%2e%2e/%2e%2e/secret.txt",
    "clips/0.mp4",
    "./clips/0.mp4",
    "..\\secret.txt",
    "%00",
    "file:///etc/passwd",
    "http://127.0.0.1/",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("route", ["/media/cot/", "/frames/cot/", "/row/cot/"])
def test_a_path_from_the_browser_names_nothing(address, route, path):
    status, _, body = ask(address, route + path)
    assert status == 404
    assert b"root:" not in body
    assert b"the secret" not in body


GRADIO_FILES = ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/gradio_api/proxy=")
GRADIO_OWN = ("/static/", "/assets/", "/svelte/")
FILES = (
    "/etc/passwd",
    "{root}/secret.txt",
    "{root}/media/clips/0.mp4",
    "{root}/media/link.txt",
    "{cwd}/pyproject.toml",
    "pyproject.toml",
    "../secret.txt",
    "..%2f..%2fetc%2fpasswd",
    "%2fetc%2fpasswd",
    "....//....//etc/passwd",
    "http://127.0.0.1:9/",
)


@pytest.mark.parametrize("prefix", [*GRADIO_FILES, *GRADIO_OWN])
@pytest.mark.parametrize("path", FILES)
def test_gradio_serves_no_file_of_this_machine(address, world, prefix, path):
    from pathlib import Path

    status, _, body = ask(address, prefix + path.format(root=world, cwd=Path.cwd()))
    assert status in (403, 404)
    for content in (b"root:x", b"the secret", b"ftyp", b"videop2r-hub"):
        assert content not in body


@pytest.mark.parametrize(
    "encoded",
    [
        "/%67radio_api/file=/etc/passwd",
        "/gradio_api/%66ile=/etc/passwd",
        "/gradio_api/file%3D/etc/passwd",
        "//gradio_api/file=/etc/passwd",
        "/./gradio_api/file=/etc/passwd",
    ],
)
def test_an_encoded_address_does_not_get_round_the_gate(address, encoded):
    assert ask(address, encoded)[0] == 404


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/gradio_api/upload"),
        ("GET", "/gradio_api/upload_progress?upload_id=x"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/stream/x"),
        ("GET", "/gradio_api/deep_link"),
        ("GET", "/gradio_api/runs"),
        ("GET", "/monitoring"),
        ("GET", "/login_check"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("POST", "/gradio_api/vibe-edit"),
    ],
)
def test_what_the_viewer_does_not_need_of_gradio_is_not_there(address, method, target):
    assert ask(address, target, method=method, body=b"" if method == "POST" else None)[0] == 404


# Pages and headers


def test_every_answer_has_a_policy_that_allows_only_ourselves(address):
    for target in ("/", "/health", f"/media/cot/{place_id(0)}", "/nowhere", "/config", "/static/viewer/keys.js"):
        _, headers, _ = ask(address, target)
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == "'self'"
        assert "'unsafe-inline'" not in policy["script-src"]
        assert "http" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_the_page_names_no_foreign_address_that_a_browser_would_open(address):
    page = ask(address, "/")[2].decode()
    opened = re.findall(r"<(?:script|link|img|iframe)[^>]*?(?:src|href)=\"(https?:)?//([^\"]+)", page)
    assert opened == []


def test_hostile_values_of_the_filter_cannot_leave_the_page_that_carries_them(address):
    page = ask(address, "/")[2].decode()
    assert "window.__pwned" in page  # as a choice of the filter
    assert "<script>window.__pwned" not in page
    assert "onerror='window" not in page


@pytest.mark.parametrize(
    "query", ["page=1", "page=", "deep_link=../../x", "page=a&deep_link=b&q=x", "%ff=%00", "p=" + "9" * 5000]
)
def test_no_query_is_an_error_of_the_server(address, query):
    status, headers, body = ask(address, f"/?{query}")
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert b"gradio_config" in body


def test_another_site_can_neither_ask_nor_be_taken_for_this_one(address):
    host = urlsplit(address).netloc
    assert ask(address, "/health", headers={"host": "evil.example"})[0] == 400
    body = json.dumps({"data": [""], "fn_index": 0, "session_hash": "x"}).encode()
    sent = {"content-type": "application/json", "origin": "http://evil.example"}
    assert ask(address, "/gradio_api/run/predict", method="POST", headers=sent, body=body)[0] == 403
    assert ask(address, "/gradio_api/queue/join", method="POST", headers=sent, body=body)[0] == 403
    allowed = ask(address, "/config", headers={"origin": f"http://{host}"})[1].get("access-control-allow-origin", "")
    assert "evil" not in allowed


def test_the_pages_of_an_allowed_host_may_ask_also_through_a_proxy_that_rewrites_the_host(world):
    body = json.dumps({"data": [place_id(7)]}).encode()
    host = "viewer.example.org"
    with running(open_world(world), host="0.0.0.0", allowed_hosts=[host, "*.lab.example"]) as address:

        def status(**headers):
            sent = {"content-type": "application/json", **headers}
            return ask(address, "/gradio_api/run/row", method="POST", headers=sent, body=body)[0]

        assert status(host=host, origin=f"https://{host}") == 200
        assert status(origin=f"https://{host}") == 200  # the proxy has put another Host
        assert status(origin=f"https://{host}:8443") == 200
        assert status(host="a.lab.example", origin="http://a.lab.example") == 200
        assert status(origin="https://evil.example") == 403
        assert status(host="evil.example", origin="http://evil.example") == 400  # DNS rebinding
        assert status(host="evil-lab.example", origin="http://evil-lab.example") == 400
        assert status(host="192.168.1.7:7860", origin="http://192.168.1.7:7860") == 200
        assert status(host=f"{socket.gethostname()}:7860") == 200
    with running(open_world(world)) as address:
        assert status(origin=f"https://{host}") == 403


def test_a_row_is_json_with_every_published_column(address):
    status, headers, body = ask(address, f"/row/cot/{place_id(7)}")
    assert (status, headers["content-type"]) == (200, "application/json")
    row = json.loads(body)
    assert row["observation"].endswith("a zebra beside the ball.")
    assert (row["config"], row["score"], row["overlaps"]) == ("cot", 0.75, None)


def test_a_duplicate_is_another_row_than_the_one_it_repeats(address):
    accepted, rejected = (json.loads(ask(address, f"/row/{config}/{place_id(0)}")[2]) for config in ("cot", "rejected"))
    assert accepted["id"] == rejected["id"]
    assert (accepted["rejected_by"], rejected["rejected_by"]) == (None, "source:duplicate")


def test_frames_come_as_escaped_html_inside_json(address):
    status, headers, body = ask(address, f"/frames/cot/{place_id(0)}")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body)["html"].count("<img ") == 16
    hostile = json.loads(ask(address, f"/frames/cot/{HOSTILE_ID}")[2])["html"]
    assert "<script" not in hostile


def test_frames_of_a_missing_file_say_which_file_and_how_to_fetch_it(address):
    html = json.loads(ask(address, f"/frames/cot/{place_id(9)}")[2])["html"]
    assert "./clips/nowhere.mp4" in html
    assert "media fetch" in html


def test_health_names_the_version(address):
    health = json.loads(ask(address, "/health")[2])
    assert health["num_rows"] == {"cot": NUM_KEPT + 1, "rejected": 41}


# The API, and what a read-only viewer lacks


def endpoints(address):
    return json.loads(ask(address, "/gradio_api/info")[2])["named_endpoints"]


def functions(address):
    return json.loads(ask(address, "/config")[2])["dependencies"]


def test_the_api_is_typed_and_answers_a_script(address):
    from gradio_client import Client

    assert set(endpoints(address)) == {"/row", "/search", "/stats"}
    client = Client(address, verbose=False, analytics_enabled=False)
    row = client.predict(place_id(7), api_name="/row")
    assert row["observation"].endswith("a zebra beside the ball.")
    assert row["media_path"] == "./clips/7.mp4"  # called `path`, Gradio's client would try to download it
    found = client.predict("ZEBRA", "type=numerical", 1, api_name="/search")
    assert (found["num_matching"], [row["id"] for row in found["rows"]]) == (1, [place_id(7)])
    stats = client.predict("rows=all", api_name="/stats")
    assert (stats["num_accepted"], stats["num_rejected"]) == (NUM_KEPT + 1, 41)
    assert stats["by_rejection"]["source:duplicate"] == 1
    with pytest.raises(Exception, match="no row with the id"):
        client.predict("ffff", api_name="/row")
    with pytest.raises(Exception, match="cannot be read"):
        client.predict("rows=half", api_name="/stats")


def test_a_read_only_viewer_has_no_function_that_writes(address, read_only):
    assert set(endpoints(read_only)) == set(endpoints(address))
    assert len(functions(read_only)) == len(functions(address)) - 1
    assert ask(read_only, "/later/labels")[0] == 404
    assert ask(address, "/later/labels")[0] == 200


def test_no_call_to_a_read_only_viewer_writes_a_label(read_only, world):
    sent = {"row": place_id(0), "label": "sufficient", "labeller": "mallory", "observation": "0" * 64, "query": ""}
    for index in range(len(functions(read_only)) + 3):
        body = json.dumps({"data": [], "event_data": sent, "fn_index": index, "session_hash": "x"}).encode()
        ask(
            read_only, "/gradio_api/run/predict", method="POST", headers={"content-type": "application/json"}, body=body
        )
    from app.labels import LabelStore

    store = LabelStore(world / "labels.sqlite")
    assert sum(store.count("mallory").values()) == 0


# The command


def start(*words, **environment):
    command = [sys.executable, "-m", "app", *map(str, words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )


def test_the_command_serves_a_folder_and_stops_at_ctrl_c(tmp_path):
    write_folder(tmp_path / "folder", [kept_row(1)])
    process = start("--dataset", tmp_path / "folder", "--port", "0", "--read-only")
    try:
        lines = []
        while not (lines and lines[-1].startswith("viewer")):
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        address = re.search(r"http://127\.0\.0\.1:\d+/", lines[-1])[0]
        assert json.loads(ask(address, "/health")[2])["num_rows"] == {"cot": 1, "rejected": 0}
        assert "none: read-only" in "".join(lines)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--dataset", "nowhere"), "no directory and no hub dataset"),
        (("--dataset", "{folder}", "--media-root", "nowhere"), "the media root nowhere is no directory"),
        (("--dataset", "{folder}", "--labels", "{folder}/data/train-00000-of-00001.parquet"), "labels"),
        (("--dataset", "{empty}"), "holds neither"),
        (("--dataset", "{folder}", "--port", "99999"), "cannot listen"),
        (("--dataset", "{folder}", "--compare", "nowhere"), "no directory and no hub dataset"),
    ],
)
def test_what_the_user_can_mend_is_one_line(tmp_path, words, said):
    folder = write_folder(tmp_path / "folder", [kept_row(1)])
    (tmp_path / "empty").mkdir()
    process = start(*(word.format(folder=folder, empty=tmp_path / "empty") for word in words))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    error = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and said in error[0], err
    assert "Traceback" not in err


def test_help_has_a_pasteable_example():
    out, _ = start("--help").communicate(timeout=60)
    assert "  python -m app --dataset runs/demo" in out


# Small parts


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x00\x00\x00 ftypisom", "video/mp4"),
        (b"\x1aE\xdf\xa3....webm", "video/webm"),
        (b"RIFF....WEBPVP8 ", "image/webp"),
        (b"RIFF....AVI LIST", "video/x-msvideo"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "application/octet-stream"),
        (b"<!doctype html>", "application/octet-stream"),
        (b"%PDF-1.7", "application/octet-stream"),
        (b"GIF8", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_a_type_is_told_from_the_bytes_alone(head, kind):
    assert content_type(head) == kind


def test_a_space_may_be_shown_in_the_frame_of_its_page_only(world):
    with running(open_world(world, read_only=True), host="0.0.0.0", in_space=True) as address:
        policy = ask(address, "/", headers={"host": "org-name.hf.space"})[1]["content-security-policy"]
    assert "frame-ancestors 'self' https://huggingface.co https://*.hf.space" in policy


def test_a_websocket_is_closed_at_the_gate():
    import asyncio

    sent = []

    async def send(message):
        sent.append(message)

    async def never(*_):
        raise AssertionError("the gate let it through")

    asyncio.run(Gate(never, calls=None)({"type": "websocket", "path": "/"}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
