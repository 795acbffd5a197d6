"""Answers of an OPTIMADE server: its version, its databases, its next page."""

import re
from typing import Any
from urllib.parse import urljoin, urlsplit

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
            for _ in range(_LINK_PAGES):
                answer = web.json(url, listing=True)
                children |= dict(filter(None, map(_child, answer["data"])))
                url = next_url(url, answer)
                if url is None:
                    break
        except (WebError, OutOfTimeError) as error:
            raise SourceError(f"{base_url}: {error}") from None
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


def next_url(url: str, answer: dict) -> str | None:
    """Return the URL of the page after an answer, None if it is the last.

    Raises:
        SourceError: it is not a web address.
    """
    link = mapping(answer.get("links")).get("next")
    link = link.get("href") if isinstance(link, dict) else link
    over = mapping(answer.get("meta")).get("more_data_available") is False
    if not link or over or not answer["data"]:
        return None
    following = urljoin(url, str(link))
    if urlsplit(following).scheme not in ("http", "https"):
        raise SourceError(f"{url}: the next page is {link!r}, expected a web address")
    return following
