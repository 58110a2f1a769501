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
    """Serves CONTENT at /file.

    `max_bytes` truncates responses, `ranges=False` ignores Range headers, `content` replaces the file, and
    `requested_ranges` records the Range headers.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.requested_ranges.append(self.headers.get("Range"))
            if self.path != "/file":
                self.send_error(404)
                return
            start = 0
            if self.headers.get("Range") and server.ranges:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                if start >= len(CONTENT):
                    self.send_error(416)
                    return
                self.send_response(206)
            else:
                self.send_response(200)
            body = server.content[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: server.max_bytes])
            self.wfile.flush()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requested_ranges, server.max_bytes, server.ranges, server.content = [], None, True, CONTENT
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}/file"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_download_writes_the_file_and_nothing_else(server, tmp_path):
    downloads.fetch(server.url, tmp_path / "data/file", md5=MD5)
    assert (tmp_path / "data/file").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["file"]


def test_an_interrupted_download_resumes(server, tmp_path):
    target = tmp_path / "file"
    server.max_bytes = 1_500_000
    with pytest.raises(InputError, match=r"interrupted after 1\.5 MB .*: run the command again to resume"):
        downloads.fetch(server.url, target, md5=MD5)
    assert not target.exists(), "the target must not hold a partial file"
    server.max_bytes = None
    downloads.fetch(server.url, target, md5=MD5)
    assert target.read_bytes() == CONTENT
    assert server.requested_ranges == [None, "bytes=1500000-"]


def test_a_download_restarts_if_the_server_does_not_support_ranges(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"something else")
    server.ranges = False
    downloads.fetch(server.url, tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_complete_part_file_is_used(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    downloads.fetch(server.url, tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_only_one_process_downloads_a_file(server, tmp_path):
    fcntl = pytest.importorskip("fcntl", reason="this system has no file locks")
    with (tmp_path / "file.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match=r"another process is downloading .*: wait until it is done"):
            downloads.fetch(server.url, tmp_path / "file", md5=MD5)
    downloads.fetch(server.url, tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_checksum_deletes_the_download(server, tmp_path):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(InputError, match=r"is not the published file .*: the download was deleted"):
        downloads.fetch(server.url, tmp_path / "file", md5=MD5)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_and_a_missing_server_are_input_errors(server, tmp_path):
    with pytest.raises(InputError, match=r"/nothing could not be downloaded \(HTTP Error 404: Not Found\)"):
        downloads.fetch(server.url.replace("/file", "/nothing"), tmp_path / "file", md5=MD5)
    with pytest.raises(InputError, match="could not be downloaded"):
        downloads.fetch("http://127.0.0.1:9/file", tmp_path / "file", md5=MD5)


def test_the_error_names_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*data/file.part"):
        downloads.fetch(server.url, tmp_path / "data" / "file", md5=MD5)
