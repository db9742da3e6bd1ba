"""What the pages point to is there: tests and cases by name, files by path, links and their anchors."""
import fnmatch
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(f.name for f in ROOT.iterdir() if f.is_dir() and not f.name.startswith(".") and f.name != "build")
FILES = [str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CASES = re.findall(r"^\| ([a-z0-9-]+) \|", (ROOT / "docs/conformance.md").read_text(), re.MULTILINE)


def written(path):
    """The text of a page without its blocks of code, which are examples."""
    return re.sub(r"^( *)```.*?^\1```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def names_of_tests(file):
    return re.findall(r"^def (test_\w+)", (ROOT / "tests/e2e" / file).read_text(), re.MULTILINE)


def doctests_in(files):
    """The names of TEST_CASEs, whose literals may be cut into several."""
    text = "\n".join((ROOT / file).read_text() for file in files)
    return [re.sub(r'"\s*"', "", name) for name in re.findall(r'(?:TEST_CASE|SUBCASE)[\w]*\(([^;{]*?)\)\s*{', text)]


def faults_of(line):
    """What the line names and is not there."""
    last = None  # `..._more` is a further test of the file before it
    for name in re.findall(r"`([^`]+)`", line):
        if match := re.fullmatch(r"(?:tests/e2e/)?(test_\w+\.py)(?:::(\w+))?", name):
            last = match[1]
            if f"tests/e2e/{last}" not in FILES:
                yield name
                last = None
            elif match[2] and match[2] not in names_of_tests(last):
                yield name
        elif name.startswith("..._"):
            if last is None or "test_" + name[4:] not in names_of_tests(last):
                yield name
        elif re.fullmatch(r"[\w./-]+\.(?:cpp|hpp|py)", name):
            if not any(file == name or file.endswith("/" + name) for file in FILES):
                yield name
    for file, part in re.findall(r'`([\w/]+_test\.cpp)` \("([^"]+)"\)', line):
        if not any(part in name for name in doctests_in([f for f in FILES if f.endswith(file)])):
            yield f"{file} ({part})"
    for names in re.findall(r"\bcases?((?: (?:and )?`[^`]+`,?)+)", line):
        yield from (name for name in re.findall(r"`([^`]+)`", names)
                    if re.fullmatch(r"[a-z0-9*-]+", name) and not fnmatch.filter(CASES, name))


def anchors_of(path):
    heads = re.findall(r"^#+ +(.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_there_is_something_to_look_at():
    assert len(PAGES) > 15 and len(CASES) > 1000
    line = '`test_docs.py::test_nothing`, `..._nobody`, `core/nowhere.cpp`, `decide_test.cpp` ("no such"), cases `zz-*`, `te-*`'
    assert len(list(faults_of(line))) == 5, list(faults_of(line))


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "conformance.md"],  # written from the cases
                         ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page):
    missing = [f"{number}: {fault}" for number, line in enumerate(page.read_text().splitlines(), 1)
               for fault in faults_of(line)]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", written(page)):
        path, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        to = page if not path else page.parent / path
        if not to.exists() or (anchor and anchor not in anchors_of(to)):
            dead.append(target)
    assert not dead
