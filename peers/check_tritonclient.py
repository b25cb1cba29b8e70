"""Triton's Python client, by HTTP and gRPC, against `penjing serve --grpc-port`.

    check_tritonclient.py HTTP_ADDRESS GRPC_ADDRESS MODEL

MODEL takes one float32 tensor [batch, n] and gives one back; every way of asking has to give the same. Prints one line
of JSON per check, and ends with an error at the first that fails.
"""

import json
import queue
import sys

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

WIDTH = 2


def tell(check, **facts):
    print(json.dumps({"check": check, **facts}))


def refusal(work):
    """The error of a call that must not succeed."""
    try:
        work()
    except InferenceServerException as error:
        return error
    raise AssertionError("a call that must be refused was answered")


def check(kind, module, client, name):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(name), "not ready"
    as_json = {} if module is http else {"as_json": True}
    server = client.get_server_metadata(**as_json)
    metadata = client.get_model_metadata(name, **as_json)
    config = client.get_model_config(name, **as_json)
    config = config.get("config", config)
    [given], [taken] = metadata["outputs"], metadata["inputs"]
    tell(f"{kind} metadata", server=server["name"], platform=metadata["platform"], max_batch_size=config.get("max_batch_size"))

    rows = np.arange(3 * WIDTH, dtype=np.float32).reshape(3, WIDTH)

    def ask(binary, **options):
        tensor = module.InferInput(taken["name"], list(rows.shape), "FP32")
        how = {"binary_data": binary} if module is http else {}
        tensor.set_data_from_numpy(rows, **how)
        return client.infer(name, [tensor], outputs=[module.InferRequestedOutput(given["name"], **how)], request_id="seven", **options)

    replies = [ask(binary) for binary in ([True, False] if module is http else [True])]
    for reply in replies:
        np.testing.assert_array_equal(reply.as_numpy(given["name"]), replies[0].as_numpy(given["name"]))
        head = reply.get_response()
        assert (head["id"] if module is http else head.id) == "seven", "the id was not echoed"
    tell(f"{kind} infer", shape=list(replies[0].as_numpy(given["name"]).shape), ways=len(replies))

    wrong = module.InferInput(taken["name"], [1, WIDTH + 1], "FP32")
    wrong.set_data_from_numpy(np.zeros([1, WIDTH + 1], np.float32))
    refused = refusal(lambda: client.infer(name, [wrong]))
    missing = refusal(lambda: client.get_model_metadata("nobody"))
    tell(f"{kind} refusals", shape=[refused.status(), refused.message()], model=[missing.status(), missing.message()])

    index = client.get_model_repository_index(**as_json)
    client.unload_model(name)
    assert not client.is_model_ready(name), "an unloaded model is ready"
    unavailable = refusal(lambda: ask(True))
    client.load_model(name)
    assert client.is_model_ready(name), "a loaded model is not ready"
    files = refusal(lambda: client.load_model(name, config="{}", files={"file:1/model.onnx": b"x"}))
    tell(f"{kind} repository", models=len(index.get("models", index) if isinstance(index, dict) else index), unloaded=unavailable.status(), files=files.status())

    again = ask(True).as_numpy(given["name"])
    np.testing.assert_array_equal(again, replies[0].as_numpy(given["name"]))
    statistics = client.get_inference_statistics(name, **as_json)["model_stats"][0]
    assert int(statistics["inference_stats"]["success"]["count"]) >= 1, "no success was counted"
    tell(f"{kind} statistics", executions=int(statistics["execution_count"]))
    return again


def check_stream(client, name, expected):
    """Requests on one stream come back in order; one that is wrong does not end it."""
    got = queue.Queue()
    client.start_stream(lambda result, error: got.put((result, error)))
    metadata = client.get_model_metadata(name)
    tensor = grpc.InferInput(metadata.inputs[0].name, list(expected.shape), "FP32")
    tensor.set_data_from_numpy(np.arange(expected.size, dtype=np.float32).reshape(expected.shape))
    for i in range(10):
        client.async_stream_infer("nobody" if i == 4 else name, [tensor], request_id=str(i))
    answers = [got.get(timeout=30) for _ in range(10)]
    client.stop_stream()
    assert [error is not None for _, error in answers] == [i == 4 for i in range(10)], answers
    for i, (result, error) in enumerate(answers):
        if error is None:
            assert result.get_response().id == str(i)
            np.testing.assert_array_equal(result.as_numpy(metadata.outputs[0].name), expected)
    tell("gRPC stream", answers=len(answers), refused=str(answers[4][1]))


def main(http_address, grpc_address, name):
    with http.InferenceServerClient(http_address) as by_http, grpc.InferenceServerClient(grpc_address) as by_grpc:
        first = check("HTTP", http, by_http, name)
        second = check("gRPC", grpc, by_grpc, name)
        np.testing.assert_array_equal(first, second)
        check_stream(by_grpc, name, second)
    tell("all", passed=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
