"""The pages of policies: what each says and hides, and what a change of one would do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from proxy.config.policies import NONE
from proxy.errors import ConfigError, UnknownMirror
from proxy.web.admin.guard import Guard
from proxy.web.admin.policies import (
    About,
    Change,
    Changed,
    PolicyDesk,
    UnknownPolicy,
)
from proxy.web.admin.shell import Shell
from proxy.web.paths import Mirrors

SHOWN = 500
"""Files that a page names at the most."""

_HERE = "/policies"
_DIFF = f"{_HERE}/diff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The form of a comparison as it was filled in; "": what holds now, or the text."""

    mirror: str = ""
    old: str = ""
    new: str = ""
    text: str = ""

    @classmethod
    def of(cls, form: Mapping[str, object]) -> Asked:
        """What was sent."""
        mirror, old, new = (str(form.get(name, "")) for name in ("mirror", "old", "new"))
        text = str(form.get("text", "")).replace("\r\n", "\n")
        return cls(mirror=mirror, old=old, new=new, text=text)

    @property
    def change(self) -> Change:
        """Raises ConfigError where it says too much or too little."""
        has_text = bool(self.text.strip())
        if has_text == bool(self.new):
            raise ConfigError(
                "choose the new policy, or paste its text"
                + ("; not both, for it is not clear which is meant" if has_text else "")
            )
        return Change(
            mirror=self.mirror,
            old=self.old or None,
            new=self.new or None,
            text=self.text if has_text else None,
        )


class PolicyPages:
    """Handlers of the pages."""

    def __init__(
        self, shell: Shell, guard: Guard, *, policies: PolicyDesk, mirrors: Callable[[], Mirrors]
    ) -> None:
        self._shell = shell
        self._guard = guard
        self._policies = policies
        self._mirrors = mirrors

    def routes(self) -> list[web.AbstractRouteDef]:
        """For the application's router."""
        return [
            web.get(_HERE, self._show),
            web.get(_DIFF, self._ask),
            web.post(_DIFF, self._compare),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        mirror, package = request.query.get("mirror", ""), request.query.get("package", "").strip()
        verdicts = None
        if package:
            found = await self._policies.explain(About(mirror=mirror, package=package))
            verdicts = found.files
        return self._shell.page(
            "policies.html",
            _HERE,
            policies=self._policies.views(),
            mirrors=self._judged(),
            mirror=mirror,
            package=package,
            verdicts=verdicts,
        )

    async def _ask(self, request: web.Request) -> web.Response:
        return self._form(Asked(mirror=request.query.get("mirror", "")))

    async def _compare(self, request: web.Request) -> web.Response:
        form = await request.post()
        self._guard.check_word(str(form.get("word", "")))
        asked = Asked.of(form)
        try:
            return self._form(asked, changed=await self._policies.compare(asked.change))
        except (ConfigError, UnknownPolicy, UnknownMirror) as error:
            return self._form(asked, problem=str(error))

    def _form(
        self, asked: Asked, *, changed: Changed | None = None, problem: str = ""
    ) -> web.Response:
        return self._shell.page(
            "policy_diff.html",
            _HERE,
            code=422 if problem else 200,
            asked=asked,
            mirrors=self._judged(),
            names=[*(one.name for one in self._policies.views()), NONE],
            changed=changed,
            problem=problem,
            shown=SHOWN,
        )

    def _judged(self) -> list[str]:
        """The mirrors for which there are policies."""
        return [one.key for one in self._mirrors() if one.type != "files"]
