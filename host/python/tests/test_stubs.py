"""The type stubs say what the native module is."""

import ast
import inspect
import pathlib

from clipsmaster import _native

STUBS = ast.parse(pathlib.Path(_native.__file__).with_name("_native.pyi").read_text())
ONLY_TYPES = {"Metadata", "Held", "Codec"}


def arguments(function):
    """Names with their defaults, positional ones and those by keyword apart, of a function in the stubs."""
    a = function.args
    defaults = [None] * (len(a.posonlyargs + a.args) - len(a.defaults)) + [ast.unparse(d) for d in a.defaults]
    positional = [(x.arg, d) for x, d in zip(a.posonlyargs + a.args, defaults) if x.arg not in ("self", "cls")]
    return positional, [(x.arg, d and ast.unparse(d)) for x, d in zip(a.kwonlyargs, a.kw_defaults)]


def described(callable_):
    """The same, of what is there."""
    empty = inspect.Parameter.empty
    positional, by_keyword = [], []
    for p in inspect.signature(callable_).parameters.values():
        if p.name not in ("self", "cls"):
            kind = by_keyword if p.kind == p.KEYWORD_ONLY else positional
            kind.append((p.name, None if p.default is empty else repr(p.default).replace("'", "'")))
    return positional, by_keyword


def test_functions_and_classes():
    named = set()
    for node in STUBS.body:
        if isinstance(node, ast.FunctionDef):
            named.add(node.name)
            assert arguments(node) == described(getattr(_native, node.name)), node.name
        elif isinstance(node, ast.ClassDef) and node.name not in ONLY_TYPES:
            named.add(node.name)
            there = getattr(_native, node.name)
            assert there.__doc__ or issubclass(there, Exception)
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    assert hasattr(there, method.name), (node.name, method.name)
                    if method.name == "__new__":
                        assert arguments(method) == described(there), node.name
                    elif not method.name.startswith("__") and not method.decorator_list:
                        assert arguments(method) == described(getattr(there, method.name)), method.name
    public = {name for name in dir(_native) if not name.startswith("_")}
    assert named == public


def test_every_public_thing_is_documented():
    from clipsmaster import compression

    for name in compression.__all__:
        assert getattr(compression, name).__doc__, name
