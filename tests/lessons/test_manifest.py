import pytest

from helpers.lessons.bands import read_baselines
from helpers.lessons.manifest import LessonError, read_manifest
from helpers.lessons.profiles import read_profile

from .conftest import ENTRIES


@pytest.mark.parametrize("name", ["04", "4", "build_the_unet", "04_build_the_unet"])
def test_a_lesson_answers_to_each_of_its_names(name):
    assert read_manifest().find(name).name == "04_build_the_unet"


def test_an_unknown_lesson_is_refused_with_the_list_of_lessons():
    with pytest.raises(LessonError, match=r"no lesson '99'.*00_start_here, 01_get_the_data"):
        read_manifest().find("99")


def test_neighbours_skip_numbers_that_are_not_listed(workshop):
    course = workshop.course  # lessons 00 and 03
    first, last = course.lessons
    assert course.neighbours(first) == (None, last)
    assert course.neighbours(last) == (first, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"takeaways": ["one"]}, "takeaways are three"),
        ({"objectives": ["one"]}, "objectives are two to four"),
        ({"needs": "mice"}, "needs is one of"),
        ({"number": 0}, "two digits"),
        ({"slug": "First Lesson"}, "slug"),
        ({"minutes": {"read": 1}}, "minutes"),
        ({"colour": "red"}, r"unknown fields \['colour'\]"),
        ({"prerequisites": ["03"]}, "needs lesson 03, which is not before it"),
    ],
)
def test_an_entry_that_breaks_a_rule_is_refused(workshop, change, message):
    workshop.manifest([{**ENTRIES[0], **change}, ENTRIES[1]])
    with pytest.raises(LessonError, match=message):
        _ = workshop.course


def test_lesson_numbers_must_rise(workshop):
    workshop.manifest(ENTRIES[::-1])
    with pytest.raises(LessonError, match="must rise"):
        _ = workshop.course


@pytest.mark.parametrize("name", ["quick", "full"])
def test_the_course_s_own_profiles_and_baselines_read(name):
    course = read_manifest()
    profile = read_profile(name, course)
    assert profile.parameters.keys() == {lesson.name for lesson in course.lessons}
    read_baselines(name, course)


def test_the_full_profile_says_how_long_each_lesson_takes():
    profile = read_profile("full", read_manifest())
    assert all(hours.keys() == {"cpu", "t4x2"} for hours in profile.hours.values())


def test_an_unknown_profile_is_refused_with_the_list_of_profiles(workshop):
    with pytest.raises(LessonError, match=r"no profile 'slow'\. There are: quick"):
        read_profile("slow", workshop.course)


def test_a_profile_without_an_entry_for_a_lesson_is_refused(workshop):
    workshop.profile(lessons={"00_first": {"parameters": {}}})
    with pytest.raises(LessonError, match=r"lacks entries for \['03_second'\]"):
        read_profile("quick", workshop.course)


def test_a_profile_with_an_entry_for_an_unknown_lesson_is_refused(workshop):
    entries = {name: {"parameters": {}} for name in ("00_first", "03_second", "09_ninth")}
    workshop.profile(lessons=entries)
    with pytest.raises(LessonError, match=r"unknown lessons \['09_ninth'\]"):
        read_profile("quick", workshop.course)


@pytest.mark.parametrize("content", [b"lessons: [", b"\xff\xfe"])
def test_a_damaged_file_of_the_course_is_refused_by_name(workshop, content):
    (workshop.root / "course.yml").write_bytes(content)
    with pytest.raises(LessonError, match=r"course\.yml is damaged"):
        assert workshop.course
