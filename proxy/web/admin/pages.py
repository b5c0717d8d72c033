"""The pages of the administration but for those of mirrors and policies, and logging in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from proxy.observe.happenings import KEPT, Sort
from proxy.observe.history import Traffic
from proxy.web.admin import wording
from proxy.web.admin.guard import COOKIE, SESSION, Guard, name_of
from proxy.web.admin.overview import Wanted, Watch, Window, repeated
from proxy.web.admin.plots import Series, plot
from proxy.web.admin.shell import SORTS, Shell
from proxy.web.paths import Mirrors
from proxy.web.setup import clients

STATIC = Path(__file__).parent / "static"
"""The style sheet, the script and the icon."""

_SOMEWHERE = "https://packages.example.org"
_SPANS = {"hour": "The last hour", "day": "The last day", "week": "The last week"}
_SECONDS = {"hour": 3600.0, "day": 86400.0, "week": 7 * 86400.0}


class AdminPages:
    """Handlers of the pages."""

    def __init__(
        self,
        shell: Shell,
        guard: Guard,
        *,
        watch: Watch,
        mirrors: Callable[[], Mirrors],
        address: Callable[[str], str],
    ) -> None:
        """*address*: where clients reach the server, given the host that a request was for."""
        self._shell = shell
        self._guard = guard
        self._watch = watch
        self._mirrors = mirrors
        self._address = address

    def routes(self) -> list[web.AbstractRouteDef]:
        """For the application's router."""
        return [
            web.get("/", self._overview),
            web.get("/events", self._events),
            web.get("/setup", self._setup),
            web.get("/login", self._login),
            web.post("/login", self._logged_in),
            web.post("/logout", self._logged_out),
            web.static("/static", STATIC),
        ]

    async def _overview(self, request: web.Request) -> web.Response:
        span = request.query.get("span", "hour")
        if span not in _SPANS:
            span = "hour"
        found = await self._watch.overview(Window(seconds=_SECONDS[span]))
        intervals = found.intervals
        plots = (
            plot(
                "Hit ratio",
                intervals,
                (
                    Series(
                        name="of requests",
                        value=lambda one: _ratio(one.traffic.hits, one.traffic.cacheable),
                    ),
                    Series(
                        name="of bytes",
                        value=lambda one: _ratio(one.traffic.bytes_hit, one.traffic.bytes_sent),
                    ),
                ),
                said=wording.percent,
                top=1.0,
            ),
            plot(
                "Traffic",
                intervals,
                (
                    Series(
                        name="to clients",
                        value=lambda one: one.traffic.bytes_sent / (one.end - one.begin),
                    ),
                    Series(
                        name="from upstream",
                        value=lambda one: one.traffic.bytes_fetched / (one.end - one.begin),
                    ),
                ),
                said=wording.speed,
            ),
        )
        return self._shell.page(
            "overview.html",
            "/",
            span=span,
            spans=_SPANS,
            found=found,
            late=sum((one.traffic for one in intervals), Traffic()),
            plots=plots,
            health=await self._watch.health(),
            left_alone=self._watch.left_alone(),
            events=repeated(self._watch.events(Wanted()))[:10],
        )

    async def _events(self, request: web.Request) -> web.Response:
        sort, mirror = request.query.get("sort", ""), request.query.get("mirror", "")
        known = Sort(sort) if sort in SORTS else None
        return self._shell.page(
            "events.html",
            "/events",
            sort=sort,
            mirror=mirror,
            mirrors=[one.key for one in self._mirrors()],
            kept=KEPT,
            events=repeated(
                self._watch.events(Wanted(sort=known, mirror=mirror or None, limit=2000))
            ),
        )

    async def _setup(self, request: web.Request) -> web.Response:
        address = self._address(name_of(request.host))
        is_behind = address.startswith("unix:")  # something else passes requests on to it
        if is_behind:
            address = _SOMEWHERE
        mirrors = list(self._mirrors())
        return self._shell.page(
            "setup.html",
            "/setup",
            address=address,
            is_behind=is_behind,
            clients=clients(mirrors, address),
            urls=[f"{address}/{mirror.key}/" for mirror in mirrors],
        )

    # -- logging in ----------------------------------------------------------------------

    async def _login(self, request: web.Request) -> web.Response:
        return self._ask(_local(request.query.get("next", "/")))

    async def _logged_in(self, request: web.Request) -> web.Response:
        form = await request.post()
        self._guard.check_word(str(form.get("word", "")))
        onward = _local(str(form.get("next", "/")))
        if not self._guard.admits(str(form.get("token", "")), request.remote or ""):
            return self._ask(onward, code=403, problem="That is not the token.")
        response = web.Response(status=303, headers={"Location": onward})
        response.set_cookie(
            COOKIE,
            self._guard.session(),
            max_age=int(SESSION),
            httponly=True,
            samesite="Strict",
            secure=request.secure,
        )
        return response

    async def _logged_out(self, request: web.Request) -> web.Response:
        form = await request.post()
        self._guard.check_word(str(form.get("word", "")))
        response = web.Response(status=303, headers={"Location": "/login"})
        response.del_cookie(COOKIE)
        return response

    def _ask(self, onward: str, *, code: int = 200, problem: str = "") -> web.Response:
        return self._shell.page(
            "login.html", "", code=code, is_in=False, next=onward, problem=problem
        )


def _local(path: str) -> str:
    """*path* where it is one of this server, else the overview: no page sends people away."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_ours else "/"


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
