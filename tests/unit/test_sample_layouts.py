"""The CSV contract: its page is the layouts, and every hospital's headers are its own."""

from pathlib import Path

from deploy.sample.dialects import CODED_FORMATS, DIALECTS
from deploy.sample.layouts import FORMATS, LAYOUTS
from deploy.sample.layouts_page import page


def test_the_page_says_what_the_layouts_say():
    assert Path("docs/interfaces-csv.md").read_text(encoding="utf-8") == page()


def test_every_column_has_a_known_format_and_every_key_is_a_column():
    for layout in LAYOUTS.values():
        names = [c.name for c in layout.columns]
        assert len(names) == len(set(names))
        assert set(layout.key) <= set(names)
        assert {c.format for c in layout.columns} <= set(FORMATS)
    assert set(FORMATS) >= CODED_FORMATS


def test_no_hospital_writes_two_columns_under_one_header():
    for dialect in DIALECTS.values():
        for kind in dialect.kinds:
            headers = [dialect.header(c) for c in LAYOUTS[kind].columns]
            assert len(headers) == len(set(headers)), (dialect.facility, kind)
