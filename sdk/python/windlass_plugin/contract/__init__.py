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

#: By package and function: the types of the parameters, of the result, of the error.
FUNCTIONS = {
    "annotations.set": (("annotations.Annotation",), "None", "annotations.AnnotationError"),
    "artifacts.attach": (("artifacts.Artifact", "bytes"), "None", "artifacts.ArtifactError"),
    "artifacts.append": (("str", "bytes"), "None", "artifacts.ArtifactError"),
    "builder.plan": (("types.Context", "types.Detection"), "builder.BuildPlan", "types.PluginError"),
    "cache.get": (("str",), "bytes | None", "None"),
    "cache.put": (("str", "bytes"), "None", "cache.CacheError"),
    "cache.delete": (("str",), "None", "cache.CacheError"),
    "custom.run": (("str", "types.Context", "custom.Facts", "list[custom.Input]"), "custom.Outcome", "types.PluginError"),
    "detector.detect": (("types.Context",), "detector.Report", "types.PluginError"),
    "exec.run": (("exec.Command",), "exec.Exit", "exec.ExecError"),
    "exec.spawn": (("exec.Command",), "exec.Process", "exec.ExecError"),
    "health.policy-for": (("types.Context", "types.Detection", "list[health.Process]"), "health.Policy", "types.PluginError"),
    "health.judge": (("types.Context", "health.Policy", "list[health.Observation]"), "health.Verdict", "types.PluginError"),
    "http.fetch": (("http.Request",), "http.Response", "http.HttpError"),
    "images.config": (("str", "str"), "images.ImageConfig", "images.ImageError"),
    "log.write": (("log.Level", "str", "types.KeyValues"), "None", "None"),
    "migrator.plan": (("types.Context", "types.Detection", "list[str]"), "list[migrator.Migration]", "types.PluginError"),
    "rollout.next": (("types.Context", "rollout.State"), "rollout.Decision", "types.PluginError"),
    "source.list-entries": (("source.ListOptions",), "source.Listing", "source.ReadError"),
    "source.read-many": (("list[str]", "int"), "list[Ok[bytes] | Err[source.ReadError]]", "None"),
}
