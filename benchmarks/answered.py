"""What a request costs that is answered from the cache: small files, pages, 304s, ranges.

Every contestant answers the same requests for the same upstream's files, over keep-alive
connections, in turns. CPU time per request is the figure to look at; requests per second depend
on what else the machine does.
"""

from __future__ import annotations

import http.client
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks import wrk
from benchmarks.contestants import Contestant, Proxy
from benchmarks.measure import Spread
from benchmarks.peers import Nginx, Squid, Varnish, able
from benchmarks.python_peers import Devpi, Proxpi, Quetz
from benchmarks.report import Finding, Report, finding
from benchmarks.stage import MB, Stage
from benchmarks.upstream import Upstream
from benchmarks.wrk import Hits
from tests.lab.channel import Recipe, build_channel
from tests.lab.processes import peak_resident
from tests.lab.simple_index import Wheel, build_index

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
FILES = 2000  # of the project with a long page
MANY = 64  # connections
FEW = 8  # where 64 are not answered within seconds
MOONSHOT = 1.0  # times nginx
NEVER_ABOVE = 1.8  # times nginx
RANGED = 1.2  # times the small hit
SLOWER = 10.0  # times, in requests per second, that Python peers are
WORKERS = 1.7  # times one worker, with two
PEAK = 250  # MB of one worker, after all of this

