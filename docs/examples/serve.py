"""Zero-shot classification over HTTP. To start it: PIPELINE=folder uvicorn serve:app --app-dir docs/examples"""

import asyncio
import os
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.loading import open_pipeline

LARGEST_BATCH = 64
Texts = Annotated[list[str], Body(min_length=1, max_length=1000)]
nlp, pipe = open_pipeline(os.environ.get("PIPELINE", "bundled"))
waiting: asyncio.Queue = asyncio.Queue()
served = {"texts": 0, "batches": 0}


def score(batch: list) -> list[dict[str, Any] | Exception]:
    """Score what came while the last batch was scored: of each text its answer, or its own error."""
    docs, failed = [nlp.make_doc(text) for text, _, _ in batch], {}
    nlp.set_error_handler(lambda name, component, docs, error: failed.update({id(doc): error for doc in docs}))
    for doc, (_, labels, _) in zip(docs, batch):
        doc._.zero_shot_labels = labels
    list(nlp.pipe(docs, batch_size=len(docs)))
    return [failed.get(id(doc)) or {"cats": doc.cats, "labels": pipe.decide(doc).labels} for doc in docs]


@asynccontextmanager
async def lifespan(app: FastAPI):
    async def work() -> None:
        while batch := [await waiting.get()]:
            batch += [waiting.get_nowait() for _ in range(min(waiting.qsize(), LARGEST_BATCH - 1))]
            served.update(texts=served["texts"] + len(batch), batches=served["batches"] + 1)
            found = (await asyncio.gather(asyncio.to_thread(score, batch), return_exceptions=True))[0]
            for (_, _, future), result in zip(batch, found if isinstance(found, list) else [found] * len(batch)):
                if not future.done():  # else the client has gone
                    future.set_exception(result) if isinstance(result, Exception) else future.set_result(result)

    pipe.warm_up()
    worker = asyncio.create_task(work())
    yield
    worker.cancel()


app = FastAPI(title="Zero-shot classification", lifespan=lifespan)
app.get("/health")(lambda: served)


@app.post("/classify")
async def classify(texts: Texts, labels: Annotated[list[str] | None, Body()] = None) -> list[dict[str, Any]]:
    jobs = [(text, labels, asyncio.get_running_loop().create_future()) for text in texts]
    for job in jobs:
        waiting.put_nowait(job)
    try:
        return await asyncio.gather(*(future for _, _, future in jobs))
    except ZeroShotError as error:
        raise HTTPException(422, {"code": error.code, "message": str(error)}) from error
