from phrases import greeting


def draw(person, width):
    line = "*" * width
    text = greeting(person["name"], person["language"]).center(width)
    return "\n".join([line, text, line])
