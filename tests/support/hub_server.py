"""A small server of the Hugging Face Hub's protocol, on loopback: repositories of
models in memory, files in commits, as huggingface_hub uploads and downloads them."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    def answer(self, value=None, status=200, body=b"", **headers):
        if value is not None:
            body = json.dumps(value).encode()
            headers["Content-Type"] = "application/json"
        self.send_response(status)
        headers.setdefault("Content-Length", str(len(body)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def missing(self):
        self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.server.requests.append(("POST", self.path, self.headers["Authorization"]))
        if not (self.headers["Authorization"] or "").endswith(" right"):
            return self.answer({"error": "Invalid username or password."}, 401)
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if self.path == "/api/repos/create":
            sent = json.loads(body)
            name = f"{sent['organization']}/{sent['name']}"
            self.server.repositories.setdefault(name, {})
            return self.answer({"url": f"{self.server.address}/{name}"})
        _, _, _, owner, name, verb, _ = self.path.split("/")
        files = self.server.repositories[f"{owner}/{name}"]
        if verb == "preupload":
            names = [one["path"] for one in json.loads(body)["files"]]
            mode = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            return self.answer({"files": [mode | {"path": n} for n in names]})
        for line in body.decode().splitlines():
            sent = json.loads(line)
            if sent["key"] == "file":
                value = sent["value"]
                files[value["path"]] = base64.b64decode(value["content"])
        url = f"{self.server.address}/{owner}/{name}/commit/{self.server.commit}"
        return self.answer({"commitUrl": url, "commitOid": self.server.commit})

    def do_GET(self):
        self.server.requests.append((self.command, self.path, None))
        parts = self.path.split("?")[0].strip("/").split("/")
        is_api = parts[0] == "api"
        owner, name = parts[2:4] if is_api else parts[:2]
        files = self.server.repositories.get(f"{owner}/{name}")
        if files is None:
            return self.missing()
        commit = self.server.commit
        if is_api and "tree" in parts:
            tree = [
                {"type": "file", "path": n, "size": len(c), "oid": _sha1(c)}
                for n, c in files.items()
            ]
            return self.answer(tree)
        if is_api:
            siblings = [{"rfilename": n} for n in files]
            found = {"id": f"{owner}/{name}", "sha": commit, "siblings": siblings}
            return self.answer(found | {"private": False, "tags": [], "downloads": 0})
        content = files["/".join(parts[4:])]
        return self.answer(
            body=content, ETag=f'"{_sha1(content)}"', X_Repo_Commit=commit
        )

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextmanager
def hub_server():
    """Yield a running server, which has `address`, `repositories` and `requests`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    server.repositories, server.requests, server.commit = {}, [], "c0ffee" * 6 + "beef"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
