"""Faults of accounts, networks, outputs and notebooks: what stands between a learner and the course."""

import contextlib
import errno
import functools
import json
import os
import platform
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import nibabel as nib

import helpers
from helpers.data.phantoms.brats import make_brats
from helpers.data.sets import brats_files
from helpers.lessons import execute
from helpers.lessons.build import NOTEBOOKS
from helpers.runtime.lock import lock_folder
from tests.faults.harness import Fault
from tests.kaggle_server import FakeKaggle, tree, zipped

ACCOUNT, OUTPUT, NOTEBOOK, PRIVATE = "accounts", "outputs", "notebooks", "people and machines"
CHECKOUT = Path(helpers.__file__).parents[1]
LESSON, OTHER = "00_start_here", "02_see_the_scans"
PHANTOMS = ("*.nii", "*.csv", "phantom.json")
RUN = ("*.ipynb", "kernel.log", "metrics.json", "report.html", "history.jsonl", ".lock")
BRATS = ["download", "brats", "--patients", "1", "--to"]
_ROUTE = "DatasetApiService/DownloadDataset"
_VARIABLES = ("PROXY", "proxy", "KAGGLE", "SSL_CERT", "CA_BUNDLE")


# -- what is planted


def _alone(folder: Path) -> None:
    """Nobody signed in, no proxy, no certificates of its own."""
    for name in [name for name in os.environ if any(part in name for part in _VARIABLES)]:
        del os.environ[name]
    (folder / "user").mkdir()
    os.environ.update(HOME=str(folder / "user"), USERPROFILE=str(folder / "user"))


def _kaggle(folder: Path, change: Callable[[FakeKaggle], object]) -> list[str]:
    """Download from a Kaggle that holds one patient and misbehaves."""
    _alone(folder)
    server = FakeKaggle()
    wanted = brats_files(1)
    server.files = dict.fromkeys(wanted, b"1" * 400)
    change(server)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    os.environ.update(KAGGLE_API_ENVIRONMENT="LOCALHOST", http_proxy=f"http://127.0.0.1:{server.server_port}")
    return [*BRATS, folder / "out" / "brats"]


def _status(status: int) -> Callable[[Path], list[str]]:
    return lambda folder: _kaggle(folder, lambda server: server.fail.update({_ROUTE: status}))


def _page(server: FakeKaggle) -> None:
    server.files = dict.fromkeys(server.files, b"<!DOCTYPE html><title>Sign in to the hospital's network</title>")


def _proxy(answer: bytes, certificate: bool = False) -> Callable[[Path], list[str]]:
    """Download through a proxy that answers every request in the same way."""

    def plant(folder: Path) -> list[str]:
        _alone(folder)
        context = None
        if certificate:
            made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=company"]
            files = folder / "cert.pem", folder / "key.pem"
            subprocess.run([*made, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*files)
        server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=_serve, args=(server, answer, context), daemon=True).start()
        os.environ["HTTPS_PROXY"] = f"http://someone:secret@127.0.0.1:{server.getsockname()[1]}"
        return [*BRATS, folder / "out" / "brats"]

    return plant


def _serve(server: socket.socket, answer: bytes, context: ssl.SSLContext | None) -> None:
    while True:
        with contextlib.suppress(OSError):
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(answer)
            if context:
                context.wrap_socket(connection, server_side=True).recv(65536)
            connection.close()


def _with(**variables: str) -> Callable[[Path], list[str]]:
    """Download, with variables of the environment."""

    def plant(folder: Path) -> list[str]:
        _alone(folder)
        os.environ.update(variables)
        return [*BRATS, folder / "out" / "brats"]

    return plant


