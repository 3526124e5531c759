# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""The contract's types, a module for each package."""

#: Versions of the packages: the only place of this SDK that names them.
VERSIONS = {
    "annotations": "0.1.0",
    "artifacts": "0.1.0",
    "builder": "0.1.0",
    "cache": "0.1.0",
    "custom": "0.1.0",
    "detector": "0.1.0",
    "exec": "0.1.0",
    "health": "0.1.0",
    "http": "0.1.0",
    "images": "0.1.0",
    "log": "0.1.0",
    "migrator": "0.1.0",
    "rollout": "0.1.0",
    "source": "0.1.0",
    "types": "0.1.0",
}

#: By package and function: the type of the result, where it does not fail.
RESULTS = {
    "annotations.set": "None",
    "artifacts.attach": "None",
    "artifacts.append": "None",
    "builder.plan": "builder.BuildPlan",
    "cache.get": "bytes | None",
    "cache.put": "None",
    "cache.delete": "None",
    "custom.run": "custom.Outcome",
    "detector.detect": "detector.Report",
    "exec.run": "exec.Exit",
    "exec.spawn": "exec.Process",
    "health.policy-for": "health.Policy",
    "health.judge": "health.Verdict",
    "http.fetch": "http.Response",
    "images.config": "images.ImageConfig",
    "log.write": "None",
    "migrator.plan": "list[migrator.Migration]",
    "rollout.next": "rollout.Decision",
    "source.list-entries": "source.Listing",
    "source.read-many": "list[Ok[bytes] | Err[source.ReadError]]",
}
