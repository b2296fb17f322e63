"""A small Kaggle on this machine, for the real clients: the routes they use, and the faults they meet.

The clients know no address but their own. With `KAGGLE_API_ENVIRONMENT=LOCALHOST` they call http://localhost, and a
proxy (`http_proxy`) brings those calls here.
"""

import base64
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

TOKEN = "KGAT_very_secret_0123456789"


class FakeKaggle(ThreadingHTTPServer):
    """What it holds, what it was asked, and how it shall misbehave."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.archive = b""  # the data set, zipped
        self.files: dict[str, bytes] = {}  # and file by file
        self.etag = '"one"'
        self.md5: str | None = None  # a wrong checksum to announce
        self.cuts: list[int] = []  # break the connection after so many bytes of a body, once each
        self.fail: dict[str, int] = {}  # route: status
        self.silent = threading.Event()  # set: blobs stop in the middle and say no more
        self.hold: threading.Event | None = None  # blobs wait for it
        self.asked: list[tuple[str, dict, dict]] = []  # route, headers, body
        self.save_kernel: dict = {"ref": "", "url": "http://localhost/code", "versionNumber": 1, "error": ""}
        self.statuses = ["COMPLETE"]  # of a kernel, one a call; the last stays
        self.failure_message = ""
        self.outputs: dict[str, bytes] = {}
        self.helper_set = False  # whether the data set with the wheel is there
        self.create_dataset: dict = {"status": "ok", "url": "http://localhost/datasets", "error": ""}
        self.uploads: list[bytes] = []

    def handle_error(self, request, client_address):
        pass  # clients hang up in the middle: that is what is tested

    def routes(self) -> list[str]:
        return [route for route, _, _ in self.asked]

    def bodies(self, route: str) -> list[dict]:
        return [body for name, _, body in self.asked if name == route]

    def headers(self, route: str) -> list[dict]:
        return [headers for name, headers, _ in self.asked if name == route]

    def blob(self, name: str) -> bytes:
        return self.archive if name == "archive" else self.files[name]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeKaggle

    def log_message(self, *_):
        pass

    def _route(self) -> str:
        path = urlsplit(self.path).path.lstrip("/")
        for prefix in ("api/v1/", "v1/"):
            path = path.removeprefix(prefix)
        return path.removeprefix("datasets.").removeprefix("kernels.")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _reply(self, content: dict | bytes, status: int = 200, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        for name, value in {"Content-Type": kind, **headers, "Content-Length": str(len(data))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        route, here = self._route(), self.server
        asked = json.loads(self._body() or b"{}")
        here.asked.append((route, dict(self.headers), asked))
        if status := here.fail.get(route):
            # A careless server may repeat what it was sent.
            message = f"Refused, {self.headers.get('Authorization')}"
            self._reply({"code": status, "message": message}, status, Retry_After="7")
            return
        answer = getattr(self, "post_" + route.rpartition("/")[2], None)
        if answer is None:
            self._reply({"code": 404, "message": f"no route {route}"}, 404)
        else:
            answer(asked)

    def post_IntrospectToken(self, asked):  # noqa: N802
        self._reply({"active": True, "username": "someone"})

    def post_DownloadDataset(self, asked):  # noqa: N802
        name = asked.get("fileName", "archive")
        if name != "archive" and name not in self.server.files:
            self._reply({"code": 404, "message": "no such file"}, 404)
            return
        self._reply(b"", 302, Location=f"http://{self.headers['Host']}/blob/{name}?X-Goog-Signature=secret-signature")

    def post_GetDatasetStatus(self, asked):  # noqa: N802
        if self.server.helper_set:
            self._reply({"status": "READY"})
        else:
            self._reply({"code": 404, "message": "not found"}, 404)

    def post_StartBlobUpload(self, asked):  # noqa: N802
        self._reply({"token": f"blob{len(self.server.uploads)}", "createUrl": f"http://{self.headers['Host']}/put"})

    def post_CreateDataset(self, asked):  # noqa: N802
        self.server.helper_set = True
        self._reply(self.server.create_dataset)

    post_CreateDatasetVersion = post_CreateDataset  # noqa: N815

    def post_SaveKernel(self, asked):  # noqa: N802
        self._reply({**self.server.save_kernel, "ref": asked.get("slug", "")})

    def post_GetKernelSessionStatus(self, asked):  # noqa: N802
        statuses = self.server.statuses
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        self._reply({"status": status, "failureMessage": self.server.failure_message})

    def post_ListKernelSessionOutput(self, asked):  # noqa: N802
        host = self.headers["Host"]
        files = [{"fileName": name, "url": f"http://{host}/output/{name}"} for name in self.server.outputs]
        self._reply({"files": files, "log": "", "nextPageToken": ""})

    def do_PUT(self):
        self.server.asked.append((self._route(), dict(self.headers), {}))
        self.server.uploads.append(self._body())
        self._reply({})

    def do_GET(self):
        route, here = self._route(), self.server
        here.asked.append((route, dict(self.headers), {}))
        if status := here.fail.get("blob"):
            self._reply(b"<html>no</html>", status)
            return
        if route.startswith("output/"):
            date = "Thu, 01 Jan 2026 00:00:00 GMT"
            self._reply(here.outputs[route.removeprefix("output/")], Last_Modified=date)
            return
        if here.hold:
            here.hold.wait(20)
        self._blob(here.blob(route.removeprefix("blob/")))

    def _blob(self, data: bytes) -> None:
        here = self.server
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        whole = base64.b64encode(hashlib.md5(data).digest()).decode()
        self.send_response(206 if start else 200)
        headers = {
            "Content-Length": len(data) - start,
            "Accept-Ranges": "bytes",
            "ETag": here.etag,
            "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            "x-goog-hash": f"crc32c=AAAAAA==,md5={here.md5 or whole}",
        }
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        body = data[start:]
        if here.silent.is_set():
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            threading.Event().wait(20)
        elif here.cuts:
            self.wfile.write(body[: here.cuts.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(body)


def zipped(files: dict[str, bytes]) -> bytes:
    """The files as a zip, uncompressed, so that its size is what they weigh."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def kaggle(tmp_path, monkeypatch) -> Iterator[FakeKaggle]:
    """A running server; clients started from here call it, without an account."""
    server = FakeKaggle()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    user = tmp_path / "user"
    user.mkdir()
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("USERPROFILE", str(user))
    yield server
    server.shutdown()
    server.server_close()
