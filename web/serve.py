"""Serves the built page on localhost: `python -m web.serve build/web --port 8000`.

WebAssembly threads need shared memory, which browsers grant only to cross-origin isolated pages:
those that are served with the two headers below.
"""

import argparse
import contextlib
import functools
import sys
import threading
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from keras_poolformer.cli import one_line_errors
from keras_poolformer.support.errors import InputError

HOST = "127.0.0.1"
BUILT = Path("build/web")
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",  # cached but revalidated: a rebuilt page shows up at once
}
TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".tflite": "application/octet-stream",
}


class Handler(SimpleHTTPRequestHandler):
    """Serves files with the right types and headers."""

    timeout = 30  # seconds that a client may be idle
    extensions_map = SimpleHTTPRequestHandler.extensions_map | TYPES

    def end_headers(self) -> None:
        """Adds the headers."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def send_head(self) -> Any:
        """Answers 404 for names that are not valid in any file system, as with a null byte."""
        try:
            return super().send_head()
        except ValueError:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None

    def log_message(self, *_: Any) -> None:
        """Logs nothing."""


class Server(ThreadingHTTPServer):
    """Ignores browsers that close the connection in the middle of a file."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Reports all other errors."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def server(folder: Path | str, port: int = 0) -> Server:
    """Returns a server of a folder.

    Args:
        folder: Folder with index.html.
        port: Port to listen on; 0 for a free one, which is `server_port` of the result.
    """
    handler = functools.partial(Handler, directory=str(folder))
    return Server((HOST, port), handler)


@contextlib.contextmanager
def serving(folder: Path | str) -> Iterator[str]:
    """Serves a folder on a free port in a thread; yields its address."""
    running = server(folder)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    try:
        yield f"http://{HOST}:{running.server_port}/"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def require_page(folder: Path) -> None:
    """Raises InputError unless a folder contains the built page and its model."""
    if not all((folder / name).is_file() for name in ("index.html", "model.tflite")):
        raise InputError(f"{folder} has no page with a model: `make web-build` builds {BUILT}")


def run(options: argparse.Namespace) -> None:
    """Serves until Ctrl-C."""
    require_page(options.folder)
    try:
        listening = server(options.folder, options.port)
    except (OSError, OverflowError) as error:
        raise InputError(f"port {options.port} of {HOST} cannot be used: {error}") from None
    print(f"http://{HOST}:{listening.server_port}/ (Ctrl-C to stop)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        listening.serve_forever()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m web.serve", description=__doc__)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=BUILT, help="built page (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="port (default: %(default)s)"
    )
    return one_line_errors("web", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
