"""SE-17: calls that turn data into code, start a shell, or trust whoever answers."""

import ast
from collections.abc import Iterator

UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "tempfile.mktemp"}
SAFE = ("yaml.SafeLoader", "yaml.CSafeLoader")
UNSAFE = {f"yaml.{c}{name}" for c in ("", "C") for name in ("Loader", "FullLoader", "UnsafeLoader")}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def faults(source: str) -> Iterator[tuple[int, str]]:
    """Line and word of every forbidden import or call."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            for module in modules:
                if module.split(".")[0] in UNPICKLERS:
                    yield node.lineno, module
            if isinstance(node, ast.ImportFrom) and node.module == "yaml":
                yield node.lineno, "from yaml"  # the rules below know its names by "yaml."
        elif isinstance(node, ast.Attribute) and dotted(node) in UNSAFE:
            yield node.lineno, dotted(node)
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, word) for word in call_faults(node))


def call_faults(node: ast.Call) -> Iterator[str]:
    name = dotted(node.func)
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in BUILTINS or name in SHELLS:
        yield name
    if name in {"yaml.load", "yaml.load_all"} and not safe_loader(node, keywords):
        yield name
    if name in {"yaml.unsafe_load", "yaml.full_load", "numpy.load", "np.load", "torch.load"}:
        yield name
    if true(keywords.get("shell")):
        yield f"{name}(shell=True)"
    if false(keywords.get("verify")):
        yield f"{name}(verify=False)"
    if true(keywords.get("allow_pickle")):
        yield f"{name}(allow_pickle=True)"
    if name.endswith(".extractall") and "tar" in name.lower() and not literal(keywords.get("filter"), "data"):
        yield name


def safe_loader(node: ast.Call, keywords: dict[str | None, ast.expr]) -> bool:
    given = keywords.get("Loader") or (node.args[1] if len(node.args) > 1 else None)
    return given is not None and dotted(given) in SAFE


def true(value: ast.expr | None) -> bool:
    """Anything but a literal False may be true."""
    return value is not None and not false(value)


def literal(value: ast.expr | None, wanted: str) -> bool:
    return isinstance(value, ast.Constant) and value.value == wanted


def false(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is False
