"""What the site promises: links within it lead somewhere, nothing is fetched from outside, pictures have words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"src", "srcset", "poster", "data", "background"}
"""Attributes whose address a browser fetches by itself; of `<link>` also href."""

_CSS_URL = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")


@dataclass(frozen=True)
class SiteCheck:
    """What was found in a site.

    Attributes:
        pages: how many there are.
        links: within the site, each led to its place.
        external: links to other sites, which were not requested.
        faults: one sentence each; empty when all is well.
    """

    pages: int
    links: int
    external: int
    faults: tuple[str, ...]


def check_site(site: Path) -> SiteCheck:
    """Check every page and style sheet of a site.

    Args:
        site: folder of the site.
    """
    from bs4 import BeautifulSoup

    soups = {
        path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in sorted(site.rglob("*.html"))
    }
    anchors = {path.resolve(): _anchors(soup) for path, soup in soups.items()}
    links = external = 0
    faults: list[str] = []
    for path, soup in soups.items():
        name = path.relative_to(site).as_posix()
        faults += [f"{name} fetches {url} from outside" for url in _fetched(soup) if _is_external(url)]
        faults += [f"{name}: the picture {image.get('src')} has no alternative text" for image in soup.find_all("img")
                   if not image.get("alt", "").strip()]  # fmt: skip
        for url in _targets(soup):
            if _is_external(url):
                external += 1
            elif fault := _broken(url, path, anchors):
                faults.append(f"{name} links to {url}, {fault}")
            else:
                links += 1
    for path in sorted(site.rglob("*.css")):
        found = _CSS_URL.findall(path.read_text(encoding="utf-8"))
        name = path.relative_to(site).as_posix()
        faults += [f"{name} fetches {one or other} from outside" for one, other in found if _is_external(one or other)]
    return SiteCheck(len(soups), links, external, tuple(faults))


def _is_external(url: str) -> bool:
    return url.startswith("//") or urlsplit(url).scheme in ("http", "https", "ftp", "ws", "wss")


def _fetched(soup) -> Iterator[str]:  # noqa: ANN001
    """Addresses that the browser fetches by itself, those of a page within the page included."""
    from bs4 import BeautifulSoup

    for tag in soup.find_all(True):
        for name in _LOADED & tag.attrs.keys():
            yield from (part.split()[0] for part in re.split(r",\s+", tag[name]) if part.strip())
        if tag.name == "link" and "href" in tag.attrs:
            yield tag["href"]
        if "style" in tag.attrs or tag.name == "style":
            yield from (one or other for one, other in _CSS_URL.findall(tag.get("style") or tag.get_text()))
        if "srcdoc" in tag.attrs:
            yield from _fetched(BeautifulSoup(tag["srcdoc"], "html.parser"))


def _targets(soup) -> Iterator[str]:  # noqa: ANN001
    """Addresses that must be there: of links, and of what is fetched."""
    for tag in soup.find_all(True):
        url = tag.get("href") or tag.get("src")
        if url and urlsplit(url).scheme not in ("data", "mailto", "javascript"):
            yield url


def _anchors(soup) -> set[str]:  # noqa: ANN001
    return {tag[name] for tag in soup.find_all(True) for name in ("id", "name") if tag.get(name)}


def _broken(url: str, page: Path, anchors: dict[Path, set[str]]) -> str | None:
    parts = urlsplit(url)
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "which is not there"
    anchor = unquote(parts.fragment)
    if anchor and target in anchors and anchor not in anchors[target]:
        return "a page without that place"
    return None
