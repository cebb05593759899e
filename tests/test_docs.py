"""The documentation site without building it: its pages and links. `make docs` builds it, strictly."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def hook():
    spec = importlib.util.spec_from_file_location("repository", ROOT / "docs" / "hooks" / "repository.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leaves(entry):
    if isinstance(entry, str):
        return [entry]
    return [leaf for part in (entry.values() if isinstance(entry, dict) else entry) for leaf in leaves(part)]


@pytest.fixture(scope="module")
def site(hook):
    """Every file of the site, by its place there."""
    pages = [str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")]
    return {hook.place(source): source for source in hook.reached([hook.FIRST_PAGE, *pages])}


def test_every_page_is_in_the_navigation_and_only_pages_are(site):
    configuration = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert configuration["strict"] is True
    named = leaves(configuration["nav"])
    assert sorted(named) == sorted(place for place in site if place.endswith(".md"))
    assert {"results/README.md", "results/claims.md", "api/layers.md", "index.md"} <= set(named)


def test_every_link_of_a_page_leads_to_a_file_of_the_site(hook, site):
    for place, source in site.items():
        if not place.endswith(".md"):
            continue
        assert hook.source_of(place) == source
        page = type("Page", (), {"file": type("File", (), {"src_uri": place})})
        shown = hook.FENCE.sub("", hook.on_page_markdown((ROOT / source).read_text(encoding="utf-8"), page))
        links = [found[2] for found in hook.LINK.finditer(shown)]
        assert [link for link in links if hook.resolve(place, link.partition("#")[0]) not in site] == [], source


@pytest.mark.parametrize(
    ("place", "link", "expected"),
    [
        ("index.md", "docs/layer.md", "layer.md"),
        ("layer.md", "../notebooks/your_network.ipynb", "notebooks/your_network.ipynb"),
        ("results/README.md", "../docs/reproducing.md#one-cell", "../reproducing.md#one-cell"),
        ("results/README.md", "runs", "#"),
        ("layer.md", "speed.md", "speed.md"),
    ],
)
def test_links_are_moved(hook, place, link, expected):
    page = type("Page", (), {"file": type("File", (), {"src_uri": place})})
    text = f"[a]({link}) [b](https://x.org/docs/y)\n```\n[c]({link})\n```\n"
    assert hook.on_page_markdown(text, page) == f"[a]({expected}) [b](https://x.org/docs/y)\n```\n[c]({link})\n```\n"


def test_what_the_reference_names_exists():
    for page in (ROOT / "docs" / "api").glob("*.md"):
        for name in re.findall(r"^::: (\S+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            module, _, attribute = name.rpartition(".")
            path = ROOT / "src" / Path(*name.split("."))
            file = (ROOT / "src" / Path(*module.split("."))).with_suffix(".py")
            assert (path / "__init__.py").is_file() or f"def {attribute}(" in file.read_text(encoding="utf-8")
