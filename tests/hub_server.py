"""A hub on 127.0.0.1: the part of the Hugging Face hub's protocol that `huggingface_hub` speaks to push and to load."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

Files = dict[str, bytes]

LARGE = 16_000
"""Bytes above which a file goes through LFS."""


@dataclass
class Repository:
    """A repository; what a stranger may put into one is not checked."""

    private: bool = False
    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    announced: dict[str, int] = field(default_factory=dict)  # sizes other than the true ones
    tag: str = ""  # of every file, instead of its hash

    def commit(self, files: Files, branch: str = "main") -> str:
        content = repr((sorted(files.items()), self.branches.get(branch))).encode()
        sha = hashlib.sha1(content).hexdigest()
        self.commits[sha] = files
        self.branches[branch] = sha
        return sha

    def at(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.branches.get(revision)


class Hub:
    """Repositories, and the requests that were made."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.url = ""
        self.away = False

    def put(self, name: str, files: Files, **announced: int) -> str:
        """A public repository with one commit."""
        made = self.repositories[name] = Repository(announced=announced)
        return made.commit(dict(files))

    def pushed(self, name: str, revision: str = "main") -> Files:
        """The files of a revision."""
        found = self.repositories[name]
        return found.commits[str(found.at(revision))]

    @property
    def fetched(self) -> list[str]:
        """The files that were asked for."""
        found = [one.partition("/resolve/")[2] for one in self.requests if one.startswith("GET ")]
        return [one.partition("/")[2] for one in found if one]


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Hub]:
    """A hub that runs, as the one that the client asks; its cache, and mecam's, lie in `home`."""
    import huggingface_hub.constants as constants

    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    for name, value in (("HF_ENDPOINT", hub.url), ("HF_TOKEN", "hf_of_a_test"), ("no_proxy", "*")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MECAM_ASSETS", str(home / "assets"))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "MECAM_MAX_DOWNLOAD_GB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "client"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)  # uploads go by LFS
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.body = self._body()
        url = urlsplit(self.path)
        self.hub.requests.append(f"{self.command} {unquote(url.path)}")
        if self.hub.away:
            return self._send(503, b"away")
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        match parts:
            case ["api", "repos", "create"]:
                self._create()
            case ["api", "validate-yaml"]:
                self._json({"errors": [], "warnings": []})
            case ["upload", oid]:
                self.hub.large[oid] = self.body
                self._json({})
            case ["api", "models", owner, name, *rest]:
                self._of(f"{owner}/{name}", rest, parse_qs(url.query))
            case [owner, name, "info", "lfs", "objects", "batch"]:
                self._batch()
            case [owner, name, "resolve", revision, *path]:
                self._resolve(f"{owner}/{name}", revision, "/".join(path))
            case _:
                self._send(404, b"what?")
        return None

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            return self._send(409, b"it exists")
        private = asked.get("private", asked.get("visibility") == "private")
        made = self.hub.repositories[name] = Repository(private=bool(private))
        made.commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        return self._json({"url": f"{self.hub.url}/{name}", "name": name})

    def _of(self, name: str, rest: list[str], query: dict[str, list[str]]) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        revision = rest[1] if len(rest) > 1 else "main"
        sha = repository.at(revision)
        if rest[:1] == ["branch"]:
            if sha is not None:
                return self._send(409, b"it exists")
            repository.branches[revision] = repository.branches["main"]
            return self._json({})
        if sha is None:
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        files = repository.commits[sha]
        if rest[:1] in ([], ["revision"]):
            siblings = [{"rfilename": path, **self._facts(repository, path, files[path])} for path in files]
            return self._json({"id": name, "sha": sha, "private": repository.private, "siblings": siblings})
        if rest[:1] == ["tree"]:
            return self._json(
                [{"type": "file", "path": path, **self._facts(repository, path, files[path])} for path in files]
            )
        if rest[:1] == ["preupload"]:
            asked = json.loads(self.body)["files"]
            modes = [(one["path"], "lfs" if one["size"] > LARGE else "regular") for one in asked]
            return self._json({"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes]})
        return self._commit(name, repository, revision, dict(files))

    def _commit(self, name: str, repository: Repository, branch: str, files: Files) -> None:
        for line in self.body.splitlines():
            one = json.loads(line)
            value = one["value"]
            if one["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif one["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif one["key"] == "deletedFile":
                del files[value["path"]]
        sha = repository.commit(files, branch)
        self._json({"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{name}/commit/{sha}"})

    def _batch(self) -> None:
        objects = json.loads(self.body)["objects"]
        made = [{**one, "actions": {"upload": {"href": f"{self.hub.url}/upload/{one['oid']}"}}} for one in objects]
        self._json({"objects": made, "transfer": "basic"})

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repository = self.hub.repositories.get(name)
        sha = None if repository is None else repository.at(revision)
        if repository is None or sha is None or path not in repository.commits[sha]:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        content = repository.commits[sha][path]
        headers = {"X-Repo-Commit": sha, "ETag": f'"{repository.tag or hashlib.sha256(content).hexdigest()}"'}
        return self._send(200, content, headers)

    @staticmethod
    def _facts(repository: Repository, path: str, content: bytes) -> dict[str, Any]:
        size = repository.announced.get(path, len(content))
        facts: dict[str, Any] = {"size": size, "oid": hashlib.sha1(content).hexdigest()}
        facts["blobId"] = facts["oid"]
        if len(content) > LARGE:
            facts["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": size, "pointerSize": 134}
            facts["lfs"]["sha256"] = facts["lfs"]["oid"]
        return facts

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
