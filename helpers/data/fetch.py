"""What the downloading process runs: kagglehub, with a careful unzip; its outcome is one line of JSON on stdout.

`helpers.data.download` starts it as a script and watches it. A process of its own can be stopped when Kaggle no longer
answers (kagglehub waits for ever), and may change how archives unpack without changing it for the reader's notebook.
"""

import errno
import json
import os
import shutil
import sys
import threading
import zipfile
from pathlib import Path


class UnsafeArchiveError(Exception):
    """A member of the archive would land outside of the folder it is unpacked to."""


class CarefulZip(zipfile.ZipFile):
    """Refuses members that escape, which the standard library would rename; looks at the disk; shows progress."""

    def extractall(self, path=None, members=None, pwd=None):
        """Unpack everything below `path`, or nothing.

        Raises:
            UnsafeArchiveError: a member lies outside of `path`.
            OSError: the disk has no room for all of them.
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
    """Bring a data set, or some of its files, into `$KAGGLEHUB_CACHE`; return the folder of its version."""
    # kagglehub asks IPython whether this is Colab; it is not, and IPython takes half a second to say so.
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
    """The folder, or what kind of failure it was, without a word from the server: it might repeat a key or a token."""
    import requests

    try:
        return {"folder": fetch(handle, files)}
    except requests.HTTPError as error:
        headers = error.response.headers
        return {"failure": "http", "status": error.response.status_code, "wait": headers.get("Retry-After")}
    except requests.RequestException:
        return {"failure": "connection"}
    except UnsafeArchiveError as error:
        return {"failure": "unsafe", "member": str(error)}
    except zipfile.BadZipFile:
        return {"failure": "archive"}
    except OSError as error:
        return {"failure": "disk" if error.errno == errno.ENOSPC else "file", "reason": error.strerror}
    except ValueError as error:
        # kagglehub's two: a file that is no archive, and a kaggle.json that is none.
        unreadable = "archive" in str(error)
        return {"failure": "archive"} if unreadable else {"failure": "credentials", "reason": str(error)}
    except Exception as error:
        # Its DataCorruptionError has no common ancestor with the others.
        return {"failure": "checksum" if type(error).__name__ == "DataCorruptionError" else "unknown"}


def _stop_with_parent() -> None:
    """Stdin ends when the process that started this one does; a second one might already be at the same files."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    result = outcome(sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
    print(json.dumps(result), flush=True)
