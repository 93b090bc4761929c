"""The floor rules, read from the sources: who may import what, and that nothing points up or in a circle."""

import doctest
import importlib
import pkgutil
import re
import tomllib
from graphlib import CycleError, TopologicalSorter

import nll_fast
import pytest
from nll_fast import reference

from .conftest import PEERS, ROOT

OTHER = {
    "Comparison",
    "Partial",
    "TokenScores",
    "TokenSegments",
    "reference",
    "as_bfloat16",
    "get_num_threads",
    "read_llama_logits",
    "set_num_threads",
    "simd_level",
}
SOURCES = {
    str(path.relative_to(ROOT)): re.sub(r"//.*", "", path.read_text()) if path.suffix == ".rs" else path.read_text()
    for path in (*ROOT.glob("rust/**/*.rs"), *ROOT.glob("python/**/*.py"))
}
ISA, MEMORY, TURN, TURN_X86, TABLE, SUMS_X86, ENVIRONMENT = (
    f"rust/simd/src/{name}.rs"
    for name in ("isa", "memory", "turn", "turn_x86", "logistic", "pair_sums_x86", "environment")
)
FLOORS = ("math", "data", "fold", "call")  # of rust/kernels/src, the lowest first
CALLS = ("elements", "losses", "quantities", "scores")  # the crates of typed calls, compiled side by side
KNOWN = {  # the crates that each crate knows
    "simd": set(),
    "kernels": {"simd"},
    **{name: {"simd", "kernels"} for name in CALLS},
    "calls": {"kernels", *CALLS},
    "py": {"kernels", "calls"},
}


def homes(pattern):
    """The files that have it anywhere."""
    return {name for name, text in SOURCES.items() if re.search(pattern, text, re.MULTILINE)}


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (r"\bunsafe\s*(\{|fn|impl|trait|extern)", {ISA, MEMORY, TURN, TURN_X86, TABLE, SUMS_X86, ENVIRONMENT}),
        (r"\brayon::", {"rust/kernels/src/data/drive.rs"}),
        (r"\basm!", {ENVIRONMENT}),
        (r"target_feature\(", {ISA, TURN_X86, TABLE, SUMS_X86}),
        (r"(core|std)::arch::(x86|aarch)", {ISA, MEMORY, TURN_X86, TABLE, SUMS_X86}),
    ],
)
def test_one_home(pattern, allowed):
    assert homes(pattern) == allowed


def test_only_the_binding_knows_python():
    assert {home[:8] for home in homes(r"\b(pyo3|numpy)::")} == {"rust/py/"}


def test_only_the_bench_knows_other_libraries():
    others = "|".join((*PEERS, "ml_dtypes", "pandas"))
    found = homes(rf"^\s*(import|from)\s+({others})\b|import_module\([\"']({others})\b")
    assert found and all(home.startswith("python/nll_fast/cli/bench/") for home in found)


def test_no_drawer_of_odds_and_ends():
    assert not [name for name in SOURCES if re.search(r"/(utils|helpers|common|misc)\.", name)]


def leaves(tree):
    """a::{b, c::{self, d}} → a::b, a::c, a::d"""
    head, brace, rest = tree.partition("{")
    if not brace:
        return [head.split(" as ")[0].replace("::self", "").strip()]
    parts, depth, found = re.split(r"([{},])", rest.rstrip()[:-1]), 0, [""]
    for part in parts:
        depth += (part == "{") - (part == "}")
        if part == "," and not depth:
            found.append("")
        else:
            found[-1] += part
    return [leaf for part in found if part.strip() for leaf in leaves(head + part.strip())]


def used(text):
    """The paths inside the crate of all ``use`` items and of the code."""
    root = r"(?:crate|(?:super::)*super|self)"
    items = re.findall(rf"\buse\s+({root}::[^;]+);", text)
    inline = re.findall(rf"\b{root}(?:::\w+)+", re.sub(r"\buse\s[^;]+;", "", text))
    return {re.sub(r"\s+", "", leaf) for item in (*items, *inline) for leaf in leaves(" ".join(item.split()))}


