"""A server on loopback that speaks as much of Google Cloud Storage as gcsfs, its own library and TensorStore use."""

import json
import re
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class FakeBucket(ThreadingHTTPServer):
    """Buckets with objects in memory.

    Attributes:
      objects: (content, generation) by bucket/name.
      refuse: called with the method and the name of an object that is to be read or written; what it returns, if
        anything, is the status of the answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.refuse: Any = lambda method, name: None
        self.lock = threading.Lock()
        self.generation = 0
        self.uploads: dict[str, tuple[str, bytearray, dict[str, str]]] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def names(self, prefix: str = "") -> list[str]:
        """The objects, as bucket/name."""
        with self.lock:
            return sorted(name for name in self.objects if name.startswith(prefix))

    def read(self, name: str) -> bytes:
        """The content of bucket/name."""
        return self.objects[name][0]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of clients that hang up."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def put(self, name: str, content: bytes) -> int:
        """Writes bucket/name whole; the generation that it has then."""
        with self.lock:
            self.generation += 1
            self.objects[name] = content, self.generation
            return self.generation


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: FakeBucket

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, content: Any, status: int = 200, **headers: str) -> None:
        self._answer(status, json.dumps(content).encode(), Content_Type="application/json", **headers)

    def _error(self, status: int, text: str = "no") -> None:
        self._json({"error": {"code": status, "message": text, "errors": [{"message": text}]}}, status)

    def _resource(self, name: str) -> dict[str, Any]:
        content, generation = self.server.objects[name]
        bucket, _, own = name.partition("/")
        when = f"2026-01-01T00:00:00.{generation:06d}Z"
        return {
            "kind": "storage#object",
            "id": f"{name}/{generation}",
            "name": own,
            "bucket": bucket,
            "generation": str(generation),
            "metageneration": "1",
            "size": str(len(content)),
            "contentType": "application/octet-stream",
            "timeCreated": when,
            "updated": when,
            "etag": str(generation),
        }

    def _handle(self) -> None:
        url = urlsplit(self.path)
        self.query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        size = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(size) if size else self._chunks()
        if found := re.fullmatch(r"/(upload/|download/)?(?:storage/v1/)?b/([^/]+)(?:/o(?:/(.*))?)?", url.path):
            kind, bucket, own = found.group(1), unquote(found.group(2)), found.group(3)
            if kind == "upload/":
                return self._upload(bucket)
            if own is None:
                return self._list(bucket) if re.search("/o/?$", url.path) else self._json({"name": bucket})
            if to := re.fullmatch(r"(.*)/moveTo/o/(.*)", own):
                return self._move(f"{bucket}/{unquote(to[1])}", f"{bucket}/{unquote(to[2])}")
            return self._object(f"{bucket}/{unquote(own)}")
        if self.path.startswith("/session/"):
            return self._go_on()
        self._error(404, f"{self.command} {self.path}")

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _handle

    def _chunks(self) -> bytes:
        """The body of a request that does not tell its length."""
        content = bytearray()
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return bytes(content)

    def _refused(self, name: str) -> bool:
        status = self.server.refuse(self.command, name)
        if status:
            self._error(status, f"refused: {name}")
        return bool(status)

    def _fits(self, name: str) -> bool:
        """Whether the generation that the request asks for is the one that there is; answers where it is not."""
        generation = self.server.objects.get(name, (b"", 0))[1]
        wanted, unwanted = self.query.get("ifGenerationMatch"), self.query.get("ifGenerationNotMatch")
        if wanted is not None and int(wanted) != generation:
            self._error(412, "conditionNotMet")
            return False
        if unwanted is not None and int(unwanted) == generation:
            self._error(304)
            return False
        return True

    def _list(self, bucket: str) -> None:
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter", "")
        start, end = self.query.get("startOffset", ""), self.query.get("endOffset", "")
        items, prefixes = [], set()
        for name in self.server.names(f"{bucket}/"):
            own = name.partition("/")[2]
            if not own.startswith(prefix) or own < start or (end and own >= end):
                continue
            head, cut, _ = own.removeprefix(prefix).partition(delimiter) if delimiter else (own, "", "")
            if cut:
                prefixes.add(prefix + head + cut)
            else:
                items.append(self._resource(name))
        most = int(self.query.get("maxResults", 10**9))
        self._json({"kind": "storage#objects", "items": items[:most], "prefixes": sorted(prefixes)[:most]})

    def _object(self, name: str) -> None:
        if self._refused(name):
            return None
        if name not in self.server.objects:
            wanted = self.query.get("ifGenerationMatch", "0")
            return self._error(404, "Not Found") if wanted == "0" else self._error(412)
        if not self._fits(name):
            return None
        if self.command == "DELETE":
            with self.server.lock:
                self.server.objects.pop(name, None)
            return self._answer(204)
        if self.query.get("alt") != "media":
            return self._json(self._resource(name))
        content, generation = self.server.objects[name]
        headers = {"x_goog_generation": str(generation), "ETag": str(generation)}
        if found := re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "")):
            if not found[1]:
                first, last = max(0, len(content) - int(found[2])), len(content) - 1
            else:
                first, last = int(found[1]), min(int(found[2] or len(content)), len(content) - 1)
            if first > last:
                return self._answer(416, **headers)
            headers["Content_Range"] = f"bytes {first}-{last}/{len(content)}"
            return self._answer(206, content[first : last + 1], **headers)
        return self._answer(200, content, **headers)

    def _move(self, source: str, target: str) -> None:
        if source not in self.server.objects:
            return self._error(404)
        self.server.put(target, self.server.read(source))
        with self.server.lock:
            self.server.objects.pop(source, None)
        return self._json(self._resource(target))

    def _upload(self, bucket: str) -> None:
        kind, name, content = self.query["uploadType"], self.query.get("name"), self.body
        if kind == "multipart":
            boundary = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])
            assert boundary is not None
            _, described, content, _ = content.split(b"--" + boundary[1].encode())
            described, content = (re.split(rb"\r?\n\r?\n", part, maxsplit=1)[1] for part in (described, content))
            content = re.sub(rb"\r?\n$", b"", content)
            name = name or json.loads(described)["name"]
        elif kind == "resumable":
            name = name or json.loads(content)["name"]
            session = uuid.uuid4().hex
            self.server.uploads[session] = f"{bucket}/{name}", bytearray(), self.query
            return self._answer(200, Location=f"{self.server.url}/session/{session}")
        return self._store(f"{bucket}/{name}", content)

    def _store(self, name: str, content: bytes) -> None:
        if self._refused(name) or not self._fits(name):
            return
        self.server.put(name, content)
        self._json(self._resource(name))

    def _go_on(self) -> None:
        session = self.path.rpartition("/")[2]
        name, content, self.query = self.server.uploads[session]
        content += self.body
        if not self.headers.get("Content-Range", "").endswith("/*"):
            return self._store(name, bytes(content))
        headers = {"Range": f"bytes=0-{len(content) - 1}"} if content else {}
        return self._answer(308, **headers)
