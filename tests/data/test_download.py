"""Laws of downloading, shown with the real kagglehub against a server on this machine.

Whatever happens, the folder is complete or it is not there, and the message says what to do.
"""

import json
import os
import random
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.data import sources
from helpers.data.brats import read_catalogue
from helpers.data.download import RECORD, download
from helpers.data.sets import BRATS, BRATS_2019, CHEST, brats_files
from helpers.runtime.errors import DataError
from tests.kaggle_server import TOKEN, tree, zipped

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
ROUTE = "DatasetApiService/DownloadDataset"
SMALL = replace(BRATS, packed_gb=0.001, unpacked_gb=0.001)
CODE = """
import sys; from dataclasses import replace; from pathlib import Path
from helpers.data.download import download; from helpers.data.sets import BRATS
download(replace(BRATS, packed_gb=0.001, unpacked_gb=0.001), Path(sys.argv[1]))
"""


@pytest.fixture
def content(kaggle) -> dict[str, bytes]:
    """What the server holds: six files that fill 3 MB."""
    rng = random.Random(0)
    root = "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData"
    files = {f"{root}/BraTS20_Training_001/BraTS20_Training_001_{kind}.nii": rng.randbytes(600_000) for kind in "abcd"}
    files |= {f"{root}/BraTS20_Training_001/BraTS20_Training_001_flair.nii": rng.randbytes(600_000)}
    files |= {f"{root}/name_mapping.csv": b"Grade\n"}
    kaggle.archive = zipped(files)
    return files


def fetched(folder: Path) -> dict[str, bytes]:
    """The files of a download, without our note, as the server has them."""
    files = tree(folder)
    files.pop(RECORD)
    return files


def refused(to: Path, **arguments) -> str:
    """The message of a download that must fail, and must leave nothing in place."""
    with pytest.raises(DataError) as caught:
        download(SMALL, to, **arguments)
    assert not to.exists()
    return str(caught.value)


def test_download_brings_every_file_and_leaves_no_scraps(kaggle, content, tmp_path):
    to = tmp_path / "data" / "brats"
    assert download(SMALL, to) == to
    assert fetched(to) == content
    assert not to.with_name("brats.part").exists()
    assert kaggle.bodies(ROUTE)[0]["datasetVersionNumber"] == 1


def test_a_second_download_asks_nobody(kaggle, content, tmp_path, capsys):
    download(SMALL, tmp_path / "brats")
    kaggle.asked.clear()
    download(SMALL, tmp_path / "brats")
    assert kaggle.asked == []
    assert "already there" in capsys.readouterr().out


def test_a_cut_connection_is_taken_up_where_it_broke(kaggle, content, tmp_path):
    at = random.randrange(1, len(kaggle.archive))
    kaggle.cuts = [at]
    download(SMALL, tmp_path / "brats")
    assert fetched(tmp_path / "brats") == content
    ranges = [headers.get("Range") for headers in kaggle.headers("blob/archive")]
    whole = at // 2**20 * 2**20  # kagglehub writes by the MiB
    assert ranges[-1] == f"bytes={whole}-"


def test_a_stopped_download_is_taken_up_by_the_next(kaggle, content, tmp_path):
    to = tmp_path / "brats"
    kaggle.silent.set()
    process = subprocess.Popen([sys.executable, "-c", CODE, to], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    archive = to.with_name("brats.part") / "datasets" / BRATS.owner / BRATS.slug / "1.archive"
    deadline = time.monotonic() + 30
    while not (archive.exists() and archive.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert not to.exists()
    had = archive.stat().st_size
    assert had
    kaggle.silent.clear()
    download(SMALL, to)
    assert fetched(to) == content
    assert kaggle.headers("blob/archive")[-1]["Range"] == f"bytes={had}-"


def test_silence_ends_in_a_message(kaggle, content, tmp_path):
    kaggle.silent.set()
    start = time.monotonic()
    message = refused(tmp_path / "brats", patience=1.5)
    assert time.monotonic() - start < 15
    assert "sent nothing for 1.5 seconds" in message
    assert "takes up from there" in message


def test_a_wrong_checksum_is_refused_and_forgotten(kaggle, content, tmp_path):
    kaggle.md5 = "AAAAAAAAAAAAAAAAAAAAAA=="
    assert "checksum" in refused(tmp_path / "brats")
    kaggle.md5 = None
    download(SMALL, tmp_path / "brats")
    assert fetched(tmp_path / "brats") == content


def test_what_is_no_archive_is_refused_and_forgotten(kaggle, content, tmp_path):
    good, kaggle.archive = kaggle.archive, b"<html>Sign in to the hotel network</html>"
    assert "no archive" in refused(tmp_path / "brats")
    kaggle.archive = good
    download(SMALL, tmp_path / "brats")
    assert fetched(tmp_path / "brats") == content


@pytest.mark.parametrize("name", ["../../escaped.txt", "/tmp/escaped.txt"])
def test_an_archive_that_reaches_out_of_its_folder_is_refused(kaggle, content, tmp_path, name):
    kaggle.archive = zipped({**content, name: b"boo"})
    message = refused(tmp_path / "brats")
    assert "outside of its folder" in message
    assert name in message
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not (tmp_path / "brats.part").exists()


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "access_token"),
        (403, "accept its terms"),
        (404, "download it by hand"),
        (429, "Wait 7 seconds"),
        (500, "try again later"),
    ],
)
def test_a_refusal_says_what_to_do_and_repeats_no_secret(
    kaggle,
    content,
    tmp_path,
    monkeypatch,
    capfd,
    status,
    advice,
):
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    kaggle.fail[ROUTE] = status
    message = refused(tmp_path / "brats")
    assert str(status) in message
    assert advice in message
    assert kaggle.headers(ROUTE)[0]["Authorization"] == f"Bearer {TOKEN}"  # it was sent, and answered back
    printed = capfd.readouterr()
    assert TOKEN not in message + printed.out + printed.err
    assert kaggle.routes().count(ROUTE) == 1


