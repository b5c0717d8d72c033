"""What the workers of one server ask of each other, answered by this one's gateway."""

from __future__ import annotations

from contextlib import AsyncExitStack

from proxy.app.in_force import InForce
from proxy.core.model import Resource
from proxy.gateway.answer import Answer, Want
from proxy.gateway.crew import Crew
from proxy.gateway.gateway import Gateway


async def meet(
    stack: AsyncExitStack, crew: Crew, gateway: Gateway, in_force: InForce, drain_timeout: float
) -> None:
    """Answer the siblings; on the way out give them *drain_timeout* seconds to read to the end
    what they asked for.
    """

    async def open_(resource: Resource, want: Want) -> Answer:
        return await gateway.open(resource, in_force.mirror(resource.mirror), want)

    async def refresh(resource: Resource) -> None:
        await gateway.refresh(resource, in_force.mirror(resource.mirror))

    await crew.listen(open_, refresh)
    stack.push_async_callback(crew.aclose)
    stack.push_async_callback(crew.drain, drain_timeout)
