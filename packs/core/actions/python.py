"""Runs code that is a parameter."""

import linecache
import sys
import traceback


def run(code):
    # Tracebacks quote the lines of the code, although it is in no file.
    linecache.cache["<code>"] = (len(code), None, code.splitlines(True), "<code>")
    namespace = {"__name__": "__main__"}
    try:
        exec(compile(code, "<code>", "exec"), namespace)
    except Exception as error:
        traceback.print_exception(type(error), error, error.__traceback__.tb_next)  # from the code's own frame on
        sys.exit(1)
    return namespace.get("result")