def test_an_expired_address_is_refused(kaggle, content, tmp_path):
    kaggle.fail["blob"] = 403
    message = refused(tmp_path / "brats")
    assert "403" in message
    assert "secret-signature" not in message


def test_without_a_network_there_is_a_message_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    message = refused(tmp_path / "brats")
    assert "The proxy on the way does not answer" in message
    assert "http_proxy names 127.0.0.1:9" in message
    assert list(tmp_path.iterdir()) == []  # neither a lock nor a partial download of nothing


class Proxy(threading.Thread):
    """A proxy that answers every request with the same bytes, and then hangs up."""

    def __init__(self, answer: bytes, context: ssl.SSLContext | None = None):
        super().__init__(daemon=True)
        self.answer, self.context, self.server = answer, context, socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]

    def run(self):
        while True:
            try:
                connection, _ = self.server.accept()
                connection.recv(65536)
                connection.sendall(self.answer)
                if self.context:
                    self.context.wrap_socket(connection, server_side=True).recv(65536)
                connection.close()
            except ssl.SSLError:
                continue
            except OSError:
                return


@pytest.fixture
def behind(tmp_path, monkeypatch):
    """Put this machine behind a proxy; the name of Kaggle's own address, which is asked through it, is never looked up.

    Its variables are taken away before, and given to the message with a password.
    """
    proxies = []
    for name in ("no_proxy", "NO_PROXY", "KAGGLE_API_ENVIRONMENT", *BUNDLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))

    def put(answer: bytes, context: ssl.SSLContext | None = None) -> None:
        proxies.append(Proxy(answer, context))
        proxies[0].start()
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://someone:pass%40word@127.0.0.1:{proxies[0].port}/")

    yield put
    for proxy in proxies:
        proxy.server.close()


