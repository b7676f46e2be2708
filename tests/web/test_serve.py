"""The server of the page, spoken to byte by byte: no browser is needed."""

import socket

import pytest

from web import serve


@pytest.fixture
def address(tmp_path, monkeypatch):
    monkeypatch.setattr(serve.Handler, "timeout", 0.5)
    (tmp_path / "index.html").write_text("the page", encoding="utf-8", newline="\n")
    with serve.serving(tmp_path) as address:
        yield address


def answer(address, request):
    """All that the server sends before it closes the connection."""
    host, port = address.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("name", ["%00", "index.html%00", "%ff%fe", "a" * 5000, "%ed%b3%bf"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_names_that_no_file_has_are_not_found(address, method, name, capfd):
    received = answer(address, f"{method} /{name} HTTP/1.0\r\n\r\n".encode())
    assert received.startswith(b"HTTP/1.0 404 ")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "request_", [b"", b"GET", b"GET / HTTP/1.0\r\n", b"GET / HTTP/1.0\r\nHost: x"], ids=str
)
def test_a_client_that_stops_speaking_is_let_go(address, request_, capfd):
    assert answer(address, request_) == b""
    assert capfd.readouterr().err == ""
    assert b"the page" in answer(address, b"GET / HTTP/1.0\r\n\r\n")
