"""The pages of mirrors: how they stand, the form, runs, and what is asked before it is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import quote

from aiohttp import web

from proxy.core.frequency import USUAL, Frequency
from proxy.core.policy import Policy
from proxy.core.policy_text import summary
from proxy.errors import ConfigError, Conflict, ProxyError, UnknownMirror
from proxy.gateway.closures import lists
from proxy.gateway.explaining import is_pattern
from proxy.mirror.port import MirrorDefinition, Mirrors, MirrorStatus, Origin
from proxy.web.admin import forms
from proxy.web.admin.guard import Guard
from proxy.web.admin.policies import About, Explained, PolicyDesk
from proxy.web.admin.shell import Shell

_HERE = "/mirrors"

_SAID = {
    "created": "The mirror is made, and served.",
    "edited": "The mirror is changed.",
    "deleted": "The mirror is deleted. What it had is left to the cache's limits.",
    "run": "A run has begun.",
    "stop": "The run is being stopped; what was fetched stays.",
    "freeze": "The mirror is frozen: clients see its indexes as they are now.",
    "unfreeze": "The mirror is no longer frozen: clients see what upstream has.",
}
"""What a page says after something was done; the address names it by its key only."""


class MirrorPages:
    """Handlers of `/mirrors`."""

    def __init__(
        self,
        shell: Shell,
        guard: Guard,
        *,
        mirrors: Mirrors,
        policy_desk: PolicyDesk,
        policies: Callable[[], Mapping[str, Policy]],
        in_force: Callable[[str], Policy | None],
    ) -> None:
        """*policies*: by name; *in_force*: the one of the mirror with that key."""
        self._shell = shell
        self._guard = guard
        self._mirrors = mirrors
        self._policy_desk = policy_desk
        self._policies = policies
        self._in_force = in_force

    def routes(self) -> list[web.AbstractRouteDef]:
        """For the application's router."""
        one = f"{_HERE}/{{key}}"
        return [
            web.get(_HERE, self._list),
            web.get(f"{_HERE}/new", self._new),
            web.post(f"{_HERE}/new", self._create),
            web.get(one, self._show),
            web.get(f"{one}/edit", self._edit),
            web.post(f"{one}/edit", self._edited),
            web.get(f"{one}/delete", self._ask_to_delete),
            web.post(f"{one}/delete", self._delete),
            web.get(f"{one}/unfreeze", self._ask_to_unfreeze),
            web.post(f"{one}/unfreeze", self._doing("unfreeze", self._mirrors.unfreeze)),
            web.post(f"{one}/freeze", self._doing("freeze", self._mirrors.freeze)),
            web.post(f"{one}/run", self._doing("run", self._mirrors.run)),
            web.post(f"{one}/stop", self._doing("stop", self._mirrors.stop)),
            web.get(f"{one}/runs/{{run}}", self._details),
            web.get(f"{one}/report", self._report),
        ]

    # -- looking -------------------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.Response:
        return self._shell.page(
            "mirrors.html", _HERE, statuses=self._mirrors.list(), said=_said(request)
        )

    async def _show(self, request: web.Request) -> web.Response:
        status = self._mirrors.show(request.match_info["key"])
        key = status.definition.key
        runs = self._mirrors.runs(key)
        package = request.query.get("package", "").strip()
        return self._shell.page(
            "mirror.html",
            _HERE,
            mirror=status,
            runs=runs,
            details=await self._mirrors.details(key, runs[0].id) if runs else None,
            is_ours=status.definition.origin is Origin.RUNTIME,
            summary=_read_aloud(self._in_force(key)),
            has_report=_has_report(status, self._in_force(key)),
            package=package,
            is_pattern=is_pattern(package),
            found=await self._verdicts(key, package) if package else None,
            said=_said(request),
        )

    async def _verdicts(self, key: str, package: str) -> Explained:
        return await self._policy_desk.explain(About(mirror=key, package=package))

    async def _details(self, request: web.Request) -> web.Response:
        key, run = request.match_info["key"], request.match_info["run"]
        details = await self._mirrors.details(key, run)
        return self._shell.page("run.html", _HERE, key=key, details=details)

    async def _report(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        report = await self._mirrors.report(key)
        return self._shell.page("report.html", _HERE, key=key, report=report)

    # -- the form ------------------------------------------------------------------------

    async def _new(self, request: web.Request) -> web.Response:
        return self._form({"type": "conda", "mode": "passive"})

    async def _create(self, request: web.Request) -> web.Response:
        form = await self._posted(request)
        values = forms.values_of(form)
        is_check = form.get("action") == "check"
        try:
            if is_check:
                would_be = await self._mirrors.check(values)
                return self._form(values, would_be=would_be)
            status = await self._mirrors.create(values)
        except (ConfigError, Conflict) as error:
            return self._form(values, problem=error)
        return _onward(_place(status.definition.key), "created")

    async def _edit(self, request: web.Request) -> web.Response:
        status = self._mirrors.show(request.match_info["key"])
        return self._form(status.definition.values, status=status)

    async def _edited(self, request: web.Request) -> web.Response:
        status = self._mirrors.show(request.match_info["key"])
        form = await self._posted(request)
        values = forms.values_of(form)
        is_check = form.get("action") == "check"
        try:
            if is_check:
                would_be = await self._mirrors.check(values, status.definition.key)
                return self._form(values, status=status, would_be=would_be)
            await self._mirrors.edit(status.definition.key, values)
        except (ConfigError, Conflict) as error:
            return self._form(values, status=status, problem=error)
        return _onward(_place(status.definition.key), "edited")

    def _form(
        self,
        values: Mapping[str, object],
        *,
        status: MirrorStatus | None = None,
        problem: ProxyError | None = None,
        would_be: MirrorDefinition | None = None,
    ) -> web.Response:
        """*would_be* is to be read aloud."""
        policies = sorted(self._policies())
        key = None if status is None else status.definition.key
        return self._shell.page(
            "mirror_form.html",
            _HERE,
            code=200 if problem is None else 422,
            key=key,
            action=f"{_HERE}/new" if key is None else f"{_place(key)}/edit",
            groups=forms.groups(values, policies, is_new=status is None),
            problem="" if problem is None else str(problem),
            reading=() if would_be is None else self._reading(values),
            doubts=() if would_be is None else would_be.doubts,
            cadence=_cadence(values),
        )

    def _reading(self, values: Mapping[str, object]) -> Sequence[str]:
        """What the form would make, in words."""
        lines: list[str] = []
        if values.get("mode") == "active":
            lines.append(_cadence(values))
        named = self._policies().get(str(values.get("policy", "")))
        if named is not None:
            lines += summary(named)
        for name, said in (("exclude", "Refused before that"), ("include", "except")):
            if listed := values.get(name):
                lines.append(
                    f"{said}: {', '.join(listed) if isinstance(listed, list) else listed}."
                )
        return lines or ["Everything is allowed, unless the policy for all mirrors refuses it."]

    # -- doing ---------------------------------------------------------------------------

    async def _ask_to_delete(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        # Of two of one key the one that was made here can be deleted: it comes last.
        found = [one for one in self._mirrors.list() if one.definition.key == key]
        if not found:
            raise UnknownMirror(f"there is no mirror {key}")
        return self._shell.page("mirror_delete.html", _HERE, mirror=found[-1])

    async def _delete(self, request: web.Request) -> web.Response:
        await self._posted(request)
        await self._mirrors.delete(request.match_info["key"])
        return _onward(_HERE, "deleted")

    async def _ask_to_unfreeze(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        difference = await self._mirrors.difference(key)
        return self._shell.page("mirror_unfreeze.html", _HERE, key=key, difference=difference)

    def _doing(
        self, name: str, work: Callable[[str], Awaitable[object]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            await self._posted(request)
            key = request.match_info["key"]
            await work(key)
            return _onward(_place(key), name)

        return handle

    async def _posted(self, request: web.Request) -> Mapping[str, object]:
        """The form, which has to be ours. Raises NotForYou."""
        form = await request.post()
        self._guard.check_word(str(form.get("word", "")))
        return form


def _read_aloud(policy: Policy | None) -> Sequence[str]:
    return ["Everything is allowed."] if policy is None else list(summary(policy))


def _has_report(status: MirrorStatus, policy: Policy | None) -> bool:
    """Whether anything is kept for its dependents' sake, by the policy or by the scope."""
    values = status.definition.values
    by_scope = status.frequency is not None and bool(values.get("specs"))
    return bool(lists(policy)) or (by_scope and values.get("dependencies", True) is True)


def _cadence(values: Mapping[str, object]) -> str:
    """In words, when the mirror that *values* describe would be run, or what is wrong there."""
    text = str(values.get("frequency") or USUAL)
    try:
        return f"Runs: {Frequency.of(text).aloud}."
    except ValueError as error:
        return f"Frequency: {error}."


def _place(key: str) -> str:
    return f"{_HERE}/{quote(key, safe='')}"


def _said(request: web.Request) -> str:
    return _SAID.get(request.query.get("said", ""), "")


def _onward(place: str, said: str) -> web.Response:
    """To a page that can be loaded again without doing it again."""
    return web.Response(status=303, headers={"Location": f"{place}?said={said}"})