def _closed(folder: Path) -> Path:
    """A folder that may not be written to: root may write everywhere but in the system's own."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/sys/kernel/course")
    (folder / "closed").mkdir(mode=0o555)
    return folder / "closed" / "course"


def _below_a_file(folder: Path) -> Path:
    (folder / "notes.txt").touch()
    return folder / "notes.txt" / "out"


def _link_to_nothing(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "unplugged disk")
    return folder / "link"


def _link_to_a_folder(folder: Path) -> Path:
    (folder / "out" / "real").mkdir(parents=True)
    (folder / "out" / "link").symlink_to(folder / "out" / "real")
    return folder / "out" / "link"


def _link_has_it(folder: Path) -> None:
    assert (folder / "out" / "link").is_symlink()
    assert (folder / "out" / "real" / "phantom.json").is_file()
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["link", "real"]


def _thesis(folder: Path) -> Path:
    (folder / "thesis").mkdir()
    (folder / "thesis" / "chapter.tex").write_text("years of work")
    return folder / "thesis"


def _thesis_is_there(folder: Path) -> None:
    assert (folder / "thesis" / "chapter.tex").read_text() == "years of work"


def _into(place: Callable[[Path], Path], *command: str) -> Callable[[Path], list[str]]:
    return lambda folder: [*command, place(folder)]


@functools.cache
def _built() -> Path:
    """A copy of the notebooks and their sources, kept until the process ends."""
    root = Path(tempfile.mkdtemp(prefix="course-"))
    shutil.copytree(CHECKOUT / NOTEBOOKS, root / NOTEBOOKS, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    return root


def _workplace(folder: Path) -> Path:
    """A checkout of one's own to spoil."""
    return shutil.copytree(_built() / NOTEBOOKS, folder / "checkout" / NOTEBOOKS)


def _copied(folder: Path) -> None:
    shutil.copy(_workplace(folder) / f"{LESSON}.ipynb", folder / "checkout" / NOTEBOOKS / f"{LESSON}-Copy1.ipynb")


def _copy_is_there(folder: Path) -> None:
    assert (folder / "checkout" / NOTEBOOKS / f"{LESSON}-Copy1.ipynb").is_file()


def _lesson(*options: str) -> list[str]:
    return ["run", "2", *options]


def _spoiled(change: Callable[[str], str], name: str = f"{OTHER}.ipynb") -> Callable[[Path], list[str]]:
    """Run a lesson whose notebook somebody changed."""

    def plant(folder: Path) -> list[str]:
        path = _workplace(folder) / name
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
        return [*_lesson("--out"), folder / "out"]

    return plant


def _phantom_data(folder: Path) -> Path:
    os.environ["COURSE_DATA"] = str(_phantom_home())
    return folder


@functools.cache
def _phantom_home() -> Path:
    """A data root of real data, so that a lesson makes none: one phantom patient, named as a download is."""
    root = Path(tempfile.mkdtemp(prefix="data-"))
    grid = {"shape": (40, 40, 26), "spacing": (6.0, 6.0, 155 / 26)}
    return make_brats(root / "brats2020_first_1", patients=2, validation=0, **grid).parent


def _inherited(folder: Path) -> list[str]:
    """Run a lesson, kernel and all, from a session of JupyterLab in which another `helpers` comes first."""
    (folder / "helpers.py").write_text("raise SystemExit('the wrong helpers')")
    os.environ.update(PYTHONPATH=str(folder), JPY_SESSION_NAME="lesson.ipynb")
    return [*_lesson("--out"), folder / "out"]


def _has_pictures(folder: Path) -> None:
    text = (folder / "out" / OTHER / f"{OTHER}.ipynb").read_text(encoding="utf-8")
    assert text.count('"image/png": "') >= 5, "the viewers leave no pictures"


def _planted(*files: str, content: str = "") -> Callable[[Path], list[str]]:
    """Run a lesson into a folder that holds some files."""

    def plant(folder: Path) -> list[str]:
        _workplace(folder)
        for file in files:
            (folder / "out" / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / "out" / file).write_text(content)
        return [*_lesson("--data"), _phantom_home(), "--out", folder / "out"]

    return plant


# -- what the command runs in


@contextlib.contextmanager
def _in_checkout(folder: Path) -> Iterator[None]:
    with contextlib.chdir(folder / "checkout" if (folder / "checkout").is_dir() else _built()):
        yield


@contextlib.contextmanager
def _elsewhere(folder: Path) -> Iterator[None]:
    (folder / "home" / NOTEBOOKS).mkdir(parents=True)
    (folder / "home" / NOTEBOOKS / "thesis.ipynb").touch()
    with contextlib.chdir(folder / "home"):
        yield


