"""Atomic download of a data set from Kaggle.

kagglehub does the work (pinned version, checksum, resuming) in a process of its own, see `helpers.data.fetch`. Here is
what it lacks: disk space is checked first, two processes do not download twice, a stalled connection ends in an error,
and the files get their final name only when the set is complete.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from helpers.data import fetch
from helpers.data.sets import BRATS, DataSet, brats_files
from helpers.runtime.disk import explain_full_disk
from helpers.runtime.errors import DataError
from helpers.runtime.json_files import read_json
from helpers.runtime.outputs import writable_folder
from helpers.runtime.settings import expanded

RECORD = "download.json"
"""File in each download that records its version and the number of its patients."""

_PATIENT_GB = 0.09  # five uncompressed volumes of 240 x 240 x 155 in 16 bits
_SPARE_GB = 0.2
_RECORDED = {
    "type": "object",
    "required": ["handle", "patients"],
    "properties": {"handle": {"type": "string"}, "patients": {"type": ["integer", "null"]}},
}
_LIST = "files.json"  # in the partial download, for the process that brings them
_ATTEMPTS = 2  # in a row without a new byte; connections that break while bytes arrive are resumed
_DAMAGED = ("checksum", "archive", "unsafe", "portal")  # the partial download is deleted

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_TOKEN = (
    "Get a token: sign in at https://www.kaggle.com/settings, section API, create a new token, and put it into "
    "~/.kaggle/access_token (or run `kaggle auth login`). A token or kaggle.json that has expired is sent all the "
    "same: replace or remove it."
)


def download(data: DataSet, to: Path, patients: int | None = None, patience: float = 120.0) -> Path:
    """Download a set from Kaggle to the folder `to`, which exists only once it is complete.

    A partial download stays beside it, in `<to>.part`; the same call resumes it. If another process downloads to the
    same folder, this call waits for it and uses its files.

    Args:
        data: of `helpers.data.sets`.
        to: the folder to make.
        patients: only the first patients, file by file (BraTS 2020); None for the whole set.
        patience: seconds without a new byte after which the download is stopped.

    Returns:
        `to`, as an absolute path.

    Raises:
        DataError: `to` may not be written to, or the download failed; the message says what to do.
    """
    to = expanded(to).absolute()
    record = {"handle": data.handle, "patients": patients}
    files = _selection(data, patients)
    if os.path.lexists(to) and _is_there(data, to, record):
        print(f"{data.title}: already there, at {to}")
        return to
    to = writable_folder(to, "--to or COURSE_DATA", beside=True)
    to.parent.mkdir(parents=True, exist_ok=True)
    with explain_full_disk(to), _alone(to):
        if _is_there(data, to, record):
            print(f"{data.title}: already there, at {to}")
            return to
        part = to.with_name(f"{to.name}.part" if patients is None else f"{to.name}.{patients}.part")
        packed, unpacked = (data.packed_gb, data.unpacked_gb) if patients is None else (0, patients * _PATIENT_GB)
        _check_disk(data, to, part, packed + unpacked)
        print(
            f"{data.title}: about {packed or unpacked:.3g} GB to download, {unpacked:.3g} GB on disk, to {to}\n"
            "Ctrl-C stops; the same command takes up from there.",
            flush=True,
        )
        folder = _bring(data, files, part, patience)
        (folder / RECORD).write_text(json.dumps(record), encoding="utf-8")
        if to.is_dir():
            to.rmdir()  # empty, or _is_there would have complained
        os.replace(folder, to)
        shutil.rmtree(part, ignore_errors=True)
    print(f"{data.title}: complete, at {to}")
    return to


def _selection(data: DataSet, patients: int | None) -> list[str] | None:
    if data.owner is None:
        raise DataError(f"Whose {data.title} to take from Kaggle is not established; name a folder that holds it.")
    if patients is None:
        return None
    if data.slug != BRATS.slug:
        raise DataError(f"Only BraTS comes patient by patient; leave --patients out to get {data.title} whole.")
    try:
        return brats_files(patients)
    except ValueError as error:
        raise DataError(str(error)) from None


@contextmanager
def _alone(to: Path) -> Iterator[None]:
    """Hold the file lock of `to`; the system releases it when the process ends, however it ends."""
    lock = FileLock(to.with_name(f".{to.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"Another process is downloading to {to}; waiting for it.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        if os.name == "posix":  # while it is locked: whoever waits for it finds that it has no name any more
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _is_there(data: DataSet, to: Path, record: dict) -> bool:
    """Whether `to` holds the wanted download; False where it is missing or empty.

    Raises:
        DataError: `to` holds something else.
    """
    if not to.exists() or (to.is_dir() and not any(to.iterdir())):
        return False
    if not to.is_dir() or not data.held_by(to):
        raise DataError(f"{to} is in the way: it is no copy of {data.title}. Name a folder that is not there by --to.")
    note = to / RECORD
    if not note.is_file():
        return True  # unpacked by hand
    found = read_json(note, _RECORDED, f"Remove {to}, and download it again.")
    if found == record:
        return True
    names = [f"{it['patients'] or 'all'} patients of {it['handle']}" for it in (found, record)]
    raise DataError(f"{to} holds {names[0]}; wanted are {names[1]}. Remove it, or name another place by --to.")


def _check_disk(data: DataSet, to: Path, part: Path, needed_gb: float) -> None:
    free = shutil.disk_usage(to.parent).free / 1e9
    missing = needed_gb + _SPARE_GB - _bytes(part) / 1e9
    if free < missing:
        smaller = " BraTS also comes in parts: --patients 10 takes 1 GB." if data is BRATS else ""
        raise DataError(
            f"{data.title} needs {missing:.1f} GB more on the disk of {to.parent}, and {free:.1f} GB are free. "
            f"Make room, or name a folder on another disk by --to.{smaller}"
        )


def _bring(data: DataSet, files: list[str] | None, part: Path, patience: float) -> Path:
    """Run the download process until it is complete.

    Raises:
        DataError: it failed.
    """
    part.mkdir(parents=True, exist_ok=True)
    (part / _LIST).write_text(json.dumps(files), encoding="utf-8")
    most, left = _bytes(part), _ATTEMPTS
    while left:
        result = _watch(data, part, patience)
        if result.get("failure") not in ("connection", "proxy"):
            break
        most, left = (now, _ATTEMPTS) if (now := _bytes(part)) > most else (most, left - 1)
    if "folder" in result and not any(_is_page(Path(result["folder"]) / file) for file in files or ()):
        return Path(result["folder"])
    result = result if "failure" in result else {"failure": "portal"}
    (part / _LIST).unlink()
    if result["failure"] in _DAMAGED or not _bytes(part):
        shutil.rmtree(part)
    raise DataError(_explain(result, data, part))


def _is_page(path: Path) -> bool:
    """Whether a web page came where a file of numbers was wanted: many networks answer so until one signs in."""
    with path.open("rb") as file:
        return file.read(64).lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _watch(data: DataSet, part: Path, patience: float) -> dict:
    """One attempt: start the download process, watch the size of its files, and return its result."""
    # -P: the folder of the script holds modules of this package, which must not shadow others of the same name.
    command = [sys.executable, "-P", fetch.__file__, data.handle, str(part / _LIST)]
    environment = {
        **os.environ,
        "KAGGLEHUB_CACHE": str(part),
        "KAGGLEHUB_VERBOSITY": "error",
        # On Kaggle and Colab kagglehub attaches a set instead of downloading it, and has no timeout for that; attached
        # sets have been searched before.
        "DISABLE_KAGGLE_CACHE": "1",
        "DISABLE_COLAB_CACHE": "1",
        **certificates(),
    }
    if not sys.stderr.isatty():
        environment["TQDM_MININTERVAL"] = "10"  # seconds: in a log every update of the bar is a line
    read_end, write_end = os.pipe()  # closed when this process ends, however it ends: then the other stops too
    process = subprocess.Popen(
        command, stdin=read_end, stdout=subprocess.PIPE, env=environment, text=True, errors="replace"
    )
    os.close(read_end)
    try:
        size, since = -1, time.monotonic()
        while True:
            try:
                output, _ = process.communicate(timeout=min(1.0, patience))
                break
            except subprocess.TimeoutExpired:
                now = _bytes(part)
                if now != size:
                    size, since = now, time.monotonic()
                elif time.monotonic() - since > patience:
                    return {"failure": "silence", "seconds": patience}
    finally:
        os.close(write_end)
        process.kill()
        process.wait()
    try:
        return json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        return {"failure": "unknown", "status": process.returncode}


def _bytes(folder: Path) -> int:
    """Size of all files below `folder`; files may vanish meanwhile."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                continue
    return total


