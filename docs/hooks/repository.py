"""What mkdocs needs besides docs/: the README as the first page, and every file of the repository that a page links to.

The site has the layout of the repository, but the pages of docs/ lie at its root. So a link that is right on disk stays
right when `docs/` is taken out of it. Results and verdicts are the pages that `make report` writes from the records.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"""(\]\(|src=")(?!https?:|#)([^)#"\s]+)""")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
FIRST_PAGE = "README.md"


def on_files(files: Any, config: Any) -> Any:
    """Add the first page, and what can be reached from the pages by links to files."""
    from mkdocs.structure.files import File  # noqa: PLC0415  (the tests of links need no mkdocs)

    pages = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    for source in reached([FIRST_PAGE, *pages]):
        if not source.startswith("docs/"):
            files.append(File.generated(config, place(source), abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn the links of a page on disk into links of the site; those to folders, which it has not, lead nowhere."""
    source = source_of(page.file.src_uri)

    def link(found: re.Match[str]) -> str:
        target = resolve(source, found[2])
        if (ROOT / target).is_dir():
            return f"{found[1]}#"
        return found[1] + posixpath.relpath(place(target), posixpath.dirname(place(source)) or ".")

    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)


def reached(pages: list[str]) -> set[str]:
    """The files that `pages` lead to, link by link, and themselves."""
    found: set[str] = set()
    waiting = list(pages)
    while waiting:
        source = waiting.pop()
        if source not in found:
            found.add(source)
            links = targets(source) if source.endswith(".md") else []
            waiting += [target for target in links if (ROOT / target).is_file()]
    return found


def targets(source: str) -> list[str]:
    """The files and folders that a page links to, from the root of the repository."""
    text = FENCE.sub("", (ROOT / source).read_text(encoding="utf-8"))
    return [resolve(source, found[2]) for found in LINK.finditer(text)]


def resolve(source: str, link: str) -> str:
    """Where a link of the page `source` leads, from the root of the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def place(source: str) -> str:
    """Where a file of the repository lies in the site."""
    return "index.md" if source == FIRST_PAGE else source.removeprefix("docs/")


def source_of(uri: str) -> str:
    """The file of the repository that is at `uri` of the site."""
    if uri == "index.md":
        return FIRST_PAGE
    return f"docs/{uri}" if (ROOT / "docs" / uri).is_file() else uri