@contextlib.contextmanager
def _without_a_kernel(folder: Path) -> Iterator[None]:
    """Lessons pass at once, and print folders of this machine."""

    def play(notebook: Path, copy: Path, parameters: dict, *_: object) -> None:
        content = json.loads(notebook.read_text(encoding="utf-8"))
        for cell in content["cells"]:
            if cell["cell_type"] == "code":
                cell["execution_count"] = 1
                text = f"{parameters} {folder} {sys.prefix} {Path.home()}"
                cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": text}]
        copy.write_text(json.dumps(content), encoding="utf-8")

    with _in_checkout(folder), mock.patch.object(execute, "_papermill", play):
        yield


@contextlib.contextmanager
def _full_disk(folder: Path) -> Iterator[None]:
    with mock.patch.object(nib, "save", side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))):
        yield


@contextlib.contextmanager
def _full_disk_of_a_run(folder: Path) -> Iterator[None]:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with _without_a_kernel(folder), mock.patch("nbformat.write", side_effect=full):
        yield


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    usage = shutil.disk_usage(folder)._replace(free=10**6)
    with mock.patch.object(shutil, "disk_usage", return_value=usage):
        yield


@contextlib.contextmanager
def _another_run(folder: Path) -> Iterator[None]:
    with _in_checkout(folder), lock_folder(folder / "out", "runs lessons into"):
        yield


# -- checks


def _no_folder_is_named(folder: Path) -> None:
    for path in (folder / "out").rglob("*"):
        if path.is_file() and path.name != ".lock":
            text = path.read_text(encoding="utf-8")
            for place in (folder, sys.prefix, Path.home(), _phantom_home()):
                assert str(place) not in text, f"{path.name} names {place}"


def _one_set(folder: Path) -> None:
    assert [path.name for path in (folder / "out").iterdir()] == ["brats"], "the scratch folder is still there"


def _killed_phantom(folder: Path) -> list[str]:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = folder / "out" / f".brats-{platform.node()}-{dead.pid}-abcdefgh" / "set"
    left.mkdir(parents=True)
    (left / "half.nii").write_bytes(b"0" * 1000)
    return ["phantom", "--patients", "1", "--out", folder / "out" / "brats"]


def _record(content: str) -> Callable[[Path], list[str]]:
    """Download over a folder whose record was edited."""

    def plant(folder: Path) -> list[str]:
        _alone(folder)
        patient = folder / "brats" / "BraTS20_Training_001"
        patient.mkdir(parents=True)
        (patient / "BraTS20_Training_001_flair.nii").touch()
        (folder / "brats" / "download.json").write_text(content)
        return [*BRATS, folder / "brats"]

    return plant


def _phantom_note(folder: Path) -> list[str]:
    (folder / "brats").mkdir()
    (folder / "brats" / "phantom.json").write_text('{"what": "made-')
    return ["phantom", "--patients", "1", "--out", folder / "brats"]


def _home_of(folder: Path) -> list[str]:
    _alone(folder)
    return ["phantom", "--patients", "1", "--out", "~/sets/brats"]


def _home_has_it(folder: Path) -> None:
    assert (folder / "user" / "sets" / "brats" / "phantom.json").is_file()
    assert not Path("~").exists()


def _archive(server: FakeKaggle) -> None:
    server.archive = zipped({"../../escaped.txt": b"boo", **dict.fromkeys(brats_files(1), b"1")})


def _whole(change: Callable[[FakeKaggle], object]) -> Callable[[Path], list[str]]:
    """The whole set, as an archive."""
    return lambda folder: ["download", "brats", "--to", *_kaggle(folder, change)[-1:]]


def _served(folder: Path) -> list[str]:
    """A download that is cut in the middle of its first file, once."""
    served = make_brats(folder / "served", patients=2, validation=0, shape=(40, 40, 26), spacing=(6.0, 6.0, 155 / 26))
    content = {name: data for name, data in tree(served).items() if name in brats_files(1)}

    def change(server: FakeKaggle) -> None:
        server.files = content
        server.cuts = [100]

    return _kaggle(folder, change)


