"""Builds and runs applications that say in `my-plugin.json` how.

    { "image": "debian:bookworm-slim", "build": "./build.sh", "run": "./server", "port": 8080 }
"""

from windlass_plugin import (
    Builder,
    Context,
    Detection,
    Detector,
    Evidence,
    PluginError,
    Source,
    log,
    notes,
    notes_of,
    settings,
)
from windlass_plugin.plan import Base, Plan, copy, shell

#: The file that is looked for.
FILE = "my-plugin.json"


class Plugin(Detector, Builder):
    """The plugin: a class that derives from each stage that it fills."""

    # A builder is asked for what a detector of the same plugin recognised.
    def detect(self, ctx: Context, source: Source) -> Detection | None:
        # A file that does not read is an error that names its line; one that is not there is none.
        app = source.json(FILE)
        if app is None:
            return None
        return Detection(
            id="my-plugin",
            name="an application of my-plugin",
            ecosystem="my-plugin",
            confidence=80,
            evidence=[Evidence(FILE, f"image: {app['image']}")],
            notes_json=notes(app),
        )

    def plan(self, ctx: Context, source: Source, chosen: Detection) -> Plan:
        app = notes_of(chosen)
        said = settings(ctx)
        # What is set in windlass.toml comes before anything that a plugin finds out by itself.
        command = said.run.command or app.get("run")
        if not command:
            hint = f'add "run" to {FILE}, or set `run.command`'
            raise PluginError("my-plugin.no-command", "nothing says how it is started", hint)
        ops = [copy(["**"], "/app/", parents=True, exclude=[FILE])]
        line = said.build.command or app.get("build")
        if line:
            log.info(f"it is built with: {line}")
            # A command has the network only where it says so.
            ops.append(shell(line, network=True))
        port = said.run.port or app.get("port")
        plan = Plan().step("app", "build the application", Base.image(app["image"]), ops)
        plan.image("app", "app", user="1000:1000")
        argv = ["/bin/sh", "-c", f"exec {command}"]
        return plan.web("web", "app", argv, [port] if port else [])
