"""HTML as a browser's parser reads it: which elements and attributes there are, and which text can be read."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = frozenset(("img", "rect", "br", "input", "meta"))

# What a dataset may hold to break out of a page, to lead elsewhere, or to disturb what stands beside it.
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</div></section></article><iframe src=//evil.example></iframe>",
    "javascript:alert(1)",
    "&lt;b&gt; &amp; &#60;i&#62; &#0;",
    "<!-- <![CDATA[ ]]> -->",
    "</svg><style>*{display:none}</style>",
    "{} {0} {x} {{y}} ${z} %s",
    "**bold** [a](javascript:alert(1)) `code` $x$",
    "\u202egnp.exe\u202c \u2066x\u2069 \u200f\u200e\u061c",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "NUL \x00, bell \x07, escape \x1b[31m, CR \r end, CRLF \r\n end",
    "\U000e0041\U000e0042 \ufeff \u200b \u00ad \u2028 \u0085",
    "\ud800 lone",
)


class Page(HTMLParser):
    """Elements in order as (name, attributes), and the text between them. Raises AssertionError on crooked nesting."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(markup)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, f"</{tag}> closes what is not open"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data!r}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl!r}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data!r}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data!r}")

    @property
    def text(self) -> str:
        """All that can be read."""
        return "".join(self.texts)

    @property
    def shapes(self) -> set[tuple[str, tuple[str, ...]]]:
        """Each kind of element with the names of its attributes."""
        return {(tag, tuple(sorted(attrs))) for tag, attrs in self.elements}

    def attributes(self, name: str) -> list[str]:
        """The values of one attribute, in order."""
        return [attrs[name] or "" for _, attrs in self.elements if name in attrs]

    def classes(self) -> set[str]:
        """Every class that is used."""
        return {each for value in self.attributes("class") for each in value.split()}


def storable(text: str) -> str:
    """The text with what no HTML can hold replaced."""
    return "".join("\ufffd" if char == "\0" or "\ud800" <= char <= "\udfff" else char for char in text)
