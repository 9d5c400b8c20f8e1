"""The network behind FastAPI with nothing else: what benchmarks/serve.py compares the service with.

    python -m benchmarks.serving.bare_fastapi PACKAGE PORT [inline | threads]

It checks little of what it is sent, logs and counts nothing. inline: the endpoints are coroutines, and the
network runs on the event loop; threads: they are functions, which FastAPI runs in its threads.
"""

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import uvicorn
from fastapi import Depends, FastAPI, Request, Response
from PIL import Image

from benchmarks.serving.network import Network

network = Network(Path(sys.argv[1]))
app = FastAPI()


async def body(request: Request) -> bytes:
    return await request.body()


def predict(request: Request, data: bytes) -> Response:
    if request.headers["content-type"] == "image/png":
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    else:
        pixels = np.array(orjson.loads(data)["pixels"], dtype=np.uint8)
    return json_response(network.answers(pixels[None])[0])


def predict_batch(data: bytes) -> Response:
    items = orjson.loads(data)["items"]
    pixels = np.array([item["pixels"] for item in items], dtype=np.uint8)
    return json_response({"predictions": network.answers(pixels)})


def json_response(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


if sys.argv[3] == "inline":

    @app.post("/predict")
    async def predict_inline(request: Request) -> Response:
        return predict(request, await request.body())

    @app.post("/predict_batch")
    async def predict_batch_inline(request: Request) -> Response:
        return predict_batch(await request.body())

else:

    @app.post("/predict")
    def predict_in_thread(request: Request, data: Annotated[bytes, Depends(body)]) -> Response:
        return predict(request, data)

    @app.post("/predict_batch")
    def predict_batch_in_thread(data: Annotated[bytes, Depends(body)]) -> Response:
        return predict_batch(data)


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
