import nbformat
import pytest

from helpers.lessons.build import build, check
from helpers.lessons.manifest import LessonError

from .conftest import EXERCISE, PARAMETERS


def cells(path):
    return nbformat.read(path, as_version=4)["cells"]


def tagged(path, tag):
    return [cell for cell in cells(path) if tag in cell["metadata"].get("tags", [])]


def test_two_builds_are_byte_identical(workshop):
    first = [path.read_bytes() for path in workshop.build()]
    assert [path.read_bytes() for path in workshop.build()] == first


def test_a_built_notebook_is_valid_and_holds_no_outputs(workshop):
    for path in workshop.build():
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
        assert notebook["metadata"]["kernelspec"]["name"] == "python3"
        assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in notebook["cells"])
        assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


def test_header_and_footer_come_from_the_manifest(workshop):
    first, second = workshop.build()
    top, bottom = cells(second)[0]["source"], cells(second)[-1]["source"]
    assert top.startswith("# 03 · Second")
    assert (
        "https://kaggle.com/kernels/welcome?src=https://github.com/someone/course/blob/main/notebooks/03_second.ipynb"
        in top
    )
    assert "(https://colab.research.google.com/github/someone/course/blob/main/notebooks/03_second.ipynb)" in top
    assert "Before this: [00 First](00_first.ipynb), patience." in top
    assert "Previous: [00 First](00_first.ipynb) · This is the last lesson." in bottom
    assert "- three" in bottom
    assert "Next: [03 Second](03_second.ipynb)" in cells(first)[-1]["source"]


def test_a_term_of_the_glossary_is_linked_where_it_is_named_first(workshop):
    entry = '- <a id="soft-labels"></a>**soft labels**: shares. `helpers.data.resample`.\n'
    (workshop.root / "GLOSSARY.md").write_text(entry, encoding="utf-8")
    prose = "\n# %% [markdown]\n# A **Soft label**, **soft labels** and **others**.\n"
    workshop.source("03_second", PARAMETERS + prose + prose)
    first, second = (cell["source"] for cell in cells(workshop.build()[1])[3:5])
    assert first == "A [**Soft label**](../GLOSSARY.md#soft-labels), **soft labels** and **others**."
    assert second == "A **Soft label**, **soft labels** and **others**."


def test_the_set_up_cell_prints_nothing(workshop):
    [cell] = tagged(workshop.build()[0], "setup")
    assert cell["source"].splitlines()[-1].startswith("_ = ")


def test_the_parameters_tag_survives(workshop):
    assert tagged(workshop.build()[0], "parameters")[0]["source"].startswith("SEED = 0")


def test_the_student_meets_stub_then_check_then_the_folded_solution(workshop):
    path = workshop.build()[0]
    (stub,), (check_cell,), (solution,) = (tagged(path, tag) for tag in ("stub", "check", "solution"))
    order = cells(path)
    assert order.index(stub) < order.index(check_cell) < order.index(solution)
    assert stub["cell_type"] == "code"
    assert solution["cell_type"] == "markdown"
    assert "<summary>Solution</summary>\n\n```python\ndef double(x):" in solution["source"]


def test_the_solution_notebook_runs_the_solution_and_has_no_stub(workshop):
    path = build(workshop.notebooks, "solution", course=workshop.course)[0]
    assert path.parent == workshop.root / "build" / "solutions"
    assert tagged(path, "stub") == []
    assert tagged(path, "solution")[0]["cell_type"] == "code"


def test_code_with_a_fence_in_it_cannot_close_the_folded_solution(workshop):
    workshop.source("00_first", PARAMETERS + EXERCISE.replace("Twice `x`.", "```twice```"))
    assert "````python" in tagged(workshop.build()[0], "solution")[0]["source"]


def test_check_is_silent_when_notebooks_and_sources_agree(workshop):
    workshop.build()
    assert check(workshop.notebooks, workshop.course) == []


def test_check_names_a_notebook_that_differs_and_the_mending_command(workshop):
    workshop.build()
    workshop.source("03_second", PARAMETERS + "\n# %%\nprint(1)\n")
    (complaint,) = check(workshop.notebooks, workshop.course)
    assert "03_second.ipynb differs" in complaint
    assert "python -m helpers build" in complaint


def test_check_names_a_notebook_that_was_never_built_and_one_without_a_lesson(workshop):
    path = workshop.build()[0]
    path.rename(path.with_name("08_eighth.ipynb"))
    foreign, missing = check(workshop.notebooks, workshop.course)
    assert "08_eighth.ipynb is no lesson" in foreign
    assert "00_first.ipynb has not been built" in missing


