"""What the pack's Python actions share."""

PHRASES = {"en": "Hello", "de": "Guten Tag", "fr": "Bonjour"}


def greeting(name, language="en"):
    return f"{PHRASES[language]}, {name}!"
