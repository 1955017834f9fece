"""The listings of a Markdown page: what to write to a file, what to run, what it prints.

A fenced block counts if a comment stands on the line before it: `<!-- file: PATH -->`, `<!-- run -->` (python or sh)
or `<!-- output -->`, which is what the last run printed; "..." in it stands for anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^<!-- (run|output|file: (\S+)) -->\n+```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Listing:
    """kind: "run", "output" or "file"; line: where its text begins in the page."""

    kind: str
    language: str
    text: str
    path: str
    line: int


def listings(page: Path) -> list[Listing]:
    text = page.read_text(encoding="utf-8")
    return [
        Listing(m[1].partition(":")[0], m[3], m[4], m[2] or "", text.count("\n", 0, m.start(4)) + 1)
        for m in BLOCK.finditer(text)
    ]


def matches(pattern: str, printed: str) -> bool:
    """Whether *printed* is what *pattern* says, but for spaces at the ends of lines."""
    pattern, printed = ("\n".join(line.rstrip() for line in text.strip().splitlines()) for text in (pattern, printed))
    parts = (re.escape(part) for part in pattern.split("..."))
    return re.fullmatch(".*?".join(parts), printed, re.DOTALL) is not None


def marked(pages: list[Path]) -> Iterator[Path]:
    """The pages with something to run."""
    return (page for page in pages if any(listing.kind == "run" for listing in listings(page)))
