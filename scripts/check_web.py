"""Send 100 mixed uploads to the page by four clients at once, and probe what it serves.

    python -m scripts.check_web

Starts `cloud-jax web` on a free port of this machine. Of the uploads 88 are crystals
(POSCAR, CIF and JSON of embedded minerals, examples), ten are broken, one has 50 MB and
one is an archive that wants to leave its folder. Prints JSON lines: what was answered,
the memory of the server's processes before and after, what could be read by its path.
"""

import io
import json
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from queue import Empty, Queue
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import psutil
from gradio_client import Client, handle_file
from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter

from cloud_jax.datasets.embedded import EmbeddedSource
from scripts.web_server import Served, served

N_CLIENTS = 4
_SECRETS = (b"root:", b"import ", b"BEGIN")
_HOST = ("Traceback", "site-packages", "cloud_jax-web", "/home/", "/root/", "/tmp/")


def good_files(folder: Path, n: int) -> list[Path]:
    """Write n files of different small crystals, as POSCAR, CIF and JSON in turn."""
    items = [item for item in EmbeddedSource("embedded").items() if "aflow" in item.id]
    made = []
    for number, item in enumerate(items[:n]):
        structure = Structure.from_dict(item.payload)
        kind = ("vasp", "cif", "json")[number % 3]
        path = folder / f"crystal_{number:03d}.{kind}"
        if kind == "vasp":
            structure.to(str(path), fmt="poscar")
        elif kind == "cif":
            path.write_text(str(CifWriter(structure)))
        else:
            path.write_text(json.dumps(structure.as_dict()))
        made.append(path)
    return made


