from phrases import greeting


def run(name, language):
    return {"greeting": greeting(name, language)}