class Crate:
    """The files of a crate by their module paths, and what each imports of the others."""

    def __init__(self, name):
        top = f"rust/{name}/src/"
        self.files = {}
        for file in (name for name in SOURCES if name.startswith(top)):
            path = file.removeprefix(top).removesuffix(".rs").split("/")
            self.files[tuple(path[:-1] if path[-1] in ("mod", "lib") else path)] = file

    def imports(self, module):
        """The modules whose items a module names; re-exports are followed, a child's ``super`` is not."""
        for path in used(SOURCES[self.files[module]]):
            first, *rest = path.split("::")
            base = () if first == "crate" else module
            while first == "super":
                base, first = base[:-1], rest.pop(0)
                rest, first = ([first, *rest], "") if first != "super" else (rest, first)
            found = self.home(base, rest)
            of_parent = path.startswith("super") and found == module[: len(found)]
            if found != module and not of_parent and not path.startswith("self"):
                yield found

    def home(self, base, rest):
        for i, step in enumerate(rest):
            if (*base, step) in self.files:
                base = (*base, step)
                continue
            exports = re.findall(r"\bpub(?:\([^)]*\))?\s+use\s+([^;]+);", SOURCES[self.files[base]])
            for leaf in (re.sub(r"\s+", "", leaf) for item in exports for leaf in leaves(" ".join(item.split()))):
                *where, name = re.sub(r"^(self|crate)::", "", leaf).split("::")
                inside = base if not leaf.startswith("crate") else ()
                if name == step and where and (*inside, where[0]) in self.files:
                    return self.home(inside, [*where, *rest[i:]])
            break
        return base


@pytest.mark.parametrize("name", ["simd", "kernels", *CALLS])
def test_files_of_a_crate_import_one_another_in_no_circle(name):
    crate = Crate(name)
    graph = {module: set(crate.imports(module)) for module in crate.files if module}
    assert sum(map(len, graph.values())) > len(graph) / 2, "the imports are not found"
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        pytest.fail(" → ".join(crate.files[module] for module in circle.args[1]))


def test_no_crate_knows_one_beside_or_above_it():
    """Cargo holds sources to what the manifest of their crate names."""
    manifests = {path.parent.name: tomllib.loads(path.read_text()) for path in ROOT.glob("rust/*/Cargo.toml")}
    assert {name: crates_of(manifest.get("dependencies", ())) for name, manifest in manifests.items()} == KNOWN
    assert all(not crates_of(manifest.get("dev-dependencies", ())) for manifest in manifests.values())


def crates_of(dependencies):
    """Those of this project."""
    return {name.removeprefix("nll-") for name in dependencies if name.startswith("nll-")}


def test_no_floor_of_the_kernels_knows_a_higher_one():
    crate = Crate("kernels")
    modules = [module for module in crate.files if module and module[0] != "error"]
    assert {module[0] for module in modules} == set(FLOORS)
    for module in modules:
        allowed = {*FLOORS[: FLOORS.index(module[0]) + 1], "error"}
        above = [found for found in crate.imports(module) if not found or found[0] not in allowed]
        assert not above, f"{crate.files[module]} imports {above}"
        if module[0] == "math":
            outside = set(re.findall(r"\buse\s+([a-z]\w*)::", SOURCES[crate.files[module]]))
            assert outside <= {"crate", "super", "self", "std", "core", "nll_simd"}, crate.files[module]


def test_every_loss_has_an_oracle():
    assert all(hasattr(reference, name) for name in set(nll_fast.__all__) - OTHER)
    assert sorted(nll_fast.__all__) == nll_fast.__all__


def test_every_oracle_says_what_it_computes():
    """Without a docstring, ``help`` shows what comment stands above a decorator's code in NumPy."""
    assert not [name for name in set(nll_fast.__all__) - OTHER if not getattr(reference, name).__doc__]


def test_docstring_examples():
    """Every public function has one, wherever it is defined, and all of them are right."""
    names = [module.name for module in pkgutil.walk_packages(nll_fast.__path__, "nll_fast.")]
    for module in (importlib.import_module(name) for name in names if not re.search(r"\._|\.bench", name)):
        assert not doctest.testmod(module).failed
    public = [getattr(nll_fast, name) for name in nll_fast.__all__ if name != "reference"]
    finder = doctest.DocTestFinder(recurse=False)
    assert not [f.__name__ for f in public if not any(test.examples for test in finder.find(f, f.__name__))]