def broken_files(folder: Path, good: Path) -> list[Path]:
    """Write ten files that are not structures, or no longer."""
    text = good.read_bytes()
    contents = {
        "empty.cif": b"",
        "cut.cif": text[: len(text) // 3],
        "page.cif": b"<!DOCTYPE html><script>alert(1)</script>",
        "noise.cif": bytes(range(256)) * 40,
        "zeros.vasp": b"\0" * 500,
        "nan.vasp": b"x\n1\nnan 0 0\n0 3 0\n0 0 3\nSi\n1\nDirect\n0 0 0\n",
        "archive.zip": b"PK\x03\x04 not an archive",
        "unpacked.cif.gz": b"\x1f\x8b cut short",
        "list.json": b"[1, 2",
        "two_atoms_in_one.vasp": b"x\n1\n3 0 0\n0 3 0\n0 0 3\nSi\n2\nDirect\n"
        b"0 0 0\n0 0 0.001\n",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def hostile_archive(folder: Path) -> Path:
    """Write an archive with names and links that lead out of its folder."""
    path = folder / "hostile.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("../../etc/passwd", "/etc/shadow.cif", "<img src=x>.cif"):
            entry = tarfile.TarInfo(name)
            entry.size = 6
            archive.addfile(entry, io.BytesIO(b"data_x"))
        link = tarfile.TarInfo("link.cif")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


def memory(server: Served) -> float:
    """Return the resident memory of the server and its processes, MiB."""
    tree = psutil.Process(server.process.pid)
    return sum(p.memory_info().rss for p in [tree, *tree.children(True)]) / 2**20


def ask(server: Served, files: list[tuple[str, Path]]) -> list[tuple[str, str, float]]:
    """Upload each file alone by four clients; return kind, outcome and seconds."""
    waiting: Queue = Queue()
    for entry in files:
        waiting.put(entry)
    outcomes: list[tuple[str, str, float]] = []

    def work() -> None:
        client = Client(server.origin, verbose=False, analytics_enabled=False)
        while True:
            try:
                kind, path = waiting.get_nowait()
            except Empty:
                return
            start = time.monotonic()
            text = client.predict([handle_file(str(path))], api_name="/predict_files")
            text = text[0] if isinstance(text, list | tuple) else text
            outcomes.append((kind, outcome(text), time.monotonic() - start))

    threads = [threading.Thread(target=work) for _ in range(N_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def outcome(text: str) -> str:
    """Return what an answer says: crystals, a reason, or something of the host."""
    if any(word in text for word in _HOST):
        return "shows the host"
    answer = json.loads(text)
    if answer["crystals"]:
        return "predicted"
    return "refused with a reason" if answer["problems"] else "nothing"


def probe(server: Served, folder: Path) -> dict[str, int]:
    """Ask for files by their paths; return how many were asked for and given."""
    uploads = [p for p in folder.rglob("*") if p.is_file()]
    targets = ["/etc/passwd", str(Path(__file__).resolve()), *map(str, uploads[:5])]
    targets += ["../../../../etc/passwd", f"{folder}/../../etc/passwd"]
    templates = (
        "/gradio_api/file={}", "/file={}", "/gradio_api/file/{}", "/static/{}",
        "/assets/{}", "/cj/page/{}", "/cj/vendor/{}", "/gradio_api/proxy=file://{}",
        "/custom_component/{}", "/gradio_api/stream/{}",
    )  # fmt: skip
    asked = given = 0
    for target in targets:
        for name in (target, quote(target, safe=""), target.replace("..", "%2e%2e")):
            for template in templates:
                asked += 1
                given += reads(server.origin + template.format(name))
    for target in targets:  # as if it had been uploaded
        body = {"data": [[{"path": target, "meta": {"_type": "gradio.FileData"}}]]}
        body |= {"fn_index": 0, "session_hash": "probe"}
        asked += 1
        given += reads(server.origin + "/gradio_api/queue/join", json.dumps(body))
        given += reads(server.origin + "/gradio_api/queue/data?session_hash=probe")
    return {"asked": asked, "given": given}


def reads(address: str, body: str | None = None) -> bool:
    """Return whether an address gives the content of a file of the machine."""
    data = body.encode() if body else None
    request = Request(address, data, {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=15) as answer:
            return any(secret in answer.read(200_000) for secret in _SECRETS)
    except HTTPError as error:
        return any(secret in error.read(200_000) for secret in _SECRETS)
    except (URLError, OSError, ValueError):
        return False


def main() -> int:
    """Run the check; return 0 if everything held."""
    with tempfile.TemporaryDirectory() as place:
        folder, temporary = Path(place) / "files", Path(place) / "server"
        folder.mkdir()
        temporary.mkdir()
        good = good_files(folder, 88)
        large = folder / "large.cif"
        large.write_bytes(b"data_large\n" + b"# fifty megabytes\n" * (50 * 2**20 // 18))
        files = [("good", path) for path in good]
        files += [("broken", path) for path in broken_files(folder, good[1])]
        files += [("50 MB", large), ("hostile", hostile_archive(folder))]
        files = files[::3] + files[1::3] + files[2::3]
        with served(str(temporary)) as server:
            ask(server, [("good", path) for path in good[:24]])  # all programs compiled
            before, start = memory(server), time.monotonic()
            found = ask(server, files)
            seconds, after = time.monotonic() - start, memory(server)
            ask(server, files)
            last = memory(server)
            given = probe(server, temporary)
        left = [str(path.name) for path in temporary.glob("cloud_jax-web-*")]
    counts = Counter(f"{kind}: {what}" for kind, what, _ in found)
    times = sorted(time for *_, time in found)
    print(json.dumps({"uploads": len(files), "answered": len(found), **counts}))
    print(
        json.dumps(
            {"seconds": round(seconds, 1), "median_s": round(times[len(times) // 2], 2),
             "slowest_s": round(times[-1], 2)}
        )
    )  # fmt: skip
    print(
        json.dumps(
            {"memory_mib": {"before": round(before), "after_100": round(after),
                            "after_200": round(last)}}
        )
    )  # fmt: skip
    print(json.dumps({"paths": given, "folders_left": left}))
    bad = {"nothing", "shows the host"} & {what for _, what, _ in found}
    sound = len(found) == len(files) and not bad and not given["given"] and not left
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
