"""Serves the built page on this machine alone: `python -m web.serve build/web --port 8000`.

WebAssembly threads need shared memory, which browsers give to cross-origin isolated pages only:
those that come with the two headers below.
"""

import argparse
import contextlib
import functools
import sys
import threading
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from keras_poolformer.cli import one_line_errors
from keras_poolformer.support.errors import InputError

HOST = "127.0.0.1"
BUILT = Path("build/web")
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",  # kept, but asked for: a rebuilt page is seen at once
}
TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".tflite": "application/octet-stream",
}


class Handler(SimpleHTTPRequestHandler):
    """Files with the right types and headers."""

    timeout = 30  # seconds that a client may keep its thread waiting
    extensions_map = SimpleHTTPRequestHandler.extensions_map | TYPES

    def end_headers(self):
        """Adds the headers."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def send_head(self):
        """Answers 404 for names that no file system has, as those with a null byte."""
        try:
            return super().send_head()
        except ValueError:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None

    def log_message(self, *_):
        """Says nothing of each file."""


class Server(ThreadingHTTPServer):
    """Says nothing of browsers that go away in the middle of a file."""

    def handle_error(self, request, client_address):
        """Reports everything else."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def server(folder, port=0):
    """Returns a server of a folder.

    Args:
        folder: that holds index.html.
        port: 0 for a free one; `server_port` of the result tells which.
    """
    handler = functools.partial(Handler, directory=str(folder))
    return Server((HOST, port), handler)


@contextlib.contextmanager
def serving(folder):
    """Serves a folder on a free port in a thread; gives its address."""
    running = server(folder)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    try:
        yield f"http://{HOST}:{running.server_port}/"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def require_page(folder):
    """Raises an InputError unless a folder holds the built page and its model."""
    if not all((folder / name).is_file() for name in ("index.html", "model.tflite")):
        raise InputError(f"{folder} holds no page with a model: `make web-build` makes {BUILT}")


def run(options):
    """Serves until Ctrl-C."""
    require_page(options.folder)
    try:
        listening = server(options.folder, options.port)
    except (OSError, OverflowError) as error:
        raise InputError(f"port {options.port} of {HOST} cannot be used: {error}") from None
    print(f"http://{HOST}:{listening.server_port}/ (Ctrl-C ends it)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        listening.serve_forever()


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m web.serve", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=BUILT)
    parser.add_argument("--port", type=int, default=8000)
    return one_line_errors("web", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
