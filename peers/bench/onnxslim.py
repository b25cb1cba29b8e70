"""How many nodes OnnxSlim leaves in each model of the shared test material.

    python onnxslim.py DATA_FOLDER [OUT.json]     # default: tests/fixtures/simplify/onnxslim.json

Every .onnx under models/ and in the archives light and onnxruntime-testdata; or, with --also FOLDER, only those of
that folder (onnxslim-converted.json: the models that bench/write-converted.ts writes). Per model: {nodes, ops} before and after, nested graphs and function bodies counted too, and the sizes of
both files; or {error} when OnnxSlim or the ONNX package does not take it. Constant nodes are counted apart (`constants`),
because they are stored values and no computation. Each model runs in a process of its own.
"""

import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import sys
import tarfile
import tempfile

# This file has the name of the package: its own folder must not be searched.
sys.path = [entry for entry in sys.path if pathlib.Path(entry).resolve() != pathlib.Path(__file__).resolve().parent]

ARCHIVES = ["onnx-backend/light.tar.gz", "onnxruntime-testdata/onnxruntime-testdata.tar.gz"]
SECONDS = 180


def histogram(model):
    counts = collections.Counter()

    def walk(nodes):
        for node in nodes:
            counts[node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"] += 1
            for attribute in node.attribute:
                for graph in (attribute.g, *attribute.graphs):
                    walk(graph.node)

    walk(model.graph.node)
    for function in model.functions:
        walk(function.node)
    constants = counts.pop("Constant", 0)
    return {"nodes": sum(counts.values()), "constants": constants, "ops": dict(sorted(counts.items()))}


def slim_one(path, out, queue):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        before = histogram(onnx.load(path, load_external_data=False))
        onnxslim.slim(path, out)
        after = histogram(onnx.load(out, load_external_data=False))
        queue.put({"before": before, "after": after, "bytes": [os.path.getsize(path), os.path.getsize(out)]})
    except BaseException as error:  # noqa: B902 - OnnxSlim exits the process on some models
        queue.put({"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]})


def run(path, out):
    queue = multiprocessing.Queue()
    child = multiprocessing.Process(target=slim_one, args=(str(path), str(out), queue))
    child.start()
    child.join(SECONDS)
    if child.is_alive():
        child.kill()
        child.join()
        return {"error": f"no result in {SECONDS} s"}
    return queue.get() if not queue.empty() else {"error": f"the process ended with {child.exitcode}"}


def main():
    # Imported once, before the processes fork.
    global onnx, onnxslim
    import onnx
    import onnxslim

    multiprocessing.set_start_method("fork")
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path, nargs="?", default=pathlib.Path(__file__).parents[2] / "tests/fixtures/simplify/onnxslim.json")
    parser.add_argument("--also", type=pathlib.Path, help="a folder of further .onnx files")
    parser.add_argument("--brief", action="store_true", help="only the numbers of nodes")
    parser.add_argument("--keep", type=pathlib.Path, help="keep the slimmed files here")
    args = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        roots = [("models", args.data / "models")]
        if args.also:
            roots = [("", args.also)]
        else:
            for archive in ARCHIVES:
                name = archive.split("/")[1].removesuffix(".tar.gz")
                root = pathlib.Path(scratch) / name
                with tarfile.open(args.data / archive) as tar:
                    tar.extractall(root, filter="data")
                roots.append((name, root))
        for name, root in roots:
            for path in sorted(root.rglob("*.onnx")):
                key = f"{name}/{path.name if name == 'models' else path.relative_to(root)}".removeprefix("/")
                out = pathlib.Path(scratch) / "out.onnx"
                if args.keep:
                    out = args.keep / key
                    out.parent.mkdir(parents=True, exist_ok=True)
                results[key] = run(path, out)
                if args.brief and "after" in results[key]:
                    results[key] = {when: {"nodes": results[key][when]["nodes"]} for when in ("before", "after")}
                print(key, results[key].get("error") or (results[key]["before"]["nodes"], results[key]["after"]["nodes"]), file=sys.stderr)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"version": onnxslim.__version__, "models": results}, **({} if args.brief else {"indent": 1})) + "\n")


if __name__ == "__main__":
    main()
