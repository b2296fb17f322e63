"""Pushes lessons to Kaggle, waits while they run there on two T4, and fetches their numbers.

The client ends with status 0 on several failures. So it is called from Python, and its response is read: a push has
succeeded when Kaggle names the version it made and refuses none of the sources.
"""

import contextlib
import functools
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from helpers.data.download import certificates, network_advice, refusal_advice
from helpers.data.fetch import network_failure
from helpers.lessons.bands import BETTER, WORSE, Band, judge_all, read_baselines
from helpers.lessons.manifest import Course, LessonError, read_manifest
from helpers.lessons.record import leaves
from helpers.lessons.stage import DATASET, Staged

BASELINE = "kaggle_t4x2"
LONGEST = 12.5 * 3600  # seconds: Kaggle ends a session after 12 hours
_RESPONSE_TIMEOUT = 120  # seconds; the client itself would wait for ever
_MAX_FAILED_POLLS = 10  # in a row that find no network

_TOKEN = (
    "Get a token: sign in at https://www.kaggle.com/settings, section API, create a new token, and put it into "
    "~/.kaggle/access_token (or run `kaggle auth login`); replace one that has expired."
)
_ADVICE = {
    401: _TOKEN,
    403: f"It may belong to somebody else: is --user your name on Kaggle? {_TOKEN}",
    404: "Is --user your name on Kaggle, and was the lesson pushed before?",
    429: "That was too much at once; wait some minutes and run the same again.",
}


@dataclass(frozen=True)
class Pushed:
    """The outcome of a lesson on Kaggle.

    Attributes:
        lesson: its name.
        status: "passed", "failed" or "out of band".
        url: of the kernel.
        message: why it did not pass.
    """

    lesson: str
    status: str
    url: str
    message: str


def push(
    helper: Path,
    lessons: list[Staged],
    out: Path = Path("runs/kaggle"),
    pause: float = 30.0,
    course: Course | None = None,
    log: Callable[[str], None] = print,
) -> list[Pushed]:
    """Push what `stage` made, one lesson after the other, and wait for each.

    Args:
        helper: the folder with the wheel; goes up first, as a data set.
        lessons: staged lessons.
        out: gets OUT/NN_slug/metrics.json of each.
        pause: seconds between two requests for the status of a lesson that runs.
        course: the manifest; by default that of the package.
        log: called with one line at each step.

    Raises:
        LessonError: the pause is out of range, or Kaggle refused something; the message says what to do.
    """
    if not 0 <= pause <= 3600:
        raise LessonError(f"--pause {pause:g}: expected 0 to 3600 seconds.")
    bands = read_baselines(BASELINE, course or read_manifest())
    with _signed_in() as api:
        _push_helpers(api, helper, pause, log)
        results = []
        for staged in lessons:
            url = _push_lesson(api, staged)
            log(f"{staged.lesson}: runs at {url}")
            status, message = _wait(api, staged, pause)
            if status == "COMPLETE":
                values = _fetch(api, staged, out / staged.lesson)
                status, message = _compare(values, bands.get(staged.lesson, {}))
            else:
                status, message = "failed", f"{status.lower().replace('_', ' ')} {message}".strip()
            results.append(Pushed(staged.lesson, status, url, message))
            log(f"{staged.lesson}: {status}{message and f' ({message})'}")
    return results


@contextlib.contextmanager
def _signed_in() -> Iterator[Any]:
    """Kaggle's client for a signed-in user, with errors that say what to do and repeat no secret.

    Raises:
        LessonError: nobody is signed in, there is no connection, or Kaggle or its client refuses.
        OSError: a file of ours cannot be read.
    """
    import requests

    # The client sets no time limit for a response. (Uploads are not sent this way, and may take their time.)
    send = functools.partialmethod(requests.Session.send, timeout=_RESPONSE_TIMEOUT)
    try:
        with mock.patch.object(requests.Session, "send", send), mock.patch.dict(os.environ, certificates()):
            with contextlib.redirect_stdout(io.StringIO()):  # it prints a page of help where nobody is signed in
                from kaggle.api.kaggle_api_extended import KaggleApi  # signs in when it is imported: never above

                api = KaggleApi()
                api.authenticate()
            yield api
    except SystemExit:
        raise LessonError(f"Kaggle's client finds no account. {_TOKEN}") from None
    except requests.HTTPError as error:
        status = error.response.status_code
        if status == 407:
            raise LessonError(network_advice({"failure": "password"})) from None
        raise LessonError(f"Kaggle answered {status}. {_ADVICE.get(status, refusal_advice(status))}") from None
    except requests.RequestException as error:
        advice = network_advice(network_failure(error))
        raise LessonError(f"{advice} ({type(error).__name__}; run the same again.)") from None
    except LessonError:
        raise
    except OSError as error:
        if error.errno is None and "CA certificate" in str(error):
            raise LessonError(network_advice({"failure": "bundle"})) from None
        if error.filename is None or not error.filename.startswith(str(Path.home())):
            raise
        raise LessonError(
            f"Kaggle's client cannot use {error.filename} ({error.strerror}). Set KAGGLE_CONFIG_DIR to a folder that "
            "you may write to."
        ) from None
    except ValueError as error:
        raise LessonError(f"Kaggle's client refuses: {error}") from None


