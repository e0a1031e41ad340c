"""Zero-shot classification over HTTP: PIPELINE=folder uvicorn serve:app --app-dir docs/examples."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import spacy
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from spacy_zeroshot.errors import ZeroShotError

LARGEST_BATCH = 64


class Request(BaseModel):
    texts: list[str] = Field(min_length=1, max_length=1000)
    labels: list[str] | None = None


def load() -> spacy.Language:
    nlp = spacy.load(os.environ["PIPELINE"])
    nlp.get_pipe("zero_shot_textcat").warm_up()
    return nlp


def score(nlp: spacy.Language, jobs: list) -> list:
    docs = [nlp.make_doc(text) for text, _, _ in jobs]
    for doc, (_, labels, _) in zip(docs, jobs):
        doc._.zero_shot_labels = labels
    return [doc.cats for doc in nlp.pipe(docs)]


async def work(nlp: spacy.Language, queue: asyncio.Queue) -> None:
    while True:
        jobs = [await queue.get()]
        while len(jobs) < LARGEST_BATCH and not queue.empty():
            jobs.append(queue.get_nowait())
        try:
            results = await asyncio.to_thread(score, nlp, jobs)
        except ZeroShotError as error:
            results = [error] * len(jobs)
        for (_, _, future), result in zip(jobs, results):
            with suppress(asyncio.InvalidStateError):  # the client has gone
                future.set_exception(result) if isinstance(result, ZeroShotError) else future.set_result(result)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.queue = asyncio.Queue()
    worker = asyncio.create_task(work(load(), app.state.queue))
    yield
    worker.cancel()


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/classify")
async def classify(request: Request) -> list[dict[str, float]]:
    futures = [asyncio.get_running_loop().create_future() for _ in request.texts]
    for text, future in zip(request.texts, futures):
        app.state.queue.put_nowait((text, request.labels, future))
    try:
        return await asyncio.gather(*futures)
    except ZeroShotError as error:
        raise HTTPException(422, {"code": error.code, "message": str(error)}) from error
