import io
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from PIL import Image

from backlit.app import serving
from backlit.app.serving import address_of, open_socket, serve
from backlit.errors import SettingError


def run_app(*options):
    return subprocess.Popen(
        [sys.executable, "-m", "backlit", "app", "--no-browser", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_says_where_it_is_and_ctrl_c_ends_it_at_once():
    process = run_app("--port", "0")
    try:
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line
        with urllib.request.urlopen(found[0]) as answer:
            assert answer.status == 200
        # a browser keeps its connections open
        host, port = found[0].removeprefix("http://").rstrip("/").split(":")
        with socket.create_connection((host, int(port))) as idle:
            idle.sendall(b"GET /steps HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert idle.recv(100)
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            err, out = process.stderr.read(), process.stdout.read()
            process.wait(timeout=10)
            took = time.monotonic() - begun
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()
    assert process.returncode == 0
    assert took < 3
    assert out == ""
    assert err.splitlines() == ["Ctrl-C ends it.", "Ended."]


def test_where_the_usual_port_is_taken_that_is_said():
    try:
        taken = socket.create_server(("127.0.0.1", serving.PREFERRED_PORT))
    except OSError:  # by somebody else
        taken = None
    process = run_app()
    try:
        line = process.stderr.readline()
        assert re.match(
            rf"port {serving.PREFERRED_PORT} is taken; backlit app is at http://127\.0\.0\.1:\d+/$",
            line,
        )
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()
        if taken is not None:
            taken.close()


def test_ctrl_c_while_a_picture_is_looked_at():
    buffer = io.BytesIO()
    Image.effect_noise((3000, 3000), 80).save(buffer, format="PNG")
    process = run_app("--port", "0")
    try:
        address = re.search(r"//([\d.]+):(\d+)/", process.stderr.readline())
        with socket.create_connection((address[1], int(address[2]))) as asking:
            data = buffer.getvalue()
            head = (
                "POST /api/photo HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Content-Type: application/octet-stream\r\nContent-Length: {len(data)}\r\n\r\n"
            )
            asking.sendall(head.encode() + data)
            time.sleep(0.2)
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            err = process.stderr.read()
            process.wait(timeout=10)
            took = time.monotonic() - begun
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()
    assert process.returncode == 0
    assert took < 3
    assert err.splitlines() == ["Ctrl-C ends it.", "Ended."]


def test_a_port_that_is_taken():
    with open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            SettingError,
            match=rf"Port {port} on 127.0.0.1 cannot be taken \(address already in use\)",
        ):
            open_socket("127.0.0.1", port)


def test_without_a_port_the_preferred_one_or_any(monkeypatch):
    with open_socket("127.0.0.1", 0) as other:
        monkeypatch.setattr(serving, "PREFERRED_PORT", other.getsockname()[1])
        with open_socket("127.0.0.1", None) as found:
            assert found.getsockname()[1] not in (0, serving.PREFERRED_PORT)
    monkeypatch.setattr(serving, "PREFERRED_PORT", found_free := _free_port())
    with open_socket("127.0.0.1", None) as first:
        assert first.getsockname()[1] == found_free


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "a..b"])
def test_a_host_that_is_not_this_machine(host):
    with pytest.raises(SettingError, match="--host"):
        open_socket(host, 0)


def test_addresses():
    with open_socket("127.0.0.1", 0) as one:
        port = one.getsockname()[1]
        assert address_of("localhost", one) == f"http://localhost:{port}/"
        assert address_of("::1", one) == f"http://[::1]:{port}/"
        assert address_of("0.0.0.0", one) == f"http://{socket.gethostname()}:{port}/"


def test_who_else_can_reach_it_is_said(shipped, monkeypatch):
    import uvicorn

    said, warned, opened = [], [], []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)
    monkeypatch.setattr(serving.webbrowser, "open", opened.append)
    for host in ("127.0.0.1", "0.0.0.0"):
        with open_socket("127.0.0.1", 0) as one:
            serve(shipped, host, one, browser=True, say=said.append, warn=warned.append)
    time.sleep(0.6)
    assert len(warned) == 1
    assert "no password" in warned[0]
    assert len(opened) == 2
    assert sorted(said[::2]) == sorted(f"backlit app is at {address}" for address in opened)
