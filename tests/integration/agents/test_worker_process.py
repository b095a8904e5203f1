"""A worker's life as a process."""

from __future__ import annotations


async def test_started_worker_announces_itself_and_executes_its_own_capability(start, sink):
    worker = await start("alice")
    answer = await worker.admin("self-execute", {"capability": "demo.echo", "input": {"n": 1}})
    assert (answer.status, answer.body) == (200, {"result": {"echo": {"n": 1}}, "emitter_seq": 1})
    [event] = await sink.wait_for("capability.self_execute")
    assert (event["capability"], event["emitter_seq"]) == ("demo.echo", 1)