STUB = EXERCISE.replace('\n# %% tags=["solution"]', '\n# %% tags=["other"]')
SWAPPED = EXERCISE.replace('["stub"]', '["s"]').replace('["solution"]', '["stub"]').replace('["s"]', '["solution"]')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# %%\nx = 1\n", "0 cells are tagged 'parameters'"),
        (PARAMETERS + PARAMETERS, "2 cells are tagged 'parameters'"),
        (PARAMETERS + "SIZE = EPOCHS * 2\n", r"`SIZE = EPOCHS \* 2`; it takes only NAME = literal"),
        (PARAMETERS + "import os\n", "`import os`; it takes only"),
        (PARAMETERS + "A, B = 1, 2\n", "it takes only"),
        (PARAMETERS + "\n# %%\nif FAST:\n    x = 1\n", "uses FAST"),
        (PARAMETERS + "\n# %%\nimport sys\nsys.exit(0)\n", "leaves the notebook"),
        (PARAMETERS + "\n# %%\nraise SystemExit\n", "leaves the notebook"),
        (PARAMETERS + "\n# %% [raw]\n# x\n", "is raw"),
        (PARAMETERS + "\n# %%\n!pip install x\n", "not plain Python"),
        (PARAMETERS + "\n# %%\n" + "x = 1\n" * 21, "has 21 lines"),
        (PARAMETERS + STUB, "stub, solution, check in a row"),
        (PARAMETERS + STUB, "this check stands alone"),
        (PARAMETERS + SWAPPED, "this solution stands alone"),
        (PARAMETERS + EXERCISE.replace("double(x):\n    ...", "double(y):\n    ..."), r"`def double\(y\)`"),
        (
            PARAMETERS + EXERCISE.replace("# %% [markdown]\n# ## Exercise 1\n# Double the number.\n", ""),
            "in a row",
        ),
    ],
)
def test_a_source_that_breaks_the_contract_is_refused_and_nothing_written(workshop, text, message):
    workshop.source("03_second", text)
    with pytest.raises(LessonError, match=f"03_second.py: .*{message}"):
        workshop.build()
    assert list(workshop.notebooks.glob("*.ipynb")) == []


def test_a_cell_tagged_long_may_be_long(workshop):
    workshop.source("03_second", PARAMETERS + '\n# %% tags=["long"]\n' + "x = 1\n" * 21)
    assert len(workshop.build()) == 2


def test_an_assignment_is_a_stub_too(workshop):
    stub = EXERCISE.replace("def double(x):\n    ...", "answer_ = ...").replace(
        'def double(x):\n    """Twice `x`."""\n    return 2 * x', "answer_ = 4"
    )
    workshop.source("00_first", PARAMETERS + stub)
    assert len(workshop.build()) == 2


def test_a_lesson_that_needs_scans_declares_data_dir(workshop):
    from .conftest import ENTRIES

    workshop.manifest([ENTRIES[0], {**ENTRIES[1], "needs": "brats"}])
    with pytest.raises(LessonError, match="must hold DATA_DIR"):
        workshop.build()


def test_a_source_that_is_not_listed_and_a_lesson_without_source_are_refused(workshop):
    source = workshop.notebooks / "src" / "00_first.py"
    source.rename(source.with_name("05_fifth.py"))
    with pytest.raises(LessonError, match=r"(?s)05_fifth.py is no lesson.*00_first.py is missing"):
        workshop.build()


def test_a_copy_beside_the_notebooks_stops_the_build_and_is_left_alone(workshop):
    path = workshop.build()[0]
    copy = path.with_name("00_first-Copy1.ipynb")
    path.rename(copy)
    with pytest.raises(LessonError, match=r"00_first-Copy1\.ipynb is no lesson of course\.yml; move it"):
        workshop.build()
    assert copy.is_file()
    assert not path.exists()


@pytest.mark.parametrize("variant", ["student", "solution"])
def test_another_folder_than_the_checkout_is_told_so(workshop, tmp_path, variant):
    with pytest.raises(LessonError, match="holds no lesson of the course; run this from the checkout"):
        build(tmp_path / "elsewhere", variant, course=workshop.course)
    assert not (tmp_path / "elsewhere").exists()


def test_parameters_that_are_no_python_are_refused(workshop):
    workshop.source("03_second", '# %% tags=["parameters"]\nSEED = = 0\n')
    with pytest.raises(LessonError, match="not plain Python"):
        workshop.build()


@pytest.mark.parametrize("content", [b"\xff\xfe# %%", b"# ---\n# jupyter: {[\n# ---\n# %%\nx = 1\n"])
def test_a_damaged_source_is_refused_by_name(workshop, content):
    (workshop.notebooks / "src" / "00_first.py").write_bytes(content)
    with pytest.raises(LessonError, match=r"00_first\.py"):
        workshop.build()


def test_a_tag_that_no_notebook_may_have_is_refused_by_name(workshop):
    workshop.source("00_first", PARAMETERS + '\n# %% tags=["one, two"]\nx = 1\n')
    with pytest.raises(LessonError, match=r"00_first\.py.*'one, two' does not match"):
        workshop.build()


def test_a_damaged_notebook_differs(workshop):
    workshop.build()[0].write_bytes(b"\xff\xfe")
    (complaint,) = check(workshop.notebooks, workshop.course)
    assert "00_first.ipynb differs" in complaint