_NATIVE = (Nginx, Squid, Varnish)
_PYTHON = (Devpi, Proxpi, Quetz)
_SLOW = [kind.name for kind in _PYTHON]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of request; `entity` asks with the ETag that was given before."""

    name: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    peers: Sequence[str] = ("nginx",)
    entity: bool = False


def run(stage: Stage) -> Report:
    """Everything is asked for before it is measured."""
    if wrk.executable() is None:
        return Report(name="answered", what="left out", findings=[], notes=[wrk.MISSING])
    cases = _cases(stage)
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(stage.upstream_folder()))
        kinds, notes = able([*_NATIVE, *_PYTHON])
        present: list[Contestant] = [
            Proxy(stage.folder, upstream),
            *(kind(stage.folder, upstream) for kind in kinds),
        ]
        for one in present:
            stack.enter_context(one)
        taken = {case.name: _measured(case, present, stage.rounds) for case in cases}
        scaled = _scaled(stack, stage, upstream, present, cases[0])
        memory = [
            finding(
                "peak memory",
                one.name,
                [peak_resident(one.pid) / MB],
                "MB",
                at_most=PEAK if one.name == Proxy.name else None,
            )
            for one in present
            if one.pid is not None
        ]
    findings = [one for case in cases for one in _found(case, taken[case.name])]
    findings += _among_ours(cases, taken)
    findings += _scaling(scaled)
    notes.append(f"{', '.join(_SLOW)}: {FEW} connections")
    notes.append("two workers: requests per CPU second of the server, times two processors, to")
    notes.append(
        "those of one worker; both on one processor, each with as many connections as the one, so"
    )
    notes.append("that all are busy: who waits in between has fewer requests in each turn")
    what = f"{MANY} connections, answered from the cache; pages list {FILES} files"
    return Report(name="answered", what=what, findings=[*findings, *memory], notes=notes)


def _cases(stage: Stage) -> list[Case]:
    (file,) = stage.plain_files("small", 4000, 1)
    wheel = Wheel(name="bench", depends=tuple(f"lab-{number:04}" for number in range(160)))
    small = Wheel(name="little", payload=1000)
    many = [Wheel(name="many", version=f"1.{number}", payload=10) for number in range(FILES)]
    index = build_index(stage.upstream_folder() / "index", [wheel, small, *many])
    package = Recipe(name="little")
    build_channel(stage.upstream_folder() / "channel", [package])
    metadata = f"/index/{index.files[wheel.filename].path}.metadata"
    native = [kind.name for kind in _NATIVE]
    return [
        Case(name="file of 4 kB", path=f"/files/{file.name}", peers=native),
        Case(name="metadata of 4 kB", path=metadata, peers=native),
        Case(
            name="small wheel",
            path=f"/index/{index.files[small.filename].path}",
            peers=["nginx", "devpi", "proxpi"],
        ),
        Case(
            name="small package",
            path=f"/channel/{package.subdir}/{package.filename}",
            peers=["nginx", "quetz"],
        ),
        Case(name="page, JSON", path="/index/simple/many/", headers={"Accept": JSON_TYPE}),
        Case(name="page, HTML", path="/index/simple/many/", headers={"Accept": "text/html"}),
        Case(name="304", path=metadata, entity=True),
        Case(name="range of 1,000 bytes", path=metadata, headers={"Range": "bytes=0-999"}),
    ]


def _measured(case: Case, present: Sequence[Contestant], rounds: int) -> dict[str, list[Hits]]:
    asked = [one for one in present if one.name == Proxy.name or one.name in case.peers]
    for one in asked:
        _one(case, one, seconds=1)
    taken: dict[str, list[Hits]] = {one.name: [] for one in asked}
    for _ in range(rounds):
        for one in asked:
            taken[one.name].append(_one(case, one))
    return taken


def _one(case: Case, contestant: Contestant, *, seconds: int = 3, workers: int = 1) -> Hits:
    path = contestant.path(case.path)
    headers = dict(case.headers)
    status, etag = _ask(contestant.port, path, headers)
    if case.entity:
        headers["If-None-Match"] = etag
        status, _ = _ask(contestant.port, path, headers)
    wanted = 304 if case.entity else 206 if "Range" in headers else 200
    if status != wanted:
        raise wrk.Failed(f"{contestant.name} answered {case.name} with {status}, not {wanted}")
    assert contestant.pid is not None
    return wrk.load(
        contestant.port,
        contestant.pid,
        path,
        headers=headers,
        connections=FEW if contestant.name in _SLOW else MANY * workers,
        seconds=seconds,
    )


def _ask(port: int, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        response.read()
        return response.status, response.getheader("ETag") or ""
    finally:
        connection.close()


def _found(case: Case, taken: Mapping[str, Sequence[Hits]]) -> list[Finding]:
    """CPU time, rate and latency of each contestant, and the ratios to the others."""
    costs = {name: [one.cpu_each for one in hits] for name, hits in taken.items()}
    rates = {name: [one.rate for one in hits] for name, hits in taken.items()}
    found = [finding(f"{case.name}: CPU", name, cost, "us") for name, cost in costs.items()]
    if "nginx" in costs:
        ratio = Spread.of_ratios(costs[Proxy.name], costs["nginx"])
        limit = MOONSHOT if case.path.startswith(("/files/", "/index/bench")) else NEVER_ABOVE
        found.append(finding(f"{case.name}: CPU", "ours / nginx", ratio, "ratio", at_most=limit))
    found += [finding(f"{case.name}: rate", name, rate, "1/s") for name, rate in rates.items()]
    for name in (kind.name for kind in _PYTHON if kind.name in rates):
        ratio = Spread.of_ratios(rates[Proxy.name], rates[name])
        label = f"ours / {name}"
        found.append(finding(f"{case.name}: rate", label, ratio, "ratio", at_least=SLOWER))
    for name, hits in taken.items():
        found.append(finding(f"{case.name}: p50", name, [1000 * one.p50 for one in hits], "ms"))
        found.append(finding(f"{case.name}: p99", name, [1000 * one.p99 for one in hits], "ms"))
    return found


def _among_ours(
    cases: Sequence[Case], taken: Mapping[str, Mapping[str, Sequence[Hits]]]
) -> list[Finding]:
    """What a 304 and a range cost beside the small hit that they are of."""
    of = {case.name: [one.cpu_each for one in taken[case.name][Proxy.name]] for case in cases}
    base = of["metadata of 4 kB"]
    return [
        finding(
            f"{name}: CPU",
            "ours / small hit",
            Spread.of_ratios(of[name], base),
            "ratio",
            at_most=limit,
        )
        for name, limit in (("304", 1.0), ("range of 1,000 bytes", RANGED))
    ]


def _scaled(
    stack: ExitStack,
    stage: Stage,
    upstream: Upstream,
    present: Sequence[Contestant],
    case: Case,
) -> dict[str, list[tuple[Hits, Hits]]]:
    """What one worker and two came to, in turns; nginx's, too, where it is here."""
    pairs: list[tuple[Contestant, Contestant]] = []
    for one in present:
        if one.name == Proxy.name:
            pairs.append((one, Proxy(stage.folder, upstream, workers=2)))
        elif one.name == Nginx.name:
            pairs.append((one, Nginx(stage.folder, upstream, workers=2)))
    for _, two in pairs:
        stack.enter_context(two)
        _one(case, two, seconds=1, workers=2)
    taken: dict[str, list[tuple[Hits, Hits]]] = {one.name: [] for one, _ in pairs}
    for _ in range(stage.rounds):
        for one, two in pairs:
            taken[one.name].append((_one(case, one), _one(case, two, workers=2)))
    return taken


def _scaling(scaled: Mapping[str, Sequence[tuple[Hits, Hits]]]) -> list[Finding]:
    """Requests per CPU second, times two, to those of one worker."""
    ratios = {
        name: [2 * one.cpu_each / two.cpu_each for one, two in taken]
        for name, taken in scaled.items()
    }
    found = [
        finding(
            "two workers",
            "ours / one worker" if name == Proxy.name else f"{name} / one worker",
            values,
            "ratio",
            at_least=WORKERS if name == Proxy.name else None,
        )
        for name, values in ratios.items()
    ]
    if Nginx.name in ratios:
        both = Spread.of_ratios(ratios[Proxy.name], ratios[Nginx.name])
        found.append(finding("two workers", "ours to nginx's", both, "ratio"))
    return found
