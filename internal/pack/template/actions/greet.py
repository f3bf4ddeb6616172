"""Greets somebody. The parameters are keyword arguments; what run returns is the result."""


def run(name, times=1):
    print(f"greeting {name}")
    return {"greeting": " ".join([f"Hello, {name}!"] * times)}
