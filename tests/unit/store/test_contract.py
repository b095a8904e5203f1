"""The contract, for each store there is."""

from __future__ import annotations

import pytest

from aitp_playground.store.port import RunStore

from .conftest import MakeSqlite
from .contract import RunStoreContract
from .model import ModelRunStore


class TestSqliteOnDisk(RunStoreContract):
    @pytest.fixture
    async def store(self, make_sqlite: MakeSqlite) -> RunStore:
        opened: RunStore = await make_sqlite()
        return opened

    @pytest.fixture
    async def reporting(self, make_sqlite: MakeSqlite) -> RunStore:
        opened: RunStore = await make_sqlite(outbox=True)
        return opened


class TestSqliteInMemory(RunStoreContract):
    @pytest.fixture
    async def store(self, make_sqlite: MakeSqlite) -> RunStore:
        opened: RunStore = await make_sqlite(":memory:")
        return opened

    @pytest.fixture
    async def reporting(self, make_sqlite: MakeSqlite) -> RunStore:
        opened: RunStore = await make_sqlite(":memory:", outbox=True)
        return opened


class TestModel(RunStoreContract):
    """The model that the property test compares with keeps the contract as well."""

    @pytest.fixture
    async def store(self) -> RunStore:
        model: RunStore = ModelRunStore()
        await model.open()
        return model

    @pytest.fixture
    async def reporting(self) -> RunStore:
        model: RunStore = ModelRunStore(outbox=True)
        await model.open()
        return model
