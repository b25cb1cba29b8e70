"""A service as people write it with FastAPI and ONNX Runtime: `serve_fastapi.py MODEL PORT`; `bench/serve.ts` runs it beside ours.

POST /v2/models/model/infer takes the tensor of the model's one input as JSON (Open Inference Protocol V2), or with
Inference-Header-Content-Length as the protocol's binary form: everything in one event loop, JSON by orjson, nothing checked, the
fast way to write it. POST /predict takes the same JSON the way FastAPI is taught: a model of pydantic, a plain function.
"""

import json
import sys

import numpy
import onnxruntime
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
output = session.get_outputs()[0].name
app = FastAPI()


@app.get("/v2/models/model/ready")
async def ready():
    return {}


@app.post("/v2/models/model/infer")
async def infer(request: Request):
    body = await request.body()
    header = request.headers.get("inference-header-content-length")
    if header is not None:
        size = int(header)
        tensor = orjson.loads(body[:size])["inputs"][0]
        feed = numpy.frombuffer(body, numpy.float32, offset=size).reshape(tensor["shape"])
        result = session.run(None, {name: feed})[0]
        data = result.tobytes()
        described = {"name": output, "datatype": "FP32", "shape": result.shape, "parameters": {"binary_data_size": len(data)}}
        head = json.dumps({"model_name": "model", "outputs": [described]}).encode()
        return Response(head + data, media_type="application/octet-stream", headers={"Inference-Header-Content-Length": str(len(head))})
    tensor = orjson.loads(body)["inputs"][0]
    feed = numpy.asarray(tensor["data"], numpy.float32).reshape(tensor["shape"])
    result = session.run(None, {name: feed})[0]
    described = {"name": output, "datatype": "FP32", "shape": result.shape, "data": result.ravel()}
    return Response(orjson.dumps({"model_name": "model", "outputs": [described]}, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


class Tensor(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class Inference(BaseModel):
    inputs: list[Tensor]


@app.post("/predict")
def predict(body: Inference):
    tensor = body.inputs[0]
    result = session.run(None, {name: numpy.array(tensor.data, numpy.float32).reshape(tensor.shape)})[0]
    return {"outputs": [{"name": output, "datatype": "FP32", "shape": result.shape, "data": result.ravel().tolist()}]}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
