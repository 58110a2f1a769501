"""Text of users in Markdown: the one place where it is made harmless, and the one where tables are put together.

Names of factors, labels of classes, titles of models and folders come from files of users, and pages show them. MyST,
which the book is built with, passes raw HTML on and runs directives, so nothing of theirs may be read as markup.
"""

import re
from collections.abc import Collection, Sequence

_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
# A backslash is readable in a terminal too. Entities are for what a renderer looks for before it unescapes: HTML,
# mathematics and the ends of cells.
_ESCAPES = str.maketrans(
    {mark: f"\\{mark}" for mark in "\\`*_{}[]~^"}
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "$": "&#36;"}
)


class Markup(str):
    """Text that is Markdown already, which `escaped` leaves as it is."""


def escaped(text: str) -> Markup:
    """Any text as Markdown that shows it, in one line and without an element of its own.

    For cells of tables and the inside of sentences: at the start of a line a number or a dash could still begin a list.
    """
    return text if isinstance(text, Markup) else Markup(_CONTROL.sub(" ", str(text)).translate(_ESCAPES))


def markdown_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> Markup:
    """A Markdown table, heading first, of cells of any text.

    Args:
        right: the columns that are aligned to the right, by number.
    """
    rules = ["---:" if i in right else "---" for i in range(len(rows[0]))]
    cells = [[escaped(cell) for cell in row] for row in rows]
    return Markup("\n".join(f"| {' | '.join(line)} |" for line in [cells[0], rules, *cells[1:]]))
