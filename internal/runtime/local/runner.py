"""Runs one Python action; package runtime/local starts it as

    python3 -B runner.py SCRIPT FUNCTION PARAMETERS VALUE LIB

SCRIPT      the action's file
FUNCTION    the function that its metadata names, or nothing: run, if the file defines it
PARAMETERS  where the parameters are as JSON, for a function: a file, or - for standard input
VALUE       where to leave what the function gave back: a line value, invalid or setup, then the JSON or the reason
LIB         the pack's lib/

It is the same for every action: no parameter and no secret is ever part of it or of its command line. It runs on
Python 3.8 and later, and imports nothing that Python has not imported already: json, ast or runpy would each add more
than half of Python's own start to every execution.
"""
import sys
from os.path import basename, dirname, splitext

ONLY_AST = 0x400  # ast.PyCF_ONLY_AST
BLOCKS = ("If", "Try", "TryStar", "With", "ExceptHandler")


def main(script, function, parameters, value, lib):
    sys.stdout.reconfigure(line_buffering=True)
    sys.stderr.reconfigure(line_buffering=True)
    sys.argv[:] = [script]
    if sys.path and sys.path[0] == dirname(__file__):
        del sys.path[0]
    sys.path[:0] = [dirname(script), lib]
    try:
        with open(script, "rb") as file:
            tree = compile(file.read(), script, "exec", ONLY_AST, True)
        code = compile(tree, script, "exec", 0, True)
        if defines(tree.body, function or "run"):
            leave(value, *call(code, script, function or "run", read(parameters)))
        elif function:
            reason = "%s defines no function %s: correct the action's entry_point" % (basename(script), function)
            leave(value, "setup", reason)
        else:
            run_as_main(code, script)
    except Exception as error:
        report(error, script)
        sys.exit(1)


def defines(body, name):
    """Tells whether statements define the function at the top level of their module, by their syntax alone."""
    for node in body:
        kind = type(node).__name__
        if kind in ("FunctionDef", "AsyncFunctionDef") and node.name == name:
            return True
        if kind in BLOCKS:
            for part in ("body", "handlers", "orelse", "finalbody"):
                if defines(getattr(node, part, ()), name):
                    return True
    return False


def run_as_main(code, script):
    module = type(sys)("__main__")
    module.__file__ = script
    module.__builtins__ = __builtins__
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


def call(code, script, function, parameters):
    """Calls the function and returns a line and a text for leave."""
    name = splitext(basename(script))[0]
    module = type(sys)(name)
    module.__file__ = script
    sys.modules.setdefault(name, module)  # for pickle and dataclasses; an action called json.py must not hide json
    exec(code, module.__dict__)
    value = getattr(module, function)(**parameters)
    if hasattr(type(value), "__await__"):
        import asyncio

        async def outcome():
            return await value

        value = asyncio.run(outcome())
    try:
        return "value", dump(value)
    except Exception as error:
        return "invalid", "what %s returned is not JSON: %s" % (function, error)


def read(parameters):
    if parameters == "-":
        return load(str(sys.stdin.buffer.read(), "utf-8"))
    with open(parameters, encoding="utf-8") as file:
        return load(file.read())


def load(text):
    """json.loads without importing json, by the scanner in C that it uses itself."""
    try:
        from _json import make_scanner

        scan = make_scanner(Scanning())
    except (ImportError, AttributeError, TypeError):
        import json

        return json.loads(text)
    return scan(text, 0)[0]


class Scanning:
    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float, parse_int, parse_constant = float, int, float
    memo = {}


def dump(value):
    """json.dumps without importing json. Text is kept as it is, unless UTF-8 can't hold it."""
    try:
        from _json import encode_basestring, encode_basestring_ascii, make_encoder
    except ImportError:
        import json

        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    text = "".join(encoder(make_encoder, encode_basestring)(value, 0))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = "".join(encoder(make_encoder, encode_basestring_ascii)(value, 0))
    return text


def encoder(make_encoder, quote):
    return make_encoder({}, refuse, quote, None, ":", ",", False, False, False)


def refuse(value):
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


def leave(path, line, text):
    with open(path, "wb") as file:
        file.write(line.encode() + b"\n" + text.encode("utf-8", "backslashreplace"))


def report(error, script):
    """Prints the traceback as Python does, but from the action's own file on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != script:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)


if __name__ == "__main__":
    main(*sys.argv[1:])
