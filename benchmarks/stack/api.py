"""The API of the stack that TaskHub is compared with: FastAPI, PyJWT, SQLAlchemy, arq."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

import jwt
from arq import create_pool
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from benchmarks.stack.table import Base, Task, connect, now
from benchmarks.stack.worker import redis_settings

KEY = os.environ["STACK_KEY"]
engine, sessions = connect()
bearer = HTTPBearer()


class NewTask(BaseModel):
    """What a client may say."""

    title: str = Field(min_length=1, max_length=200)
    type: str = Field(default="noop", max_length=100)
    payload: dict[str, Any] = Field(default_factory=dict)


class TaskItem(BaseModel):
    """What it is answered."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(validation_alias="Id")
    title: str = Field(validation_alias="Title")
    type: str = Field(validation_alias="Type")
    status: str = Field(validation_alias="Status")
    payload: Any = Field(validation_alias="Payload")
    attempts: int = Field(validation_alias="Attempts")
    created_by: str = Field(validation_alias="CreatedBy")
    created_at: datetime = Field(validation_alias="CreatedAt")
    started_at: datetime | None = Field(validation_alias="StartedAt")
    finished_at: datetime | None = Field(validation_alias="FinishedAt")
    result: Any = Field(validation_alias="Result")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Make the table, connect to the queue."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    app.state.queue = await create_pool(redis_settings())
    yield
    await app.state.queue.aclose()
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


async def subject(sent: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    """Who asks; checked anew for each request, as everybody does."""
    try:
        claims = jwt.decode(
            sent.credentials, KEY, algorithms=["HS256"], audience="taskhub", issuer="bench"
        )
    except jwt.PyJWTError:
        raise HTTPException(401) from None
    if "tasks.write" not in claims.get("scope", "").split():
        raise HTTPException(403)
    return str(claims["sub"])


@app.post("/tasks", status_code=201)
async def create(
    new: NewTask, request: Request, creator: Annotated[str, Depends(subject)]
) -> TaskItem:
    """Store it, queue it, answer."""
    task = Task(
        Id=str(uuid.uuid4()),
        Title=new.title,
        Type=new.type,
        Status="Pending",
        Payload=new.payload,
        Attempts=0,
        CreatedBy=creator,
        CreatedAt=now(),
    )
    async with sessions() as session:
        session.add(task)
        await session.commit()
    await request.app.state.queue.enqueue_job("run", task.Id, _job_id=task.Id)
    return TaskItem.model_validate(task)