def test_a_proxy_that_asks_for_a_password_is_named_and_the_password_is_not_repeated(behind, tmp_path):
    behind(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    message = refused(tmp_path / "brats")
    assert "asks for a user name and a password (HTTPS_PROXY names 127.0.0.1:" in message
    assert "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT" in message
    assert "pass%40word" not in message


def test_a_proxy_that_refuses_is_named(behind, tmp_path):
    behind(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    assert "refuses (HTTPS_PROXY names 127.0.0.1:" in refused(tmp_path / "brats")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_a_connection_that_is_decrypted_on_its_way_is_told_by_its_certificate(behind, tmp_path):
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=company"]
    subprocess.run(
        [*made, "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    behind(b"HTTP/1.1 200 OK\r\n\r\n", context)
    message = refused(tmp_path / "brats")
    assert "certificate" in message
    assert {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY"} <= set(re.findall(r"[A-Z_]{4,}", message))


@pytest.mark.parametrize("name", BUNDLES)
def test_a_file_of_certificates_that_is_not_there_is_told_by_its_variable(behind, tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, str(tmp_path / "none.pem"))
    assert f"The file with certificates that {name} names is not there" in refused(tmp_path / "brats")


@pytest.mark.parametrize("proxy", ["ftp://127.0.0.1:9", "socks5://127.0.0.1:9", "http://"])
def test_an_address_that_is_no_proxys_is_told(behind, tmp_path, monkeypatch, proxy):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    assert "Correct HTTPS_PROXY" in refused(tmp_path / "brats")


@pytest.mark.parametrize(("status", "advice"), [(407, "a user name and a password"), (418, "update its clients")])
def test_what_is_not_kaggles_fault_is_not_called_so(kaggle, content, tmp_path, status, advice):
    kaggle.fail[ROUTE] = status
    message = refused(tmp_path / "brats")
    assert advice in message
    assert "on its side" not in message


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_asked(kaggle, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be made: .*file is a file.* by --to"):
        download(SMALL, tmp_path / "file" / "brats")
    assert kaggle.asked == []


def test_a_disk_too_small_is_found_out_before_anything_is_asked(kaggle, content, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, 20 * 10**9))
    with pytest.raises(DataError, match=r"needs 46.2 GB more .* 20.0 GB are free"):
        download(BRATS, tmp_path / "brats")
    assert kaggle.asked == []
    assert not (tmp_path / "brats").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_reported(kaggle, content, tmp_path):
    archive = tmp_path / "brats.part" / "datasets" / BRATS.owner / BRATS.slug / "1.archive"
    archive.parent.mkdir(parents=True)
    archive.symlink_to("/dev/full")
    assert "The disk is full" in refused(tmp_path / "brats")
    archive.unlink()
    download(SMALL, tmp_path / "brats")
    assert fetched(tmp_path / "brats") == content


def test_two_processes_download_once(kaggle, content, tmp_path):
    kaggle.hold = threading.Event()
    run = [sys.executable, "-c", CODE, str(tmp_path / "brats")]
    both = [subprocess.Popen(run, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    waits = [process.stdout.readline() for process in both]
    kaggle.hold.set()
    outputs = [first + process.communicate(timeout=60)[0] for first, process in zip(waits, both, strict=True)]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("Another process is downloading" in text for text in outputs) == 1
    assert sum("already there" in text for text in outputs) == 1
    assert kaggle.routes().count(ROUTE) == 1
    assert fetched(tmp_path / "brats") == content


def test_patients_come_file_by_file_and_a_failure_keeps_what_came(kaggle, tmp_path):
    wanted = brats_files(2)
    kaggle.files = {name: name.encode() * 100 for name in wanted[:-1]}
    message = refused(tmp_path / "brats", patients=2)
    assert "404" in message
    kaggle.files[wanted[-1]] = b"the last"
    kaggle.asked.clear()
    download(SMALL, tmp_path / "brats", patients=2)
    assert [body["fileName"] for body in kaggle.bodies(ROUTE)] == [wanted[-1]]
    assert fetched(tmp_path / "brats") == kaggle.files
    with pytest.raises(DataError, match=r"holds 2 patients of .* wanted are 3"):
        download(SMALL, tmp_path / "brats", patients=3)


def test_patient_355_has_its_own_name_for_the_segmentation():
    names = [Path(name).name for name in brats_files(369)]
    assert len(names) == len(set(names)) == 2 + 369 * 5
    assert "W39_1998.09.19_Segm.nii" in names
    assert "BraTS20_Training_355_seg.nii" not in names


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(DataError, match="in the way"):
        download(SMALL, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_what_cannot_be_had_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match="not established"):
        download(BRATS_2019, tmp_path / "it")
    with pytest.raises(DataError, match="whole"):
        download(CHEST, tmp_path / "it", patients=3)
    with pytest.raises(DataError, match="369 patients"):
        download(BRATS, tmp_path / "it", patients=400)


def test_command_downloads_to_where_the_lessons_look(kaggle, phantoms, tmp_path, monkeypatch, capsys):
    kaggle.files = dict.fromkeys(brats_files(1), b"")
    kaggle.files |= {name: data for name, data in tree(phantoms).items() if name in kaggle.files}
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    command = [sys.executable, "-m", "helpers", "download", "brats", "--patients", "1"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "7 of 7" in answer.stderr
    assert sources.brats() == tmp_path / "data" / "brats2020_first_1"
    assert [patient.id for patient in read_catalogue(sources.brats()).patients] == ["BraTS20_Training_001"]


def test_command_fails_with_advice(kaggle, tmp_path):
    kaggle.fail[ROUTE] = 401
    command = [sys.executable, "-m", "helpers", "download", "brats", "--patients", "1", "--to", str(tmp_path / "it")]
    answer = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    assert answer.returncode == 1
    assert "access_token" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_sources_download_only_when_asked(kaggle, content, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    assert sources.find(BRATS) is None
    assert kaggle.asked == []
    monkeypatch.setattr(sources, "bring", lambda data: download(SMALL, tmp_path / "brats2020"))
    assert sources.find(BRATS, download=True) == tmp_path / "brats2020"
    assert json.loads((tmp_path / "brats2020" / RECORD).read_text())["patients"] is None
