"""A notebook in JupyterLab in a headless Chromium, for the benchmark of the viewers and for their tests."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import helpers

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_SECONDS = 180.0  # generous, for a busy machine
POLLING = 250  # ms; the default is every frame, which takes CPU time from the lesson
WINDOW = {"width": 1400, "height": 1000}
SETTINGS = {
    # By default, cells outside the visible part are removed from the page, and their pictures with them.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension:notification": {"checkForUpdates": False, "fetchNews": "false"},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}
_IDLE = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
_READY = """idle => {  // the indicator is idle also before there is a kernel
    const kernel = document.querySelector('.jp-NotebookPanel .jp-Toolbar-kernelName')?.textContent;
    return kernel && kernel !== 'No Kernel' && document.querySelector(idle);
}"""
_ERROR = '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]'
_FINISHED = """([idle, error]) => {
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(one => one.textContent);
    return document.querySelector(idle) && !prompts.some(text => text.includes('*'))
        && (document.querySelector(error) || prompts.every(text => /[0-9]/.test(text)));
}"""


class NoBrowserError(RuntimeError):
    """Chromium or Playwright is missing; the message says how to install it."""


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab server.

    Attributes:
        url: its address, without a slash at the end.
        token: authenticates requests.
        root: the folder it serves.
    """

    url: str
    token: str
    root: Path


def find_chromium() -> str:
    """Path of the Chromium executable.

    Raises:
        NoBrowserError: there is none on the PATH.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise NoBrowserError(
            f"No browser: none of {', '.join(NAMES)} is on the PATH. On Debian: apt-get install chromium"
        )
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium, closed at the end.

    Raises:
        NoBrowserError: Chromium or Playwright is missing.
    """
    program = find_chromium()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise NoBrowserError(
            "Playwright, which drives the browser, is not installed: pip install 'biomedseg-course[test]'"
        ) from error
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def jupyterlab(root: Path, environment: Mapping[str, str] | None = None) -> Iterator[Lab]:
    """A JupyterLab server with this interpreter and its own settings; stopped at the end with all its kernels.

    Args:
        root: the folder to serve.
        environment: variables for the kernels, in addition to those of this process.

    Raises:
        RuntimeError: it did not respond within START_SECONDS; the message ends with its log.
    """
    token, port = secrets.token_hex(16), _free_port()
    lab = Lab(f"http://127.0.0.1:{port}", token, root)
    flags = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": root,
        "ServerApp.allow_root": True,
        "IdentityProvider.token": token,
        "LabApp.news_url": "None",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdates",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", *(f"--{key}={flags[key]}" for key in flags)]
    with TemporaryDirectory(prefix="jupyter-") as home:
        log = Path(home, "lab.log")
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                env=_environment(Path(home), environment or {}),
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            _wait(process, lab, log)
            yield lab
        finally:
            _stop(process, lab)


@contextmanager
def notebook(browser: Browser, lab: Lab, name: str) -> Iterator[Page]:
    """A page with one notebook, its kernel ready; closed at the end.

    Args:
        browser: from `chromium`.
        lab: from `jupyterlab`.
        name: path of the notebook below `lab.root`.
    """
    context = browser.new_context(viewport=WINDOW)
    try:
        context.set_default_timeout(1000 * START_SECONDS)
        page = context.new_page()
        page.goto(f"{lab.url}/lab/tree/{name}?reset&token={lab.token}")
        page.wait_for_function(_READY, arg=_IDLE, polling=POLLING)
        yield page
    finally:
        context.close()


def new_notebook(path: Path, *cells: str) -> None:
    """Write a Python notebook.

    Args:
        path: the `.ipynb` file.
        cells: text of each code cell.
    """
    import nbformat

    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    # Without a kernel name, JupyterLab opens a dialog.
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path)


def run_all(page: Page, seconds: float) -> list[str]:
    """Choose Run > Run All Cells and wait until the last cell has run, or one has failed.

    Args:
        page: from `notebook`.
        seconds: time limit.

    Returns:
        The errors shown.
    """
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Run All Cells", exact=True).click()
    page.wait_for_function(_FINISHED, arg=[_IDLE, _ERROR], polling=POLLING, timeout=1000 * seconds)
    return page.locator(_ERROR).all_inner_texts()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _environment(home: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Environment of the server: Jupyter's and IPython's folders are below `home`, and viewers are interactive."""
    defaults = home / "config" / "labconfig" / "default_setting_overrides.json"
    defaults.parent.mkdir(parents=True)
    defaults.write_text(json.dumps(SETTINGS), encoding="utf-8")
    names = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    inherited = {name: value for name, value in os.environ.items() if name not in ("COURSE_STATIC", "COURSE_STRICT")}
    code = [str(Path(helpers.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    folders = {name: str(home / folder) for name, folder in names.items()}
    return {**inherited, **folders, "PYTHONPATH": os.pathsep.join(code), **more}


def _request(lab: Lab, path: str, method: str) -> None:
    headers = {"Authorization": f"token {lab.token}"}
    with urllib.request.urlopen(urllib.request.Request(lab.url + path, headers=headers, method=method), timeout=10):
        pass


def _wait(process: subprocess.Popen, lab: Lab, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            return _request(lab, "/api/status", "GET")
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    output = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise RuntimeError(f"JupyterLab did not respond at {lab.url} within {START_SECONDS:g} s. Its log:\n{output}")


def _stop(process: subprocess.Popen, lab: Lab) -> None:
    """Shut the server down with its kernels; kill it if that fails."""
    try:
        _request(lab, "/api/shutdown", "POST")
        process.wait(20)
    except (urllib.error.URLError, OSError, subprocess.TimeoutExpired):
        process.kill()
        process.wait()
