"""Answers of an OPTIMADE server: its version, its databases, its next page."""

import re
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from cloud_jax.datasets.optimade.web import (
    OutOfTimeError,
    RateLimiter,
    RetryPolicy,
    Web,
    WebError,
    mapping,
)
from cloud_jax.structures.source import SourceError

_NOT_FOR_ALL = ("test", "no")  # an index asks not to harvest these children
_LINK_PAGES = 100


def databases_of(base_url: str, policy: RetryPolicy) -> dict[str, str]:
    """Return base URL by name of the databases at a URL: itself, or its children.

    Raises:
        SourceError: the server does not answer.
    """
    with Web(RateLimiter(), policy) as web:
        try:
            info = server_info(web, base_url)
            if not _is_index(info):
                return {folder_name(base_url): base_url}
            children: dict[str, str] = {}
            url: str | None = f"{endpoint(base_url)}/links"
            seen: set[str] = set()
            while url and url not in seen and len(seen) < _LINK_PAGES:
                seen.add(url)
                answer = web.json(url, listing=True)
                children |= dict(filter(None, map(_child, answer["data"])))
                is_end = says_more(answer) is False or not answer["data"]
                url = None if is_end else next_link(web.url, answer)
        except (WebError, OutOfTimeError) as error:
            raise SourceError(f"{base_url}: {error}") from None
    if says_more(answer):
        raise SourceError(
            f"{base_url}: the index ends after {len(children)} databases "
            f"({len(seen)} pages), and says that there are more"
        )
    if not children:
        raise SourceError(f"{base_url}: found an index without databases")
    return children


def endpoint(base_url: str) -> str:
    """Return the versioned URL below which a server answers."""
    url = base_url.rstrip("/")
    return url if re.search(r"/v\d+(\.\d+)*$", url) else f"{url}/v1"


def folder_name(text: str) -> str:
    """Return a name for a folder; for a URL, its host and path."""
    parts = urlsplit(text)
    path = re.sub(r"/v\d+(\.\d+)*$", "", parts.path.rstrip("/"))
    name = f"{parts.netloc}{path}" if parts.netloc else text
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "database"


def _child(entry: Any) -> tuple[str, str] | None:
    """Return name and base URL of an index entry, None if not one to harvest."""
    values = mapping(mapping(entry).get("attributes"))
    url = values.get("base_url")
    url = url.get("href") if isinstance(url, dict) else url
    if values.get("link_type") != "child" or values.get("aggregate") in _NOT_FOR_ALL:
        return None
    return (folder_name(str(entry.get("id"))), str(url)) if url else None


def _is_index(info: dict) -> bool:
    data = mapping(info.get("data"))
    return bool(data.get("is_index") or mapping(data.get("attributes")).get("is_index"))


def server_info(web: Web, base_url: str) -> dict:
    """Return the server's `info` answer, empty if it has none.

    Raises:
        SourceError: it does not speak version 1.
        WebError: it does not answer.
    """
    try:
        info = web.json(f"{endpoint(base_url)}/info")
    except WebError as error:
        if not error.status:
            raise
        versions = web.text(f"{base_url.rstrip('/')}/versions").split()
        if versions[:1] == ["version"] and "1" not in versions:
            raise SourceError(
                f"{base_url}: serves OPTIMADE versions {', '.join(versions[1:])}, "
                "expected 1"
            ) from None
        return {}
    attributes = mapping(mapping(info["data"]).get("attributes"))
    version = attributes.get("api_version") or ""
    if version and not str(version).lstrip("v").startswith("1"):
        raise SourceError(f"{base_url}: serves OPTIMADE {version}, expected version 1")
    return info


def next_link(url: str, answer: dict) -> str | None:
    """Return the URL that an answer names for the page after it, None if it names none.

    A link to the same host by http is followed by https if the answer came by that.

    Args:
        url: the URL that answered, after redirects.
        answer: its JSON.

    Raises:
        SourceError: the link is not a web address, or leads to another site.
    """
    links = mapping(answer.get("links"))
    link = links.get("next") or links.get("next_page")  # MPDS has the second
    link = link.get("href") if isinstance(link, dict) else link
    if not link:
        return None
    here = urlsplit(url)
    try:
        there = urlsplit(urljoin(url, link))
    except (ValueError, TypeError, AttributeError):  # brackets without IPv6, a number
        there = urlsplit("")
    if there.scheme not in ("http", "https") or not there.hostname:
        raise SourceError(
            f"{shown(url)}: the next page is {link!r}, expected a web address"
        )
    if _site(there.hostname) != _site(here.hostname):
        raise SourceError(
            f"{shown(url)}: the next page is on another site, {link!r}, expected "
            f"{here.hostname}: harvest that site by its own URL"
        )
    if here.scheme == "https" and there.netloc == here.netloc:
        there = there._replace(scheme="https")
    return urlunsplit(there)


def says_more(answer: dict) -> bool | None:
    """Return whether a server says that entries follow a page, None if it does not."""
    more = mapping(answer.get("meta")).get("more_data_available")
    return {"true": True, "false": False}.get(str(more).lower())


def stated_total(answer: dict, *, alone: bool, filtered: bool) -> int | None:
    """Return the number of entries that a query has, None if the server does not say.

    Some servers put the entries of the page into `data_returned`. The number then
    holds for the query only if the page is all there is.

    Args:
        answer: JSON of a page.
        alone: whether the page is the only one of the query.
        filtered: whether the query has a filter: `data_available` is of everything.
    """
    meta = mapping(answer.get("meta"))
    total = _whole(meta.get("data_returned"))
    if total is None or (total <= len(answer["data"]) and not alone):
        total = None if filtered else _whole(meta.get("data_available"))
    return total


def restore_parameters(url: str, asked_url: str) -> str:
    """Return a URL with the query parameters of another one that it lacks.

    Some servers drop `response_fields`, `filter` or `page_limit` from their links.
    """
    parts = urlsplit(url)
    kept = dict(parse_qsl(parts.query))
    asked = parse_qsl(urlsplit(asked_url).query)
    lost = {key: value for key, value in asked if key not in kept}
    fields = [f for f in parts.query.split("&") if f.partition("=")[0] not in lost]
    query = "&".join(filter(None, [*fields, urlencode(lost)]))
    return urlunsplit(parts._replace(query=query))


def shown(url: str) -> str:
    """Return a URL for a message, without the long list of fields that we ask for."""
    return re.sub(r"response_fields=[^&]*&?", "", url).rstrip("?&")


def _site(host: str | None) -> str:
    """Return what hosts of one site share: the last two labels, or the IP address."""
    host = (host or "").lower().rstrip(".")
    if ":" in host or host.replace(".", "").isdecimal():
        return host
    return ".".join(host.split(".")[-2:])


def _whole(value: Any) -> int | None:
    """Return a count from a server's JSON, None if it is not one."""
    text = str(value).strip()
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))
    return int(text) if text.isdecimal() and len(text) < 19 else None
