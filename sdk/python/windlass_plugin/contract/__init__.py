# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""The contract's types, a module for each package."""

#: Versions of the packages: the only place of this SDK that names them.
VERSIONS = {
    "annotations": "1.0.0",
    "artifacts": "1.0.0",
    "builder": "1.0.0",
    "cache": "1.0.0",
    "custom": "1.0.0",
    "detector": "1.0.0",
    "exec": "1.0.0",
    "health": "1.0.0",
    "http": "1.0.0",
    "images": "1.0.0",
    "log": "1.0.0",
    "migrator": "1.0.0",
    "rollout": "1.0.0",
    "source": "1.0.0",
    "types": "1.0.0",
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
