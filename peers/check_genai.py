"""Continues prompts greedily with onnxruntime-genai, one line of JSON per prompt.

    python check_genai.py FOLDER EXPECTED_JSON

EXPECTED_JSON holds {"greedy": [{"inputIds": [...], "newIds": [...]}, ...]}, as models/sapling/expected.json does.
"""

import json
import sys

import onnxruntime_genai as genai


def continue_ids(model, ids, count):
    params = genai.GeneratorParams(model)
    params.set_search_options(do_sample=False, max_length=len(ids) + count)
    generator = genai.Generator(model, params)
    generator.append_tokens(ids)
    while not generator.is_done():
        generator.generate_next_token()
    return [int(token) for token in generator.get_sequence(0)][len(ids):]


def main():
    folder, expected = sys.argv[1:3]
    model = genai.Model(folder)
    with open(expected) as file:
        cases = json.load(file)["greedy"]
    equal = 0
    for case in cases:
        ids = continue_ids(model, case["inputIds"], len(case["newIds"]))
        equal += ids == case["newIds"]
        print(json.dumps({"equal": ids == case["newIds"], "ids": ids}))
    print(json.dumps({"version": genai.__version__, "equal": equal, "of": len(cases)}))
    return 0 if equal == len(cases) else 1


if __name__ == "__main__":
    sys.exit(main())
