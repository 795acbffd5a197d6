"""Downloads against a loopback server that does what servers on the way do."""

import email.utils
import gzip
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cloud_jax.datasets import download
from cloud_jax.datasets.download import RemoteFile, find, find_or_fetch
from cloud_jax.datasets.retries import (
    FIRST_ATTEMPTS,
    Attempts,
    may_pass,
    pause_s,
    retry_after,
)
from cloud_jax.files import lock
from cloud_jax.structures.source import SourceError

BODY = bytes(range(256)) * 1024  # 256 kB, a few blocks
SHA256 = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """One behaviour per path; the server counts requests and keeps their ranges."""

    retry_after = "0"

    def do_GET(self):
        start = self.headers.get("Range", "bytes=0-")[6:-1]
        self.server.asked.append((self.path, int(start)))
        getattr(self, "get" + self.path.split("?")[0].replace("/", "_"))(int(start))

    def send(self, body, start=0, total=None, status=None):
        total = len(body) if total is None else total
        self.send_response(status or (206 if start else 200))
        self.send_header("Content-Length", str(total - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        self.wfile.write(body[start:])

    def get_whole(self, start):
        self.send(BODY, start)

    def get_no_ranges(self, start):
        self.send(BODY)

    def get_cut(self, start):
        """Break off every 100,000 bytes."""
        self.send(BODY[: start + 100_000], start, len(BODY))

    def get_hang(self, start):
        """Fall silent once, in the middle."""
        self.send(BODY[:90_000] if not start else BODY, start, len(BODY))
        if not start:
            self.wfile.flush()
            self.server.let_go.wait(60)

    def get_silent(self, start):
        """Take the question, and never answer."""
        self.server.let_go.wait(60)

    def get_busy(self, start):
        """Be too busy twice."""
        if len(self.server.asked) > 2:
            self.send(BODY, start)
        else:
            self.send_response(503)
            self.send_header("Retry-After", self.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def get_other(self, start):
        self.send(b"<html>Please log in</html>")

    def get_complete(self, start):
        """Everything is there already."""
        self.send_response(416 if start else 200)
        self.send_header("Content-Range", f"bytes */{len(BODY)}")
        self.send_header("Content-Length", "0" if start else str(len(BODY)))
        self.end_headers()
        self.wfile.write(b"" if start else BODY)

    def get_v2_articles_7_files(self, start):
        if len(self.server.asked) == 1:
            return self.send_error(503)
        entry = {"id": 1, "name": "ub.json", "size": len(BODY)}
        entry |= {"computed_md5": hashlib.md5(BODY).hexdigest()}
        entry |= {"download_url": f"{self.server.url}/whole"}
        self.send(json.dumps([entry]).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE_S", 0.01)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.let_go = [], threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.let_go.set()
        server.shutdown()
        thread.join()


def fetch(server, path, folder, **others):
    others = {"sha256": SHA256, "page": "https://example.org/page"} | others
    file = RemoteFile("a.bin", server.url + path, **others)
    return find_or_fetch(file, folder, "kind", allow_download=True)


def test_a_file_is_downloaded_once(server, tmp_path):
    for _ in range(2):
        path = fetch(server, "/whole", tmp_path)
        assert path == tmp_path / "kind" / "a.bin"
        assert path.read_bytes() == BODY
    assert server.asked == [("/whole", 0)]
    assert sorted(p.name for p in path.parent.iterdir()) == [".lock", "a.bin"]


def test_what_the_user_has_is_found_one_folder_down_and_compressed(tmp_path):
    file = RemoteFile("a.bin", "http://127.0.0.1:9/", sha256=SHA256)
    (tmp_path / "mine").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "mine" / "a.bin").write_bytes(b"another file of the name")
    (tmp_path / "other" / "a.bin.gz").write_bytes(gzip.compress(BODY))
    assert find(file, tmp_path) == tmp_path / "other" / "a.bin.gz"
    (tmp_path / "other" / "a.bin.gz").unlink()
    with pytest.raises(SourceError, match=r"mine/a\.bin: found SHA256 .*, expected"):
        find_or_fetch(file, tmp_path, "kind", allow_download=False)
    (tmp_path / "mine" / "a.bin").unlink()
    assert find(file, tmp_path) is None
    with pytest.raises(SourceError, match=r"found no file a\.bin in .*download it"):
        find_or_fetch(file, tmp_path, "kind", allow_download=False)


@pytest.mark.parametrize("path", ["/cut", "/hang"])
def test_a_broken_download_resumes(server, tmp_path, path, monkeypatch):
    if path == "/hang":  # six times in a row are patience enough for any load
        monkeypatch.setattr(download, "TIMEOUT_S", 1.0)
    assert fetch(server, path, tmp_path).read_bytes() == BODY
    starts = [start for _, start in server.asked]
    assert starts == sorted(set(starts))
    assert len(starts) > 1


def test_a_partial_file_of_an_earlier_process_is_taken_up(server, tmp_path):
    (tmp_path / "kind").mkdir()
    partial = tmp_path / "kind" / ".a.bin.partial"
    partial.write_bytes(BODY[:1000])
    assert fetch(server, "/whole", tmp_path).read_bytes() == BODY
    assert server.asked == [("/whole", 1000)]
    assert not partial.exists()


def test_a_server_without_ranges_sends_it_again(server, tmp_path):
    (tmp_path / "kind").mkdir()
    (tmp_path / "kind" / ".a.bin.partial").write_bytes(BODY[:1000])
    assert fetch(server, "/no_ranges", tmp_path).read_bytes() == BODY


def test_a_partial_file_of_another_version_is_thrown_away(server, tmp_path):
    (tmp_path / "kind").mkdir()
    (tmp_path / "kind" / ".a.bin.partial").write_bytes(b"x" * 1000)
    assert fetch(server, "/whole", tmp_path).read_bytes() == BODY
    assert server.asked == [("/whole", 1000), ("/whole", 0)]


@pytest.mark.parametrize("held", [BODY, BODY + b"too much"])
def test_a_partial_file_that_is_all_there_or_too_long(server, tmp_path, held):
    (tmp_path / "kind").mkdir()
    (tmp_path / "kind" / ".a.bin.partial").write_bytes(held)
    assert fetch(server, "/complete", tmp_path).read_bytes() == BODY


def test_without_a_hash_nothing_is_taken_up(server, tmp_path):
    (tmp_path / "kind").mkdir()
    (tmp_path / "kind" / ".a.bin.partial").write_bytes(BODY[:1000])
    assert fetch(server, "/whole", tmp_path, sha256="").read_bytes() == BODY
    assert server.asked == [("/whole", 0)]


def test_a_busy_server_is_asked_again(server, tmp_path):
    assert fetch(server, "/busy", tmp_path).read_bytes() == BODY
    assert len(server.asked) == 3


def test_another_page_in_place_of_the_file_is_refused(server, tmp_path):
    with pytest.raises(SourceError, match=r"26 bytes with SHA256 .*expected .*page"):
        fetch(server, "/other", tmp_path)
    assert [p.name for p in (tmp_path / "kind").iterdir()] == [".lock"]


def test_what_is_not_there_is_asked_for_once(server, tmp_path, monkeypatch):
    monkeypatch.setattr(
        Handler, "get_gone", lambda self, start: self.send_error(404), raising=False
    )
    with pytest.raises(SourceError, match=r"\(HTTP 404 Not Found\).*example\.org"):
        fetch(server, "/gone", tmp_path)
    assert len(server.asked) == 1


def test_without_network_the_message_says_what_to_put_where(server, tmp_path):
    file = RemoteFile("a.bin", "http://127.0.0.1:9/a", sha256=SHA256, page="https://p")
    with pytest.raises(SourceError) as caught:
        find_or_fetch(file, tmp_path, "kind", allow_download=True)
    message = str(caught.value)
    for part in (
        "a.bin",
        "http://127.0.0.1:9/a",
        "https://p",
        f"put it into {tmp_path}",
    ):
        assert part in message


def test_a_server_that_never_answers_holds_no_run(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_S", 0.1)
    attempts = []
    attempt = download._attempt
    monkeypatch.setattr(
        download, "_attempt", lambda *a: (attempts.append(a), attempt(*a))
    )
    with pytest.raises(SourceError, match="timed out"):
        fetch(server, "/silent", tmp_path)
    assert len(attempts) == FIRST_ATTEMPTS


def test_a_figshare_article_says_where_its_file_is(server, tmp_path, monkeypatch):
    listing = f"{server.url}/v2/articles/7/files"
    file = RemoteFile("ub.json", listing, page="https://p")
    path = find_or_fetch(file, tmp_path, "kind", allow_download=True)
    assert path.read_bytes() == BODY
    gone = RemoteFile("b.json", listing, page="https://p")
    with pytest.raises(SourceError, match=r"found ub\.json; expected b\.json"):
        find_or_fetch(gone, tmp_path, "kind", allow_download=True)


def test_two_processes_do_not_write_one_file(server, tmp_path):
    (tmp_path / "kind").mkdir()
    with (
        download.lock(tmp_path / "kind"),
        pytest.raises(SourceError, match="another process is downloading"),
    ):
        fetch(server, "/whole", tmp_path)


def test_what_another_process_has_just_brought_is_taken(server, tmp_path, monkeypatch):
    def late(folder):
        (folder / "a.bin").write_bytes(BODY)  # by another, before it let the lock go
        return lock(folder)

    monkeypatch.setattr(download, "lock", late)
    assert fetch(server, "/whole", tmp_path).read_bytes() == BODY
    assert server.asked == []


def test_a_server_may_say_when_to_ask_again(server, tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(download.time, "sleep", slept.append)
    monkeypatch.setattr(Handler, "retry_after", in_100_s())
    assert fetch(server, "/busy", tmp_path).read_bytes() == BODY
    assert all(90 < seconds <= 100 for seconds in slept)
    assert len(slept) == 2


def in_100_s() -> str:
    return email.utils.formatdate(time.time() + 100, usegmt=True)


def test_pauses_grow_up_to_a_limit_unless_the_server_asks():
    assert 0.5 <= pause_s(1.0, 1) <= 1.5
    assert 4.0 <= pause_s(1.0, 4) <= 12.0
    assert pause_s(1.0, 30) == 60.0
    assert pause_s(1.0, 30, 100.0) == 100.0
    assert pause_s(1.0, 1, 1e9) == 600.0
    assert 90 < retry_after({"Retry-After": in_100_s()}) <= 100
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"Retry-After": "soon"}) == retry_after({}) == 0
    again = [status for status in range(400, 600) if may_pass(status)]
    assert again == [408, 425, 429, *range(500, 600)]


@pytest.mark.parametrize(
    ("answered", "n_pauses"), [(False, FIRST_ATTEMPTS - 1), (True, 4)]
)
def test_fewer_attempts_where_nothing_has_answered(answered, n_pauses):
    attempts = Attempts(5, 1.0)
    attempts.answered = answered
    pauses = list(iter(attempts.fail, None))
    assert len(pauses) == n_pauses
    assert attempts.n_failed == n_pauses + 1
    assert Attempts(5, 1.0).fail(asked_s=9.0) == 9.0
