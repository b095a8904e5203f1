"""A worker with one of everything a capability can do."""

from typing import Any

from base.worker import CapabilityError, Worker, WorkerContext

worker = Worker()


@worker.capability("demo.echo")
async def echo(task: dict[str, Any]) -> dict[str, Any]:
    print("echoing")
    return {"echo": task}


@worker.capability("demo.who")
async def who(task: dict[str, Any], context: WorkerContext) -> dict[str, Any]:
    return {"agent_id": context.agent_id, "display_name": context.display_name, "caps": list(context.offered_caps)}


@worker.capability("demo.picky")
async def picky(task: dict[str, Any]) -> dict[str, Any]:
    raise CapabilityError("the topic is missing")


@worker.capability("demo.broken")
async def broken(task: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("the cupboard is bare")


@worker.capability("demo.mute")
async def mute(task: dict[str, Any]) -> dict[str, Any]:
    return ["not", "an", "object"]  # type: ignore[return-value]


if __name__ == "__main__":
    worker.run()
