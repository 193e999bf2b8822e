"""One page that opens offline, is well formed, and says everything the report says."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from html import escape
from html.parser import HTMLParser

import pytest

from trocar.measure import Finding, Severity
from trocar.reporting.html import html
from trocar.reporting.report import NOTICE, Report, report
from trocar.treatment import Plan

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Checker(HTMLParser):
    """Keeps the stack of open elements, the attributes that load things, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.loads += [given[k] or "" for k in ("src", "href", "srcset", "data", "action") if k in given]
        if tag == "img":
            self.images.append(given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def made(plan: Plan) -> Report:
    return report(plan)


@pytest.fixture(scope="module")
def page(made: Report) -> str:
    return html(made)


@pytest.fixture(scope="module")
def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    return checker


def words(value: object) -> list[str]:
    """Every text a report holds."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple):
        return [w for v in value for w in words(v)]
    if is_dataclass(value) and not isinstance(value, Plan):
        return [w for f in fields(value) for w in words(getattr(value, f.name))]
    return []


def test_every_element_is_closed(checked: Checker):
    assert checked.open == []


def test_nothing_is_loaded_from_anywhere(page: str, checked: Checker):
    assert checked.loads
    assert all(load.startswith("data:image/png;base64,") for load in checked.loads)
    assert "<script" not in page
    assert not re.search(r"url\(|@import|https?://", page)


def test_every_image_has_words(checked: Checker, made: Report):
    on_the_screen = [p for c in made.screen for p in c.pictures]
    assert [i["alt"] for i in checked.images] == [p.alt for p in (*made.pictures, *on_the_screen)]


def test_everything_the_report_says_is_on_the_page(page: str, made: Report):
    for f in fields(made):
        if f.name in ("plan",):
            continue
        for word in words(getattr(made, f.name)):
            if word in made.figures:
                continue
            assert (
                escape(word, quote=False).replace("'", "&#39;").replace('"', "&#34;") in page
                or word.capitalize() in page
            )


def test_the_notice_stands_first_and_last(checked: Checker):
    text = " ".join(checked.text.split())
    assert text.index(NOTICE) < 80
    assert text.rindex(NOTICE) > len(text) - 120


def test_text_from_data_cannot_become_markup(plan: Plan):
    nasty = Finding(Severity.NOTE, "<script>alert(1)</script> & 5 < 6")
    page = html(report(replace(plan, findings=(nasty,), images=None)))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_the_same_report_gives_the_same_page(made: Report, page: str):
    assert html(made) == page


def test_a_report_without_findings_says_none(plan: Plan):
    page = html(report(replace(plan, findings=(), not_checked=(), images=None)))
    assert "None." in page
    assert "hold every structure on this procedure&#39;s list" in page