def _push_helpers(api: Any, folder: Path, pause: float, log: Callable[[str], None]) -> None:
    """Make the data set with the wheel, or a new version of it, and wait until it can be attached.

    Raises:
        LessonError: Kaggle did not take the data set.
        HTTPError: Kaggle did not say whether it exists.
    """
    import requests

    name = json.loads((folder / DATASET).read_text(encoding="utf-8"))["id"]
    try:
        api.dataset_status(name)
        exists = True
    except requests.HTTPError as error:
        if error.response.status_code not in (403, 404):  # Kaggle says either where there is none
            raise
        exists = False
    wheel = next(folder.glob("*.whl")).name
    if exists:
        response = api.dataset_create_version(str(folder), wheel, quiet=True)
    else:
        response = api.dataset_create_new(str(folder), quiet=True)
    if response is None or (response.status or "").lower() != "ok" or response.error:
        reason = (response and response.error) or "no reason given"
        raise LessonError(f"Kaggle did not take the data set {name}: {reason}.")
    log(f"{name}: {wheel} is up")
    deadline = time.monotonic() + 600
    while (status := api.dataset_status(name)) != "ready":
        if status in ("failed", "deleted") or time.monotonic() > deadline:
            raise LessonError(f"Kaggle could not make the data set {name} ready ({status}); look at it there.")
        time.sleep(pause)


def _push_lesson(api: Any, staged: Staged) -> str:
    """Push one kernel, and return its address.

    Raises:
        LessonError: Kaggle did not take it, or not all of its sources.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        response = api.kernels_push(str(staged.folder))
    if response is None or response.error:
        reason = (response and response.error) or "no reason given"
        raise LessonError(f"Kaggle did not take {staged.kernel}: {reason}.")
    for kind in ("dataset", "competition", "kernel", "model"):
        if refused := getattr(response, f"invalid_{kind}_sources"):
            raise LessonError(
                f"{staged.kernel} is up, but without {kind} sources that Kaggle does not know or you may not use: "
                f"{', '.join(refused)}. Open their pages and accept their terms, then push again."
            )
    if not response.version_number:
        raise LessonError(f"Kaggle gave {staged.kernel} no version number, so it may not be there; push again.")
    return response.url


def _wait(api: Any, staged: Staged, pause: float) -> tuple[str, str]:
    """Wait for a kernel; return the status it ends with, in Kaggle's term, and Kaggle's message about it.

    Raises:
        ConnectionError: the network is gone for `_MAX_FAILED_POLLS` polls.
        Timeout: Kaggle does not respond to as many.
    """
    import requests

    deadline, failed = time.monotonic() + LONGEST, 0
    while time.monotonic() < deadline:
        try:
            response, failed = api.kernels_status(staged.kernel), 0
        except (requests.ConnectionError, requests.Timeout):
            failed += 1
            if failed > _MAX_FAILED_POLLS:
                raise
        else:
            if response.status.name in ("COMPLETE", "ERROR", "CANCEL_ACKNOWLEDGED"):
                return response.status.name, response.failure_message or ""
        time.sleep(pause)
    return "NEVER ENDED", f"after {LONGEST / 3600:g} hours"


def _fetch(api: Any, staged: Staged, folder: Path) -> dict:
    """Fetch the numbers that a kernel recorded; the file is saved as `metrics.json` in `folder`.

    Raises:
        LessonError: the file did not come, or is that of another run.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.redirect_stdout(io.StringIO()):
        api.kernels_output(staged.kernel, str(folder), file_pattern=r"^metrics\.json$", force=True, page_size=200)
    path = folder / "metrics.json"
    try:
        # The client saves an error page as readily as the file.
        metrics = json.loads(path.read_text(encoding="utf-8"))
        token, values = metrics["token"], metrics["values"]
    except (OSError, ValueError, KeyError):
        path.unlink(missing_ok=True)
        raise LessonError(f"{staged.kernel} ended well but its metrics.json did not come; push again.") from None
    if token != staged.token:
        path.unlink()
        raise LessonError(f"The metrics.json of {staged.kernel} is that of another run; look at it on Kaggle.")
    return values


def _compare(values: dict, bands: dict[str, Band]) -> tuple[str, str]:
    """Compare a lesson's numbers with the bands of this machine; return status and message."""
    judged = judge_all(bands, dict(leaves(values)))
    if judged[WORSE]:
        return "out of band", "; ".join(judged[WORSE].values())
    if judged[BETTER]:
        return "passed", "; ".join(["better than expected", *judged[BETTER].values()])
    return "passed", "" if bands else f"{len(values)} numbers, no baseline {BASELINE} to compare with"
