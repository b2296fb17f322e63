"""The book in the browser: nothing comes from elsewhere, no page is wider than its window, formulas are drawn."""

import pytest

from tests.lessons.test_book import make, prepared

PAGES = ("index", "questions", "notebooks/00_first", "GLOSSARY")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return make(prepared(tmp_path_factory.mktemp("course"))).index.parent


@pytest.fixture
def opened(browser, site):
    """Opens a page of the book; what it requests is collected in `requests`."""
    contexts = []

    def open_page(name, **settings):
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.requests = []
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto((site / f"{name}.html").as_uri(), wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1100, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_its_window_nor_fetches_from_elsewhere(opened, screenshots, width, scheme):
    for name in PAGES:
        page = opened(name, viewport={"width": width, "height": 800}, color_scheme=scheme)
        root = "document.documentElement"
        assert page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") <= 0, name
        assert page.requests
        assert all(url.startswith(("file:", "data:")) for url in page.requests), page.requests
        page.screenshot(path=screenshots / f"book_{name.replace('/', '_')}_{width}_{scheme}.png", full_page=True)


def test_mathjax_draws_the_formulas_from_the_site(opened):
    page = opened("notebooks/00_first")
    page.locator("mjx-container").first.wait_for(state="attached")
    assert page.locator("mjx-container").count() == 2


def test_without_javascript_the_browser_draws_the_formulas_and_the_solution_unfolds(opened):
    page = opened("notebooks/00_first", java_script_enabled=False)
    box = page.locator("div.math math").bounding_box()
    assert box["width"] > 40
    assert box["height"] > 20  # a fraction has two lines
    solution = page.locator("details", has_text="return 2 * x").last
    assert not solution.locator("pre").is_visible()
    solution.locator("summary").click()
    assert solution.locator("pre").is_visible()


def test_the_search_finds_a_word_of_a_lesson(opened):
    page = opened("index")
    page.locator(".sidebar-search").fill("overlap")
    page.locator(".sidebar-search").press("Enter")
    page.locator("#search-results li a").first.wait_for()
    found = page.locator("#search-results li a").evaluate_all("links => links.map(link => link.href)")
    assert any("notebooks/00_first" in link for link in found)
