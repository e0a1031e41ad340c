"""Zero-shot classification over HTTP: PIPELINE=folder uvicorn serve:app --app-dir docs/examples."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import spacy
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, Field

from spacy_zeroshot.errors import ZeroShotError

LARGEST_BATCH = 64


class Job(BaseModel):
    texts: list[str] = Field(min_length=1, max_length=1000)
    labels: list[str] | None = None


def score(nlp: spacy.Language, jobs: list[Job]) -> list[list[dict[str, float]] | Exception]:
    """Score the texts of several jobs in one batch, or, if that fails, each job alone."""
    docs = [nlp.make_doc(text) for job in jobs for text in job.texts]
    for doc, labels in zip(docs, [job.labels for job in jobs for _ in job.texts]):
        doc._.zero_shot_labels = labels
    try:
        cats = iter([doc.cats for doc in nlp.pipe(docs)])
        return [[next(cats) for _ in job.texts] for job in jobs]
    except ZeroShotError as error:
        return [error] if len(jobs) == 1 else [result for job in jobs for result in score(nlp, [job])]


async def work(nlp: spacy.Language, queue: asyncio.Queue[tuple[Job, asyncio.Future]]) -> None:
    """Score what has arrived while the last batch was being scored."""
    while True:
        waiting = [await queue.get()]
        while not queue.empty() and sum(len(job.texts) for job, _ in waiting) < LARGEST_BATCH:
            waiting.append(queue.get_nowait())
        results = await asyncio.to_thread(score, nlp, [job for job, _ in waiting])
        for (_, future), result in zip(waiting, results):
            if not future.cancelled():
                future.set_exception(result) if isinstance(result, Exception) else future.set_result(result)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    nlp = spacy.load(os.environ["PIPELINE"])
    nlp.get_pipe("zero_shot_textcat").warm_up()  # type: ignore[attr-defined]
    app.state.queue = asyncio.Queue()
    worker = asyncio.create_task(work(nlp, app.state.queue))
    yield
    worker.cancel()


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/classify")
async def classify(job: Job, request: Request) -> list[dict[str, float]]:
    future = asyncio.get_running_loop().create_future()
    request.app.state.queue.put_nowait((job, future))
    try:
        return await future
    except ZeroShotError as error:
        raise HTTPException(422, {"code": error.code, "message": str(error)}) from error
