"""README in both languages: the commands by which a newcomer sends something."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READMES = {
    "English": (ROOT / "README.md").read_text(encoding="utf-8"),
    "Chinese": (ROOT / "docs" / "README.zh-CN.md").read_text(encoding="utf-8"),
}


def commands(readme: str) -> list[str]:
    """Return the commands of the block that sends, without comments; a continued line is one command."""
    (block,) = [block for block in readme.split("```")[1::2] if "docs/examples/" in block]
    lines = block.replace("\\\n", " ").split("\n")
    stripped = [line.partition(" # ")[0].strip() for line in lines if not line.startswith("#")]
    return [" ".join(line.split()) for line in stripped if line]
