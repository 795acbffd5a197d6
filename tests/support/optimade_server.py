"""The reference OPTIMADE server on a free port of 127.0.0.1, behind planned faults.

    python optimade_server.py ENTRIES.jsonl     prints its port, then serves

`/index` is an index of databases, `/old` speaks version 0 only. Below `/v1` are the
reference server's 17 structures and all of the file, below `/PLAN/v1` only the first
of the file (the mock of MongoDB copies all it has for every page). PLAN is JSON in
URL-safe base64: of each page offset the faults to give before the true page comes,
`400`, `500`, `429` (with Retry-After), `hang`, `trickle`, `cut` (a truncated body),
`garbage` (no JSON), `loop` (`next` leads to the first page) or `hidden` (`next` has a
cursor in place of the offset); a last `*` repeats the fault from then on.
"""

import asyncio
import base64
import json
import os
import re
import socket
import sys
import warnings
from pathlib import Path
from urllib.parse import parse_qs

# Deprecations inside FastAPI, mongomock and pydantic are not ours to mend.
warnings.simplefilter("ignore")
ALIASES = {
    "id": "task_id",
    "chemical_formula_descriptive": "pretty_formula",
    "chemical_formula_reduced": "pretty_formula",
    "chemical_formula_anonymous": "formula_anonymous",
}
HANG_S = 60.0


N_SMALL = 240


def child(name: str, url: str, **more: str) -> dict:
    """A database as an index lists it."""
    values = {"name": name, "base_url": url, "link_type": "child"} | more
    return {"id": name, "type": "links", "attributes": values}


# An index of two databases and entries that are not databases to harvest, and a server
# of version 0.
STATIC = {
    "/index/v1/info": json.dumps(
        {"data": {"attributes": {"api_version": "1.1.0", "is_index": True}}}
    ),
    "/index/v1/links": json.dumps(
        {
            "data": [
                child("one", "http://SERVER/e30="),
                child(
                    "../two", "http://SERVER/eyI0MCI6IFsiNTAwIl19"
                ),  # {"40": ["500"]}
                child("sample", "http://SERVER/e30=", aggregate="test"),
                child("p", "http://SERVER/e30=", link_type="providers"),
                child("none", ""),
                "no link at all",
            ]
        }
    ),
    "/old/versions": "version\n0\n",
}


def reference_app(entries: list[dict], collection: str):
    """The reference implementation with these structures and its own 17."""
    import bson.json_util
    from optimade.server import data
    from optimade.server.config import ServerConfig
    from optimade.server.create_app import create_app

    app = create_app(
        ServerConfig(
            config_file=None,
            insert_test_data=False,
            database_backend="mongomock",
            page_limit_max=500,
            structures_collection=collection,
            aliases={"structures": ALIASES},
            log_level="critical",
        )
    )
    own = bson.json_util.loads(bson.json_util.dumps(data.structures))
    app.state.entry_collections["structures"].insert([*own, *entries])
    return app


class Faults:
    """ASGI: answers of another app, spoilt as the URL's plan says."""

    def __init__(self, app, small):
        self.app, self.small = app, small
        self.times: dict[tuple[str, str], int] = {}
        self.paths: list[str] = []

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        query = scope["query_string"].decode()
        self.paths.append(f"{scope['path']}?{query}")
        if scope["path"] == "/requests":
            self.paths.pop()
            return await reply(send, 200, json.dumps(self.paths).encode())
        if scope["path"] in STATIC:
            host = dict(scope["headers"])[b"host"].decode()
            text = STATIC[scope["path"]].replace("SERVER", host)
            return await reply(send, 200, text.encode())
        if scope["path"].startswith("/old/"):
            return await reply(send, 404, b"")
        plan, slash, rest = scope["path"][1:].partition("/")
        if not slash or plan == "v1" or not rest.startswith("v"):
            return await self.app(scope, receive, send)
        fault = ""
        if "structures" in rest:
            offset = parse_qs(query).get("page_offset", ["0"])[0]
            fault = self.next_fault(plan, offset)
        if fault in ("400", "500", "429"):
            headers = [(b"retry-after", b"1")] if fault == "429" else []
            body = b'{"errors": [{"detail": "as planned"}]}'
            return await reply(send, int(fault), body, headers)
        if fault == "hang":
            await asyncio.sleep(HANG_S)
        body, status = await self.answer(scope | {"path": f"/{rest}"}, receive)
        body = body.replace(b"/v1/", f"/{plan}/v1/".encode())
        await spoil(fault, status, body, send)

    def next_fault(self, plan: str, offset: str) -> str:
        faults = json.loads(base64.urlsafe_b64decode(plan)).get(offset, [])
        key = (plan, offset)
        time = self.times[key] = self.times.get(key, -1) + 1
        if faults[-1:] == ["*"]:
            return faults[min(time, len(faults) - 2)]
        return faults[time] if time < len(faults) else ""

    async def answer(self, scope, receive) -> tuple[bytes, int]:
        parts, status = [], []

        async def keep(message):
            if message["type"] == "http.response.start":
                status.append(message["status"])
            else:
                parts.append(message.get("body", b""))

        headers = [h for h in scope["headers"] if h[0] != b"accept-encoding"]
        raw = scope["path"].encode()
        await self.small(scope | {"headers": headers, "raw_path": raw}, receive, keep)
        return b"".join(parts), status[0]


async def spoil(fault: str, status: int, body: bytes, send) -> None:
    """Send a body, or what the fault makes of it."""
    if fault == "garbage":
        body = b"<html>Service temporarily broken</html>"
    if fault in ("loop", "hidden"):
        answer = json.loads(body)
        answer["meta"]["more_data_available"] = True
        old, new = (
            (r"page_offset=\d+", "page_offset=0")
            if fault == "loop"
            else ("page_offset=", "page_cursor=")
        )
        answer["links"]["next"] = re.sub(old, new, answer["links"]["next"])
        body = json.dumps(answer).encode()
    if fault == "cut":
        return await reply(send, status, body[: len(body) // 2], length=len(body))
    if fault == "trickle":
        return await reply(send, status, body, pause_s=0.05)
    await reply(send, status, body)


async def reply(send, status, body, headers=(), *, length=None, pause_s=0.0):
    start = [(b"content-type", b"application/json"), *headers]
    start.append((b"content-length", str(length or len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": start})
    step = 50 if pause_s else max(len(body), 1)
    for at in range(0, len(body), step):
        part = body[at : at + step]
        more = at + step < len(body) or length is not None
        await send({"type": "http.response.body", "body": part, "more_body": more})
        await asyncio.sleep(pause_s)
    if length is not None:  # close before the promised end
        raise ConnectionAbortedError("cut as planned")


def main() -> None:
    import logging

    import uvicorn

    lines = Path(sys.argv[1]).read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    small = reference_app(entries[:N_SMALL], "small")
    app = Faults(reference_app(entries, "all"), small)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    logging.disable(logging.CRITICAL)
    config = uvicorn.Config(app, log_level="critical", lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    os.environ["OPTIMADE_CONFIG_FILE"] = os.devnull
    main()
