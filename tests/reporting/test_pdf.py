"""The same report gives the same bytes, and a first page that holds what matters."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from trocar.measure import Finding, Severity
from trocar.reporting.content import Row
from trocar.reporting.pdf import pdf
from trocar.reporting.report import NOTICE, Report, report
from trocar.treatment import Plan


@pytest.fixture(scope="module")
def made(plan: Plan) -> Report:
    return report(plan)


@pytest.fixture(scope="module")
def paper(made: Report) -> bytes:
    return pdf(made)


def _pages(paper: bytes) -> int:
    """Number of pages; typst writes its page tree uncompressed or in object streams, so both are tried."""
    import zlib

    plain = paper
    for match in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", paper, re.DOTALL):
        try:
            plain += zlib.decompress(match[1])
        except zlib.error:
            continue
    return len(re.findall(rb"/Type\s*/Page[^s]", plain))


def _text(paper: bytes, page: int) -> str:
    tool = shutil.which("pdftotext")
    if tool is None:
        pytest.skip("pdftotext (poppler-utils) is not installed")
    done = subprocess.run(
        [tool, "-f", str(page), "-l", str(page), "-layout", "-", "-"], input=paper, capture_output=True, check=True
    )
    return " ".join(done.stdout.decode().split())


def test_it_is_a_pdf_of_a_few_pages(paper: bytes):
    assert paper.startswith(b"%PDF-")
    assert 3 <= _pages(paper) <= 9


def test_the_same_report_gives_the_same_bytes(made: Report, paper: bytes):
    assert pdf(made) == paper


def test_no_font_is_left_out(paper: bytes):
    assert b"DejaVuSans" in paper


def test_the_first_page_lets_the_reader_act(paper: bytes, made: Report, plan: Plan):
    text = _text(paper, 1)
    assert text.startswith(NOTICE)
    for finding in plan.findings:
        assert finding.text in text
    for name in made.not_checked:
        assert name in text
    for row in made.paths[0].clearances.rows:
        assert str(row[0]) in text
    for row in made.paths[0].numbers:
        assert row.value in text


def test_every_page_carries_the_notice(paper: bytes):
    for page in range(1, _pages(paper) + 1):
        assert NOTICE in _text(paper, page)[-220:]


def test_the_first_page_of_a_two_sided_plan_holds_both_paths(two_sided_plan: Plan):
    text = _text(pdf(report(replace(two_sided_plan, images=None))), 1)
    for wanted in (
        "Left transpedicular path",
        "Right transpedicular path",
        "Not checked",
        "The posterior wall is broken.",
    ):
        assert wanted in text


@pytest.mark.parametrize("wide_at", range(8))
def test_a_long_entry_anywhere_in_the_identity_finds_room(plan: Plan, wide_at: int):
    """Four columns; a long value takes two, also where only one is left of its row."""
    made = report(replace(plan, images=None))
    rows = tuple(Row(f"name {n}", "long value " * 3 if n == wide_at else f"value {n}") for n in range(8))
    text = _text(pdf(replace(made, identity=rows)), 1)
    assert all(row.name in text and row.value.strip() in text for row in rows)


def test_a_wide_figure_after_an_odd_number_of_narrow_ones_finds_room(made: Report):
    narrow = [p for p in made.pictures if not p.wide]
    wide = replace(narrow[0], name="wide", wide=True)
    assert pdf(replace(made, pictures=(narrow[1], wide, narrow[2]))).startswith(b"%PDF-")


def test_text_from_data_cannot_become_markup(plan: Plan):
    nasty = Finding(Severity.NOTE, '#panic("x") $a_b$ *bold* <label> @cite')
    text = _text(pdf(report(replace(plan, findings=(nasty,), images=None))), 1)
    assert '#panic("x") $a_b$ *bold* <label> @cite' in text
