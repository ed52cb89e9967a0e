"""The public API: exactly these names, documented, and enough for the documentation's examples."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import hashwacht

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "tests" / "contract" / "example_signal_type" / "example_signal_type.py"
DOCUMENTS = sorted((CHECKOUT / "docs").glob("*.md"))

CHECKER = {
    "CheckBackend",
    "CheckResult",
    "Checker",
    "ConfigurationError",
    "HashwachtError",
    "Match",
    "Outcome",
    "Reason",
    "Signal",
    "UploadContext",
    "UploadStream",
    "Verdict",
}
SIGNAL_TYPES = {
    "Digest",
    "DigestState",
    "ENTRY_POINT_GROUP",
    "EncodedPictureHash",
    "HexSignalType",
    "Picture",
    "PictureHash",
    "Signal",
    "SignalError",
    "SignalType",
}
CLIENT = {
    "AsyncGatewayClient",
    "CheckAnswer",
    "GatewayClient",
    "HashedItem",
    "MatchSummary",
    "Outcome",
    "UploadContext",
}
PUBLIC = {
    "hashwacht": CHECKER | {"__version__"},
    "hashwacht.checker": CHECKER,
    "hashwacht.client": CLIENT,
    "hashwacht.signal_types": SIGNAL_TYPES,
}
PUBLIC_MODULES = {*PUBLIC, "hashwacht.testing"}


@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_module_exports_exactly_its_names(module: str) -> None:
    exported = import_module(module).__all__
    assert len(exported) == len(set(exported))
    assert set(exported) == PUBLIC[module]
    assert set(exported) <= set(dir(import_module(module)))


def test_the_stub_of_the_package_has_the_same_names() -> None:
    stub = Path(hashwacht.__file__).with_suffix(".pyi").read_text()
    (names,) = re.findall(r"__all__ = \[(.*?)\]", stub, re.DOTALL)
    assert set(re.findall(r'"(\w+)"', names)) == PUBLIC["hashwacht"]


@pytest.mark.parametrize(
    ("module", "name"),
    [(module, name) for module, names in PUBLIC.items() for name in sorted(names)],
)
def test_a_public_name_and_its_methods_are_documented(module: str, name: str) -> None:
    value = getattr(import_module(module), name)
    if isinstance(value, str):  # a constant
        return
    assert inspect.getdoc(value)
    for attribute, member in vars(value).items():
        function = member.fget if isinstance(member, property) else member
        if inspect.isfunction(function) and not attribute.startswith("_"):
            assert inspect.getdoc(function), f"{name}.{attribute}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="scan_everything"):
        getattr(hashwacht, "scan_everything")  # noqa: B009  # no attribute that mypy could know


def imported_modules(source: str) -> set[str]:
    """Return the modules of hashwacht that a program imports."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return {module for module in modules if module.partition(".")[0] == "hashwacht"}


def is_public(module: str) -> bool:
    return module in PUBLIC_MODULES or module.startswith("hashwacht.testing.")


def test_the_example_signal_type_needs_public_modules_only() -> None:
    assert imported_modules(EXAMPLE.read_text()) == {"hashwacht.signal_types"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_examples_in_documents_need_public_modules_only(document: Path) -> None:
    for source in re.findall(
        r"^```python\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL
    ):
        assert all(is_public(module) for module in imported_modules(source)), source


def test_the_page_on_signal_types_names_no_internal_module() -> None:
    text = (CHECKOUT / "docs" / "signal-types.md").read_text()
    modules = set(re.findall(r"\bhashwacht(?:\.[a-z_]+)+", text))
    assert "hashwacht.signal_types" in modules
    assert all(is_public(module) for module in modules), modules