def certificates() -> dict[str, str]:
    """Environment for clients that use requests: it reads REQUESTS_CA_BUNDLE, and OpenSSL and others SSL_CERT_FILE."""
    given = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    return {"REQUESTS_CA_BUNDLE": given} if given else {}


def network_advice(failure: Mapping[str, Any]) -> str | None:
    """What stood between this machine and Kaggle, and what to do about it; None where that is not what failed.

    Args:
        failure: as `helpers.data.fetch.network_failure` returns it.
    """
    proxies = [f"{name} names {_address(os.environ[name])}" for name in _PROXIES if os.environ.get(name)]
    named = f" ({', '.join(proxies)})" if proxies else ""
    reason = f" ({failure['reason']})" if failure.get("reason") else ""
    bundles = " or ".join(name for name in _BUNDLES if os.environ.get(name)) or _BUNDLES[0]
    return {
        "certificate": f"The certificate of the connection is not one that this machine trusts{reason}: somebody on "
        "the way, as in many companies and hospitals, decrypts it. Ask your IT for its root certificate as a .pem "
        "file, and name that file in SSL_CERT_FILE and in REQUESTS_CA_BUNDLE; where a proxy is prescribed, name it in "
        "HTTPS_PROXY. Never switch the check off.",
        "bundle": f"The file with certificates that {bundles} names is not there. Correct the path, or unset it.",
        "password": f"A proxy on the way asks for a user name and a password{named}. Set "
        "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT (special characters as in an address: %40 for @).",
        "proxy": f"The proxy on the way does not answer, or refuses{named}. Correct HTTPS_PROXY, as in "
        "HTTPS_PROXY=http://HOST:PORT, or unset it where there is no proxy.",
        "portal": "A web page came, and no data: perhaps this network asks you to sign in. Open any website in a "
        "browser first.",
        "connection": "No connection to Kaggle, or it broke. See that this machine has internet (on Kaggle: Settings, "
        f"Internet){named or '; behind a proxy, name it in HTTPS_PROXY'}.",
    }.get(failure["failure"])


