import hashlib
import http.server
import threading

import pytest

from vitae import InputError
from vitae.data import downloads

CONTENT = bytes(range(256)) * 9_000  # 2.3 MB
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server():
    """A file at /file, with ranges; its answers can be cut short, refused, or made to ignore ranges."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.asked.append(self.headers.get("Range"))
            if self.path != "/file":
                self.send_error(404)
                return
            start = 0
            if self.headers.get("Range") and state.ranges:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                if start >= len(CONTENT):
                    self.send_error(416)
                    return
                self.send_response(206)
            else:
                self.send_response(200)
            body = state.content[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.most])
            self.wfile.flush()

        def log_message(self, *arguments):
            pass

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = found
    state.asked, state.most, state.ranges, state.content = [], None, True, CONTENT
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    found.url = f"http://127.0.0.1:{found.server_port}/file"
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def test_a_download_arrives_whole(server, tmp_path):
    downloads.fetch(server.url, tmp_path / "data/file", md5=MD5)
    assert (tmp_path / "data/file").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["file"]


def test_a_download_that_broke_off_is_continued(server, tmp_path):
    target = tmp_path / "file"
    server.most = 1_500_000
    with pytest.raises(InputError, match=r"broke off after 1\.5 MB .*: the same command continues it"):
        downloads.fetch(server.url, target, md5=MD5)
    assert not target.exists(), "half a file is never taken for the file"
    server.most = None
    downloads.fetch(server.url, target, md5=MD5)
    assert target.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1500000-"]


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"something else")
    server.ranges = False
    downloads.fetch(server.url, tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_whole_part_is_taken_and_not_fetched_again(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    downloads.fetch(server.url, tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_two_processes_do_not_write_into_each_others_part(server, tmp_path):
    fcntl = pytest.importorskip("fcntl", reason="this system has no file locks")
    with (tmp_path / "file.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match=r"another process is downloading .*: wait for it"):
            downloads.fetch(server.url, tmp_path / "file", md5=MD5)
    downloads.fetch(server.url, tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_another_content_is_thrown_away(server, tmp_path):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(InputError, match=r"is not the file that was published .*: it was thrown away"):
        downloads.fetch(server.url, tmp_path / "file", md5=MD5)
    assert list(tmp_path.iterdir()) == []


def test_no_such_file_and_no_server_are_one_sentence(server, tmp_path):
    with pytest.raises(InputError, match=r"/nothing could not be downloaded \(HTTP Error 404: Not Found\)"):
        downloads.fetch(server.url.replace("/file", "/nothing"), tmp_path / "file", md5=MD5)
    with pytest.raises(InputError, match="could not be downloaded"):
        downloads.fetch("http://127.0.0.1:9/file", tmp_path / "file", md5=MD5)


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*data/file.part"):
        downloads.fetch(server.url, tmp_path / "data" / "file", md5=MD5)
