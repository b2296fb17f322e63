"""The script of the download process: kagglehub, with safe unpacking; its result is one line of JSON on stdout.

`helpers.data.download` starts it as a script and watches it. A process of its own can be stopped when Kaggle no longer
answers (kagglehub has no timeout), and may patch `zipfile` without patching it for the reader's notebook.
"""

import errno
import json
import os
import re
import shutil
import sys
import threading
import zipfile
from collections.abc import Iterable
from pathlib import Path


class UnsafeArchiveError(Exception):
    """A member of the archive lies outside of the folder it is unpacked to (path traversal)."""


class CarefulZip(zipfile.ZipFile):
    """Refuses path traversal, where the standard library renames members; checks the disk space; shows progress."""

    def extractall(
        self,
        path: str | os.PathLike | None = None,
        members: Iterable[str | zipfile.ZipInfo] | None = None,
        pwd: bytes | None = None,
    ) -> None:
        """Unpack all members below `path`, or none.

        Args:
            path: the folder, which kagglehub always names.
            members: ignored: all are unpacked.
            pwd: password of an encrypted archive.

        Raises:
            UnsafeArchiveError: a member lies outside of `path`.
            OSError: the disk has no space for all of them.
        """
        from tqdm import tqdm

        root = Path(path).resolve()
        for member in self.infolist():
            if not (root / member.filename).resolve().is_relative_to(root):
                raise UnsafeArchiveError(member.filename)
        if sum(member.file_size for member in self.infolist()) > shutil.disk_usage(root).free:
            raise OSError(errno.ENOSPC, "no room to unpack")
        for member in tqdm(self.infolist(), desc="Unpacking", unit=" files"):
            self.extract(member, path, pwd)


def fetch(handle: str, files: list[str] | None) -> str:
    """Download a data set, or some of its files, into `$KAGGLEHUB_CACHE`.

    Args:
        handle: `owner/slug/versions/1`.
        files: paths inside the set; None for the whole set.

    Returns:
        The folder of this version of the set.
    """
    # kagglehub imports IPython to check for Colab, which takes half a second; this is not Colab.
    sys.modules.setdefault("IPython", None)
    import kagglehub

    zipfile.ZipFile = CarefulZip  # the one that kagglehub looks up when it unpacks
    if files is None:
        return kagglehub.dataset_download(handle)
    for i, file in enumerate(files, start=1):
        print(f"{i} of {len(files)}: {file}", file=sys.stderr)
        path = kagglehub.dataset_download(handle, path=file)
    return str(Path(path).parents[len(Path(file).parts) - 1])


def outcome(handle: str, files: list[str] | None) -> dict:
    """Download, and describe the result without any text from the server, which might contain a key or a token.

    Args:
        handle: `owner/slug/versions/1`.
        files: paths inside the set; None for the whole set.

    Returns:
        `folder`, or the kind of `failure` with details such as the HTTP `status`.
    """
    import requests

    try:
        return {"folder": fetch(handle, files)}
    except requests.HTTPError as error:
        headers = error.response.headers
        return {"failure": "http", "status": error.response.status_code, "wait": headers.get("Retry-After")}
    except requests.RequestException as error:
        return network_failure(error)
    except UnsafeArchiveError as error:
        return {"failure": "unsafe", "member": str(error)}
    except zipfile.BadZipFile:
        return {"failure": "archive"}
    except OSError as error:
        if error.errno is None and "CA certificate" in str(error):  # a variable names a missing file
            return {"failure": "bundle"}
        return {"failure": "disk" if error.errno == errno.ENOSPC else "file", "reason": error.strerror}
    except ValueError as error:
        # kagglehub raises it for a file that is no archive, and for an invalid kaggle.json.
        unreadable = "archive" in str(error)
        return {"failure": "archive"} if unreadable else {"failure": "credentials", "reason": str(error)}
    except Exception as error:
        # kagglehub's DataCorruptionError has no base class in common with the others; urllib3's are not requests'.
        known = {"DataCorruptionError": "checksum", "ProxySchemeUnknown": "proxy", "LocationParseError": "proxy"}
        return {"failure": known.get(type(error).__name__, "unknown")}


def network_failure(error: Exception) -> dict:
    """What stood between this machine and Kaggle, without addresses: they may hold the password of a proxy.

    Args:
        error: of requests; no answer of Kaggle itself.

    Returns:
        The kind of `failure`: "certificate" (somebody on the way decrypts the connection), "password" (a proxy asks for
        one), "proxy" (there is one, and it does not answer, or its address is none), "portal" (another page than
        Kaggle's), or "connection".
    """
    import requests

    text = str(error)
    if isinstance(error, requests.exceptions.SSLError) and "EOF" not in text:
        return {"failure": "certificate", "reason": "".join(re.findall(r"\[(?:SSL|X509): ([A-Z0-9_]+)\]", text)[:1])}
    if isinstance(error, requests.exceptions.ProxyError) and " 407" in text:
        return {"failure": "password"}
    # An address without a scheme, or one that begins with socks5:// where PySocks is not installed.
    if isinstance(error, (requests.exceptions.ProxyError, requests.exceptions.InvalidURL)) or "SOCKS" in text:
        return {"failure": "proxy"}
    if isinstance(error, requests.exceptions.InvalidJSONError):
        return {"failure": "portal"}
    return {"failure": "connection"}


def _stop_with_parent() -> None:
    """Exit when the parent process ends, which closes stdin; another download may already write the same files."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    result = outcome(sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
    print(json.dumps(result), flush=True)
