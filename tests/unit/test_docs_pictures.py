"""The pictures of docs/images: one of every page in both languages and sizes, none left over, each shown."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from deploy.scenes import console, portal
from deploy.scenes.camera import LANGUAGES, SIZES

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
SCENES = [
    *portal.SIGN_IN,
    *(scene for scenes in portal.BY_ROLE.values() for scene in scenes),
    *console.SIGN_IN,
    *console.PAGES,
]
READMES = {"README.md": "docs/images/", "docs/README.zh-CN.md": "images/"}


def test_there_is_a_picture_of_every_page_in_both_languages_and_sizes_and_no_other():
    wanted = {
        f"{scene.name}-{language}-{size}.png" for scene in SCENES for language in LANGUAGES for size in SIZES
    }
    assert {path.name for path in IMAGES.glob("*.png")} == wanted


@pytest.mark.parametrize("size", SIZES)
def test_a_picture_is_as_wide_as_its_screen(size: str):
    for path in IMAGES.glob(f"*-{size}.png"):
        width, height = struct.unpack(">II", path.read_bytes()[16:24])
        assert (path.name, width) == (path.name, SIZES[size]["width"])
        assert height >= SIZES[size]["height"]


@pytest.mark.parametrize("readme", READMES)
def test_a_readme_shows_every_page(readme: str):
    text = (ROOT / readme).read_text(encoding="utf-8")
    shown = set(re.findall(rf"\({READMES[readme]}([\w-]+)-(?:zh|en)-(?:desktop|phone)\.png\)", text))
    assert shown == {scene.name for scene in SCENES}