def refusal_advice(status: int) -> str:
    """What to do about an answer of Kaggle that has no advice of its own.

    Args:
        status: of HTTP, 400 or above.
    """
    if status >= 500:
        return "The trouble is on its side; try again later."
    return (
        "It does not understand this request, or something on the way (a proxy, a filter) refuses it: update its "
        "clients (pip install --upgrade kagglehub kaggle), and try from another network."
    )


def _address(proxy: str) -> str:
    """Host and port of a proxy, without the password."""
    return proxy.rpartition("@")[2].rpartition("://")[2].strip("/")


def _explain(result: dict, data: DataSet, part: Path) -> str:
    """The error message of a failed download: what went wrong, and what to do about it."""
    arrived = f"What has arrived is kept in {part}; the same command takes up from there."
    resume = arrived if part.exists() else "Then give the same command again."
    if advice := network_advice(result):
        return f"{data.title}: {advice} {resume}"
    if result["failure"] == "http":
        status = result["status"]
        wait = f"{result['wait']} seconds" if result.get("wait") else "some minutes"
        if status == 407:
            return f"{data.title}: {network_advice({'failure': 'password'})} {resume}"
        return f"{data.title}: Kaggle answered {status}. " + {
            401: f"It does not know you. {_TOKEN}",
            403: f"You may not have this set yet: open {data.page}, sign in, accept its terms if it asks. {_TOKEN}",
            404: f"There is no version {data.version} of this set: see whether {data.page} still shows it. If it moved "
            "or changed, download it by hand and name its folder.",
            429: f"That was too much at once. Wait {wait}. {resume}",
        }.get(status, f"{refusal_advice(status)} {resume}")
    return {
        "silence": f"Kaggle has sent nothing for {result.get('seconds', 0):g} seconds. {resume}",
        "checksum": "What arrived has another checksum than what Kaggle holds; it is removed. Run the same again.",
        "archive": "What arrived is no archive, or a damaged one (perhaps a page of this network "
        "that asks you to sign in: open any website in a browser); it is removed. Run the same again.",
        "unsafe": f"The archive holds a file that would land outside of its folder ({result.get('member')}). Nothing "
        f"was unpacked, and the archive is removed. Do not unpack it by hand; tell its owner, at {data.page}.",
        "disk": f"The disk is full. Make room, or name a folder on another disk by --to. {resume}",
        "file": f"A file could not be written ({result.get('reason')}). Name a folder you may write to by --to. "
        f"{resume}",
        "credentials": f"{result.get('reason')}. {_TOKEN}",
    }.get(result["failure"], f"The download ended without a result (status {result.get('status')}). {resume}")
