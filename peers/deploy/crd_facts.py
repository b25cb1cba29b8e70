"""Takes out of custom resource definitions what the manifests of `penjing deploy` are checked against.

    git clone https://github.com/kubernetes-sigs/lws && git clone https://github.com/kserve/kserve && git clone https://github.com/kedacore/keda
    python peers/deploy/crd_facts.py lws kserve keda > apps/server/src/deploy/testing/crd-facts.json

Names, types, allowed values and what is required; no descriptions, and nothing of pods, which the schemas of Kubernetes
itself check. All three projects are under the Apache License 2.0; the output names their commits.
"""

import json
import subprocess
import sys

import yaml

# File of a definition, and the paths below which only types are kept. '*' stands for every property.
SOURCES = {
    "lws": [("config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml", ["spec.leaderWorkerTemplate.leaderTemplate", "spec.leaderWorkerTemplate.workerTemplate", "spec.leaderWorkerTemplate.volumeClaimTemplates"])],
    "kserve": [
        ("config/crd/full/serving.kserve.io_inferenceservices.yaml", ["spec.*.*", "spec.predictor.model"]),
        ("config/crd/full/serving.kserve.io_servingruntimes.yaml", ["spec.containers", "spec.volumes", "spec.affinity", "spec.workerSpec", "spec.tolerations", "spec.imagePullSecrets", "spec.resourceClaims"]),
    ],
    "keda": [("config/crd/bases/keda.sh_scaledobjects.yaml", [])],
}
# Kept although they lie below one of those.
DEEPER = {"spec.predictor.model": 1, "spec.predictor.model.modelFormat": 2}
KEPT = ("type", "enum", "required", "minimum", "maximum", "format", "x-kubernetes-int-or-string", "additionalProperties")


def facts(schema, path, cut):
    kept = {key: schema[key] for key in KEPT if key in schema}
    if isinstance(kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = facts(kept["additionalProperties"], path + ".*", cut)
    if path not in DEEPER and any(matches(path, pattern) for pattern in cut):
        kept.pop("required", None)
        return kept
    if "items" in schema:
        kept["items"] = facts(schema["items"], path, cut)
    if "properties" in schema:
        kept["properties"] = {name: facts(inner, f"{path}.{name}", cut) for name, inner in schema["properties"].items()}
        kept.setdefault("additionalProperties", False)
    return kept


def matches(path, pattern):
    parts, wanted = path.split("."), pattern.split(".")
    return len(parts) >= len(wanted) and all(b in ("*", a) for a, b in zip(parts, wanted))


def git(folder, *args):
    return subprocess.run(["git", "-C", folder, *args], capture_output=True, text=True, check=True).stdout


def main(folders):
    kinds, origin = {}, {}
    for (project, files), folder in zip(SOURCES.items(), folders):
        origin[project] = {"commit": git(folder, "rev-parse", "HEAD").strip(), "license": "Apache-2.0"}
        for file, cut in files:
            definition = yaml.safe_load(git(folder, "show", f"HEAD:{file}"))["spec"]
            for version in definition["versions"]:
                spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
                kinds[f"{definition['group']}/{version['name']} {definition['names']['kind']}"] = facts(spec, "spec", cut)
    json.dump({"origin": origin, "kinds": kinds}, sys.stdout, indent=1)
    print()


main(sys.argv[1:])
