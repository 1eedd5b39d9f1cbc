"""The table of the stack that TaskHub is compared with, as SQLAlchemy's tutorial would have it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Index, String, event
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Of all tables."""


class Task(Base):
    """One task; the columns that such an application needs, with TaskHub's statuses."""

    __tablename__ = "Tasks"
    __table_args__ = (Index("by_status", "Status"), Index("by_creation", "CreatedAt"))

    Id: Mapped[str] = mapped_column(String(36), primary_key=True)
    Title: Mapped[str] = mapped_column(String(200))
    Type: Mapped[str] = mapped_column(String(100))
    Status: Mapped[str] = mapped_column(String(10))
    Payload: Mapped[Any] = mapped_column(JSON)
    Attempts: Mapped[int] = mapped_column(default=0)
    CreatedBy: Mapped[str] = mapped_column(String(200))
    CreatedAt: Mapped[datetime] = mapped_column(DateTime)
    StartedAt: Mapped[datetime | None] = mapped_column(DateTime)
    FinishedAt: Mapped[datetime | None] = mapped_column(DateTime)
    Result: Mapped[Any] = mapped_column(JSON, nullable=True)


def connect() -> tuple[AsyncEngine, async_sessionmaker[Any]]:
    """The engine on the benchmark's file (WAL, durable like TaskHub's), and its sessions."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{os.environ['STACK_DB']}")

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 30000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine, async_sessionmaker(engine, expire_on_commit=False)


def now() -> datetime:
    """UTC."""
    return datetime.now(UTC)
