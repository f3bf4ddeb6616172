"""Sends one HTTP request, with the standard library alone."""

import base64
import http.client
import json as jsonlib
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_REDIRECTS = 10
CREDENTIALS = ("Authorization", "Cookie", "Proxy-authorization")


def run(url, method="GET", headers=None, query=None, timeout=30, follow_redirects=True, verify_tls=True,
        fail_on_status=False, **rest):
    request = urllib.request.Request(address(url, query or {}), data=content(rest), method=method)
    for name, value in {**implied_headers(rest), **(headers or {})}.items():
        request.add_header(name, value)
    began = time.monotonic()
    response, data = send(request, timeout, follow_redirects, verify_tls)
    elapsed = int((time.monotonic() - began) * 1000)
    if fail_on_status and response.code >= 400:
        sys.exit(f"{method} {named(url)}: {response.code} {response.reason}")
    text = data.decode(charset(response), errors="replace")
    return {"status_code": response.code, "headers": joined(response.headers), "body": text,
            "json": parsed(response, text), "elapsed_ms": elapsed}


def address(url, query):
    """Returns the URL with the query added. Credentials have parameters of their own, which are never printed."""
    parts = urllib.parse.urlsplit(url)
    if "@" in parts.netloc:
        sys.exit("url: credentials don't belong in it, use the parameters username and password")
    pairs = [(name, plain(value))
             for name, values in query.items()
             for value in (values if isinstance(values, list) else [values])]
    joined_query = "&".join(filter(None, [parts.query, urllib.parse.urlencode(pairs)]))
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    return urllib.parse.urlunsplit((parts.scheme.lower(), parts.netloc, path, joined_query, ""))


def named(url):
    """Returns the URL for a message: without its query, where keys and tokens are."""
    return url.partition("?")[0]


def plain(value):
    return str(value).lower() if isinstance(value, bool) else value


def content(rest):
    """Returns the bytes of the request's body, None if there is none."""
    if "body" in rest and "json" in rest:
        sys.exit("give body or json, not both")
    if "json" in rest:
        return jsonlib.dumps(rest["json"]).encode()
    return rest["body"].encode() if "body" in rest else None


def implied_headers(rest):
    implied = {"User-Agent": "attune"}
    if "json" in rest:
        implied["Content-Type"] = "application/json"
    elif "body" in rest:
        implied["Content-Type"] = "text/plain; charset=utf-8"
    if "token" in rest and "username" in rest:
        sys.exit("give token or username, not both")
    if "token" in rest:
        implied["Authorization"] = "Bearer " + rest["token"]
    if "username" in rest:
        pair = f"{rest['username']}:{rest.get('password', '')}".encode()
        implied["Authorization"] = "Basic " + base64.b64encode(pair).decode()
    return {name.capitalize(): value for name, value in implied.items()}


def send(request, timeout, follow_redirects, verify_tls):
    """Returns the response and its body."""
    context = ssl.create_default_context()
    if not verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    redirects = Redirects() if follow_redirects else NoRedirects()
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), redirects)
    try:
        response = opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:  # a status that is no success is a result too
        if follow_redirects and error.code in (301, 302, 303, 307, 308) and "location" in error.headers:
            sys.exit(f"{named(request.full_url)}: {error.reason}")
        response = error
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.exit(f"{request.get_method()} {named(request.full_url)}: {getattr(error, 'reason', error)}")
    with response:
        return response, read(response)


def read(response):
    try:
        data = response.read(MAX_BODY_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"{named(response.url)}: reading the body: {error}")
    if len(data) > MAX_BODY_BYTES:
        sys.exit(f"{named(response.url)}: the body is over {MAX_BODY_BYTES} bytes, fetch it with a script of your own")
    return data


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows every kind of redirect, also 307 and 308 with a body, and tells no other host any credentials."""

    max_redirections = MAX_REDIRECTS
    max_repeats = MAX_REDIRECTS
    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302

    def redirect_request(self, request, response, code, reason, headers, location):
        method, data, kept = request.get_method(), request.data, dict(request.headers)
        if (code == 303 and method != "HEAD") or (code in (301, 302) and method == "POST"):
            method, data = "GET", None
            kept.pop("Content-type", None)
        if origin(location) != origin(request.full_url):
            for name in CREDENTIALS:
                kept.pop(name, None)
        return urllib.request.Request(
            location.replace(" ", "%20"), data=data, headers=kept, method=method,
            origin_req_host=request.origin_req_host, unverifiable=True)


def origin(url):
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def joined(headers):
    """Returns the headers by lower-case name; one that comes several times is joined with commas."""
    values = {}
    for name, value in headers.items():
        values.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(given) for name, given in values.items()}


def charset(response):
    name = response.headers.get_content_charset("utf-8")
    try:
        "".encode(name)
    except LookupError:
        return "utf-8"
    return name


def parsed(response, text):
    kind = response.headers.get_content_type()
    if kind != "application/json" and not kind.endswith("+json"):
        return None
    try:
        return jsonlib.loads(text, parse_constant=refuse)
    except ValueError:
        return None


def refuse(constant):
    raise ValueError(f"{constant} is not JSON")
