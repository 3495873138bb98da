"""Names and prose use standard terms: no words of the private vocabulary that earlier versions had."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path for folder in ("src", "tests", "tools") for path in (ROOT / folder).rglob("*.py") if path != Path(__file__)
)
WEB = ROOT / "web"
WEB_FILES = sorted(
    path
    for folder in ("src", "tests")
    for path in (WEB / folder).rglob("*")
    if path.suffix in {".ts", ".tsx", ".css"} and path.name != "schema.d.ts" and "i18n" not in path.parts
)
# Parts of identifiers. The glossary in docs/reference/glossary.md names the standard terms.
BANNED = """
alone beat beats bell buried bury contested deaf desk dice door doors ground heard house houses patience patient room
said seen stir stirred stirs teller told
"""
TOKENS = frozenset(BANNED.split())
# Words of earlier versions of the web client.
WEB_BANNED = """
asleep awake curtain hears hushed look looks mend mended mending meter shunned showing taste trouble warm
"""
WEB_TOKENS = TOKENS | frozenset(WEB_BANNED.split())
WEB_IDENTIFIER = re.compile(r"[A-Za-z][\w-]*")
# The stored key of the preferences, fields of the API and what the background of the sign-in page shows.
WEB_ALLOWED = {"lastSeen", "last_seen_at", "matinee.taste", "velvet curtain"}
# Stored names, and names in which the word is part of a term.
ALLOWED = {"beat_at", "front_door", "FrontDoorContract", "test_front_door_contract_refuses_imports_of_private_modules"}
# The demo films show houses, and their music has beats.
DEMO = (ROOT / "src/matinee/lab/demo", ROOT / "tests/unit/test_demo.py")
DEMO_TOKENS = frozenset({"beat", "beats", "bell", "door", "doors", "ground", "house", "houses", "room"})
PROSE = {tokenize.COMMENT, tokenize.STRING}
PHRASES = re.compile(
    r"\b(the house|whoever|nobody(?!@)|who comes|in (?:its|one's|their) stead|of (?:one's|its|their) own accord|"
    r"to be had|at hand|is told|are told|was told|hears? of|as said|last words|goes? on where|"
    r"who asks|who waits|of nothing|lets? be|look(?:s|ed)? after)\b",
    re.IGNORECASE,
)
# Past participles that are not formed by -ed.
IRREGULAR = """
begun born bought bound broken brought built caught chosen done drawn driven fallen felt forgotten found frozen given
gone grown heard held hidden kept known laid left lent lost made meant met paid proven said seen sent shown shut slept
sold sought spent spoken spun stolen stuck sunk sworn taken taught thought thrown told torn understood woken won worn
written
"""
PARTICIPLES = frozenset(IRREGULAR.split())
# Verbs in the imperative that end in -ed.
VERBS = frozenset({"embed", "exceed", "feed", "need", "proceed", "seed", "shed", "speed", "succeed"})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_uses_standard_terms(path: Path) -> None:
    source = path.read_text()
    tree = ast.parse(source)
    faults = [*_find_words(path, tree), *_find_participles(tree), *_find_phrases(source)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", WEB_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_of_the_web_client_uses_standard_terms(path: Path) -> None:
    faults = [
        f"line {number}: {name} has the word {', '.join(sorted(found))}"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for name in WEB_IDENTIFIER.findall(_remove_allowed(line))
        if (found := WEB_TOKENS.intersection(_split(name.replace("-", "_"))))
    ]
    assert not faults, "\n".join(faults)


def _remove_allowed(line: str) -> str:
    for name in WEB_ALLOWED:
        line = line.replace(name, "")
    return line


def _find_words(path: Path, tree: ast.AST) -> Iterator[str]:
    for line, name in sorted(set(_list_names(tree))):
        banned = TOKENS - DEMO_TOKENS if any(path.is_relative_to(place) for place in DEMO) else TOKENS
        if name not in ALLOWED and (found := banned.intersection(_split(name))):
            yield f"line {line}: {name} has the word {', '.join(sorted(found))}"


def _find_participles(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_value(node):
            word = node.name.strip("_")
            if word in PARTICIPLES or (re.fullmatch(r"[a-z]+ed", word) and word not in VERBS):
                yield f"line {node.lineno}: {node.name} is a participle: name the function by an imperative verb"


def _find_phrases(source: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if " " in token.string.strip() and token.type in PROSE and (found := PHRASES.search(token.string)):
            yield f"line {token.start[0]}: the phrase {found[0]!r}"


def _list_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def _split(name: str) -> list[str]:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.replace("last_seen", "")).lower().split("_")


def _is_value(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function is a property or a fixture, which are named by nouns."""
    return any("property" in (name := ast.unparse(one)) or "fixture" in name for one in node.decorator_list)
