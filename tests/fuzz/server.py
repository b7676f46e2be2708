"""A server on 127.0.0.1 that gives any request the same bytes for an answer."""

import functools
import socketserver
import threading

ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\nConnection: close\r\n\r\nhello",
    b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/5\r\nContent-Length: 3\r\n"
    b"ETag: \"a\"\r\nConnection: close\r\n\r\nllo",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n"
    b"0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n\x1f\x8b\x08\x00\x00",
    b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n",
]  # fmt: skip


class _Answer(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(65536)
        self.request.sendall(self.server.answer)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    answer = b""

    def handle_error(self, request, client_address):
        """Stays silent: a client that hangs up early is no error here."""


@functools.cache
def server() -> _Server:
    """The server of this process, started; `answer` is what it says."""
    started = _Server(("127.0.0.1", 0), _Answer)
    threading.Thread(target=started.serve_forever, daemon=True).start()
    return started
