"""The administration over fakes: one application, its token, and what it was made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from proxy.core.circuit import State
from proxy.core.model import Mirror
from proxy.core.policy import Effect, Names, Policy, Rule, Verdict
from proxy.gateway.explaining import Compared, Question
from proxy.gateway.upkeep import Upkeep
from proxy.observe.happenings import Happenings
from proxy.observe.history import History
from proxy.observe.metrics import Metrics
from proxy.storage.disk import DiskBlobs
from proxy.storage.memory import MemoryCatalog
from proxy.storage.token_file import TokenFile
from proxy.storage.verify import Findings
from proxy.upstream.circuits import Trouble
from proxy.web.admin.application import application
from proxy.web.admin.cache import CacheDesk
from proxy.web.admin.guard import Guard
from proxy.web.admin.mirror_pages import MirrorPages
from proxy.web.admin.mirrors import MirrorDesk
from proxy.web.admin.overview import Watch
from proxy.web.admin.pages import AdminPages
from proxy.web.admin.policies import PolicyDesk
from proxy.web.admin.policy_pages import PolicyPages
from proxy.web.admin.shell import Shell
from proxy.web.admin.tokens import TokenDesk
from proxy.web.paths import Mirrors
from tests.web.admin.mirrors import FakeMirrors

TOKEN = "hunter2-hunter2-hunter2"
HOSTILE = '"><script>alert(1)</script>'
"""What must never stand on a page as it is."""

NO_X = Policy(
    name="no-x",
    description=f"Without {HOSTILE}.",
    rules=(Rule(name="x", effect=Effect.DENY, condition=Names(("x*",)), reason=HOSTILE),),
)
LAB = Mirror(type="conda", name="lab", source="https://u:pw@host.example.org/lab/", policy=NO_X)
PYPI = Mirror(type="pypi", name="py", source="https://host.example.org/simple/")

ACTIVE = {"type": "conda", "name": "lab", "source": "https://host.example.org/", "mode": "active"}
PASSIVE = {"type": "pypi", "name": "py", "source": "https://host.example.org/simple/"}

Client = TestClient[Any, Any]


@dataclass
class Desk:
    """What a test looks at."""

    client: Client
    guard: Guard
    happenings: Happenings
    history: History
    metrics: Metrics
    catalog: MemoryCatalog
    blobs: DiskBlobs
    mirrors: FakeMirrors
    tokens: TokenFile
    told: list[str] = field(default_factory=list)
    crashes: list[Exception] = field(default_factory=list)


DOWN = Trouble(host="host.example.org:443", state=State.OPEN, failures=7, wait=3.2, left_alone_by=2)
"""A host that two workers leave alone."""

Script = Callable[[Desk], Awaitable[None]]


async def _ask(question: Question) -> list[Compared]:
    """Two files of every package, of which the policies refuse the second, or warn of it where the
    package is `fresh`; none of `nothing`.
    """
    if "nothing" in (question.package or ""):
        return []
    effect = Effect.WARN if question.package == "fresh" else Effect.DENY
    verdicts = (
        Verdict(effect=Effect.ALLOW, rule="default", reason="no rule speaks of it"),
        Verdict(effect=effect, rule="x", reason=HOSTILE, until=7200),
    )
    return [
        Compared(
            index="linux-64/repodata.json",
            filename=f"{question.package or 'x'}-{number}.conda",
            name=question.package or "x",
            version=str(number),
            published=1000.0,
            verdicts=tuple(
                verdicts[0 if policy is None or policy.name == "none" else number]
                for policy in question.policies
            ),
        )
        for number in range(2)
    ]


def play(folder: Any, script: Script, *, token: str | None = None, served_at: str = "") -> None:
    """Run *script* against an administration of two mirrors and a policy."""

    async def main() -> None:
        seconds = count(1_000_000.0)

        def clock() -> float:
            """One second later each time."""
            return next(seconds)

        metrics, happenings = Metrics(CollectorRegistry()), Happenings(clock)
        history, guard = History(metrics.families, clock), Guard(token, clock)
        catalog, blobs = MemoryCatalog(), DiskBlobs(folder / "cache")
        crashes: list[Exception] = []
        file, told = TokenFile(folder / "tokens.json"), list[str]()
        tokens = TokenDesk(
            file,
            clock,
            may_change=guard.asks,
            told=lambda what, token: told.append(f"{what} {token.name}"),
        )
        mirrors = Mirrors((LAB, PYPI))
        fake = FakeMirrors(ACTIVE, PASSIVE, hostile=HOSTILE)
        watch = Watch(
            history,
            happenings,
            lambda: mirrors,
            clock(),
            events=fake.events,
            troubles=lambda: [DOWN],
        )
        policies = PolicyDesk(
            policies=lambda: {NO_X.name: NO_X},
            mirrors=lambda: mirrors,
            ask=_ask,
            families=metrics.families,
            advised=lambda: False,
        )
        shell = Shell(guard, has_mirrors=True)

        async def verify() -> Findings:
            return Findings(blobs=2, size=3, wrong=["one"])

        cache = CacheDesk(Upkeep(catalog, blobs), lambda: mirrors, verify)
        pages = AdminPages(
            shell,
            guard,
            watch=watch,
            mirrors=lambda: mirrors,
            address=lambda host: served_at or f"http://{host}:8080",
        )
        mirror_pages = MirrorPages(
            shell,
            guard,
            mirrors=fake,
            policy_desk=policies,
            policies=lambda: {NO_X.name: NO_X},
            in_force=lambda key: NO_X if key == LAB.key else None,
        )
        policy_pages = PolicyPages(shell, guard, policies=policies, mirrors=lambda: mirrors)
        made = application(
            guard=guard,
            operations=(
                *watch.operations(),
                *MirrorDesk(fake).operations(),
                *cache.operations(),
                *policies.operations(),
                *tokens.operations(),
            ),
            pages=[*pages.routes(), *mirror_pages.routes(), *policy_pages.routes()],
            shell=shell,
            happenings=happenings,
            crashed=lambda _, error: crashes.append(error),
        )
        async with TestClient(TestServer(made)) as client:
            desk = Desk(
                client,
                guard,
                happenings,
                history,
                metrics,
                catalog,
                blobs,
                fake,
                file,
                told,
                crashes,
            )
            async with asyncio.timeout(30):
                await script(desk)
        await blobs.aclose()
        assert not crashes

    asyncio.run(main())
