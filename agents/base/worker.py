"""What a worker's author imports: declare capabilities, then run.

worker = Worker()

@worker.capability("demo.echo")
async def echo(task): return {"echo": task}

if __name__ == "__main__":
    worker.run()
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

from base.capabilities import Function, WorkerContext
from base.refusals import CapabilityError

__all__ = ["CapabilityError", "Worker", "WorkerContext"]

_F = TypeVar("_F", bound=Function)


class Worker:
    """A set of named functions and the process that serves them."""

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}

    def capability(self, name: str) -> Callable[[_F], _F]:
        """Declare the decorated coroutine function as the capability ``name``.

        It takes the task (a JSON object) and, when it declares a second parameter, the :class:`WorkerContext`; it
        returns a JSON object. It raises :class:`CapabilityError` for input it cannot work with.
        """

        def register(function: _F) -> _F:
            if name in self.functions:
                raise ValueError(f"the capability {name} is declared twice")
            is_async: bool = inspect.iscoroutinefunction(function)
            if not is_async:
                raise TypeError(f"the capability {name} is not an async function")
            self.functions[name] = function
            return function

        return register

    def run(self) -> None:
        """Serve until the service says stop or is gone. Does not return: the process ends."""
        from base.process.serving import run

        run(self.functions)