def _name_that_is_not_utf8(folder: Path) -> list[str]:
    place = os.fsdecode(os.fsencode(folder) + b"/K\xf6pfe")
    Path(place).mkdir()
    return [*_lesson("--data"), place, "--out", folder / "out"]


# -- the faults


def _account(name: str, plant: Callable[[Path], list[str]], says: str, status: int = 1, **more: object) -> Fault:
    return Fault(name, ACCOUNT, plant, says, status, **more)


def _output(name: str, plant: Callable[[Path], list[str]], says: str, status: int = 1, **more: object) -> Fault:
    return Fault(name, OUTPUT, plant, says, status, **more)


def _notebook(name: str, plant: Callable[[Path], list[str]], says: str, status: int = 1, **more: object) -> Fault:
    return Fault(name, NOTEBOOK, plant, says, status, **{"within": _in_checkout, **more})


_CHECKOUT = "holds no lesson of the course; run this from the checkout"
_PARTLY = ("files.json", "*.csv", "*.nii", "*.complete")

FAULTS: list[Fault] = [
    # the way to Kaggle
    *[
        _account(
            "a connection that is decrypted on its way",
            _proxy(b"HTTP/1.1 200 OK\r\n\r\n", certificate=True),
            "certificate .*SSL_CERT_FILE .*REQUESTS_CA_BUNDLE.* HTTPS_PROXY",
            quick=True,
        )
    ]
    * bool(shutil.which("openssl")),
    _account(
        "a proxy that asks for a password",
        _proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"),
        r"(?!.*secret).*asks for a user name and a password \(HTTPS_PROXY names 127.*USER:PASSWORD@HOST",
        quick=True,
    ),
    _account(
        "a proxy that refuses",
        _proxy(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        r"(?!.*secret).*proxy .*refuses \(HTTPS_PROXY names",
    ),
    _account(
        "a proxy that is switched off",
        _with(HTTPS_PROXY="http://someone:secret@127.0.0.1:9"),
        "(?!.*secret).*proxy on the way does not answer.*127.0.0.1:9.*Correct HTTPS_PROXY",
    ),
    _account("a proxy of an unknown kind", _with(HTTPS_PROXY="ftp://127.0.0.1:9"), "Correct HTTPS_PROXY"),
    _account("a SOCKS proxy without its package", _with(HTTPS_PROXY="socks5://127.0.0.1:9"), "Correct HTTPS_PROXY"),
    _account(
        "a file of certificates that is gone", _with(REQUESTS_CA_BUNDLE="/x.pem"), "REQUESTS_CA_BUNDLE .*not there"
    ),
    _account("the same, named by SSL_CERT_FILE", _with(SSL_CERT_FILE="/x.pem"), "SSL_CERT_FILE names is not there"),
    _account(
        "a network that wants a sign-in", lambda f: _kaggle(f, _page), "web page came, and no data.* in a browser"
    ),
    _account("nobody signed in", _status(401), "answered 401.*access_token"),
    _account("terms that were not accepted", _status(403), "accept its terms"),
    _account("a set that moved", _status(404), "download it by hand and name its folder"),
    _account("too many requests", _status(429), "Wait 7 seconds"),
    _account("a request that a filter refuses", _status(418), "(?!.*on its side).*another network"),
    _account("a server in trouble", _status(503), "on its side; try again later"),
    _account("an archive that reaches out of its folder", _whole(_archive), "outside of its folder.*tell its owner"),
    _account(
        "a set of which somebody else has the rights",
        lambda folder: ["download", "chest", "--patients", "3", "--to", folder / "out"],
        "Only BraTS comes patient by patient; leave --patients out",
        quick=True,
    ),
    _account(
        "more patients than there are",
        lambda folder: ["download", "brats", "--patients", "400", "--to", folder / "out"],
        "has 369 patients",
        quick=True,
    ),
    _account(
        "a connection that breaks",
        _served,
        "BraTS 2020: complete",
        0,
        leaves=("*.nii", "*.csv", "download.json"),
    ),
    _account("a record cut short", _record('{"handle": '), "download.json is damaged.*Remove .* download it again"),
    _account("a record of other types", _record('{"handle": 1, "patients": "x"}'), "download.json.*Remove"),
    _account(
        "push by a name that is none",
        lambda folder: ["push", "2", "--user", "some one", "--dry-run"],
        "'some one' is no name on Kaggle; correct --user",
        quick=True,
        within=_in_checkout,
    ),
    # outputs
    *[
        _output(f"{name} --out {what}", _into(place, *command), says, quick=name == "phantom", within=within)
        for name, command, within in (
            ("phantom", ("phantom", "--patients", "1", "--out"), contextlib.nullcontext),
            ("run", _lesson("--out"), _in_checkout),
            ("download", BRATS, contextlib.nullcontext),
        )
        for what, place, says in (
            ("below a file", _below_a_file, r"notes\.txt is a file\. Name another folder by --"),
            ("without permission", _closed, r"cannot be written \(.*Name a folder that you may write to by --"),
            ("with a name too long", lambda f: f / ("x" * 300), r"cannot be written \(File name too long"),
        )
    ],
    _output("run --out is a link to nothing", _into(_link_to_nothing, *_lesson("--out")), "link to nothing"),
    _output("phantom --out is a link to nothing", _into(_link_to_nothing, "phantom", "--out"), "link .*no folder"),
    _output(
        "phantom --out is a link to an empty folder",
        _into(_link_to_a_folder, "phantom", "--patients", "1", "--out"),
        "out/link",
        0,
        check=_link_has_it,
        leaves=PHANTOMS,
    ),
    _output(
        "phantom over somebody's thesis",
        _into(_thesis, "phantom", "--out"),
        "(?!.*remove).*thesis holds files that are no phantom set; name another folder",
        check=_thesis_is_there,
        quick=True,
    ),
    _output(
        "download over somebody's thesis",
        _into(_thesis, *BRATS),
        "(?!.*remove).*in the way.* by --to",
        check=_thesis_is_there,
    ),
    _output("a phantom's note cut short", _phantom_note, "no phantom set; name another folder", quick=True),
    _output(
        "phantom --seed -1", _into(lambda f: f / "out", "phantom", "--seed", "-1", "--out"), "seed.*-1", quick=True
    ),
    _output(
        "phantom --patients 400",
        _into(lambda folder: folder / "out", "phantom", "--patients", "400", "--out"),
        "400 patients.*give 1 to 355",
        quick=True,
    ),
    _output(
        "a full disk in phantom",
        _into(lambda folder: folder / "out" / "brats", "phantom", "--patients", "1", "--out"),
        "brats cannot be written: the disk.* is full .*Make room",
        within=_full_disk,
    ),
    _output("what a killed phantom left", _killed_phantom, "out/brats", 0, check=_one_set, leaves=PHANTOMS),
    _output("phantom --out ~", _home_of, "user/sets/brats", 0, check=_home_has_it),
    _output(
        "phantom into a name with brackets",
        _into(lambda folder: folder / "out" / "set [b] [/x]", "phantom", "--patients", "1", "--out"),
        r"set \[b\] \[/x\]",
        0,
        leaves=PHANTOMS,
    ),
    _output(
        "a disk too small for a download", _into(lambda f: f / "out", *BRATS), "needs .* GB more", within=_small_disk
    ),
    # notebooks
    _notebook("run elsewhere", lambda f: [*_lesson("--out"), f / "out"], _CHECKOUT, within=_elsewhere, quick=True),
    _notebook(
        "run of solutions elsewhere",
        lambda folder: [*_lesson("--variant", "solution", "--out"), folder / "out"],
        _CHECKOUT,
        within=_elsewhere,
    ),
    _notebook("build elsewhere", lambda _: ["build"], _CHECKOUT, within=_elsewhere, quick=True),
    _notebook("build --check elsewhere", lambda _: ["build", "--check"], _CHECKOUT, within=_elsewhere),
    _notebook("push elsewhere", lambda _: ["push", "2", "--user", "me"], _CHECKOUT, within=_elsewhere, quick=True),
    _notebook(
        "a copy of a notebook, and build",
        lambda folder: _copied(folder) or ["build"],
        "Copy1.ipynb is no lesson of course.yml; move it to another folder",
        check=_copy_is_there,
    ),
    _notebook(
        "a copy of a notebook, and build --check",
        lambda folder: _copied(folder) or ["build", "--check"],
        "Copy1.ipynb is no lesson of course.yml; move it to another folder",
    ),
    _notebook(
        "a copy of a notebook, and run",
        lambda folder: _copied(folder) or [*_lesson("--data"), _phantom_home(), "--out", folder / "out"],
        "Copy1.ipynb is no lesson, and is not run.*02_see_the_scans passed",
        0,
        check=_copy_is_there,
        leaves=RUN,
        within=_without_a_kernel,
        quick=True,
    ),
    _notebook("a notebook cut short", _spoiled(lambda text: text[:700]), "is damaged .*run `python -m helpers build`"),
    _notebook("a notebook that is none", _spoiled(lambda _: "[]"), "is damaged .*run `python -m helpers build`"),
    _notebook(
        "a mistyped parameter",
        _spoiled(lambda text: text.replace("DATA_DIR = ", "DATA_DIR = = ")),
        r"02_see_the_scans\.ipynb: the parameters cell is not Python",
    ),
    _notebook(
        "a parameter that is computed",
        _spoiled(lambda text: text.replace('DATA_DIR = \\"\\"', "DATA_DIR = open(1)")),
        "takes only NAME = literal",
    ),
    _notebook("a lesson that is not there", lambda f: ["run", "99", "--out", f / "out"], "no lesson '99'", quick=True),
    _notebook(
        "a profile that is not there",
        lambda folder: [*_lesson("--profile", "huge", "--out"), folder / "out"],
        "no profile 'huge'. There are: full, quick",
        quick=True,
    ),
    _notebook(
        "a data folder that is not there",
        lambda folder: [*_lesson("--data"), folder / "none", "--out", folder / "out"],
        "none is missing; correct --data",
        quick=True,
    ),
    _notebook(
        "a data folder that is a file",
        lambda folder: [*_lesson("--data"), _below_a_file(folder).parent, "--out", folder / "out"],
        "notes.txt is a file; correct --data",
    ),
    *[_notebook("a data folder whose name is not UTF-8", _name_that_is_not_utf8, "is not UTF-8.*rename the folder")]
    * (sys.platform == "linux"),
    _notebook(
        "run over somebody's notes",
        _planted(f"{OTHER}/thesis.tex", content="years of work"),
        "02_see_the_scans is in the way: no run of lessons left it.*--out",
        leaves=("thesis.tex",),
        within=_without_a_kernel,
    ),
    _notebook(
        "numbers of an earlier run cut short",
        _planted(f"{OTHER}/metrics.json", f"{LESSON}/metrics.json", content='{"lesson": '),
        "metrics.json is damaged; the lesson counts as not run.*02_see_the_scans passed",
        0,
        leaves=RUN,
        within=_without_a_kernel,
    ),
    _notebook(
        "numbers of an earlier run edited",
        _planted(f"{OTHER}/metrics.json", content='{"status": "passed", "values": []}'),
        "metrics.json is damaged; the lesson counts as not run",
        0,
        leaves=RUN,
        within=_without_a_kernel,
    ),
    _notebook(
        "a full disk in run",
        _planted(),
        "02_see_the_scans cannot be written: the disk.* is full",
        leaves=RUN,
        within=_full_disk_of_a_run,
    ),
    _notebook(
        "two runs into one folder",
        _planted(),
        "Another process.* runs lessons into .*choose another folder",
        leaves=RUN,
        within=_another_run,
    ),
    _notebook(
        "another helpers, and a session of JupyterLab, inherited",
        _inherited,
        "02_see_the_scans passed",
        0,
        check=_has_pictures,
        leaves=RUN,
    ),
    Fault(
        "an executed lesson that prints folders",
        PRIVATE,
        _planted(),
        "02_see_the_scans passed",
        0,
        _no_folder_is_named,
        RUN,
        quick=True,
        within=_without_a_kernel,
    ),
]
