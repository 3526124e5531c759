"""Uses everything that a pure stage may use; src/plugin.ts of the folder beside it does the same. The file `behave`
in the source says what else happens.
"""

import json

from windlass_plugin import (
    Builder,
    Custom,
    Detection,
    Detector,
    Evidence,
    Health,
    HealthCheck,
    HostError,
    Migration,
    MigrationVerdict,
    Migrator,
    NearMiss,
    PluginError,
    Report,
    Toolchain,
    annotations,
    artifacts,
    cache,
    done,
    exec,
    http,
    images,
    log,
    notes,
    notes_of,
    plan,
    settings,
)


def behave(source):
    how = (source.text("behave") or "").strip()
    if how == "refuse":
        raise PluginError("probe.refused", "refused as asked", "ask for something else", retryable=True)
    if how == "trap":
        raise ArithmeticError("trapped as asked")


def why(work):
    """What it gives, or the host's reason not to."""
    try:
        return str(work())
    except HostError as error:
        return error.reason


class Detects(Detector, Builder):
    def detect(self, ctx, source):
        behave(source)
        files = source.files(["**/*.txt"])
        sizes = [f"{one.path} has {one.size} bytes" for one in source.list(["*.bin"]).entries]
        log.info("looked", files=len(files), port=settings(ctx).run.port)
        found = Detection(
            id="probe",
            name="Pröbe 😀",
            ecosystem="test",
            confidence="high" if source.exists("wrong") else 77,
            toolchains=[Toolchain("node", ">=20"), Toolchain("python")],
            evidence=[
                *(Evidence(path, source.text(path)) for path in files),
                Evidence("sizes", ", ".join(sizes)),
                Evidence("outside", why(lambda: source.read("../outside"))),
                Evidence("image", why(lambda: images.config("docker.io/library/none", ctx.platform).digest)),
            ],
            supersedes=["node"],
            app_dir="app",
            notes_json=notes({"files": len(files)}),
            refusal=PluginError("probe.unsupported", "recognised, and not supported", "use another"),
        )
        return Report([found], [NearMiss("near", "it is only near")])

    def plan(self, ctx, source, chosen):
        files = notes_of(chosen)["files"]
        mounts = [
            plan.cache("npm", "/root/.npm", sharing=plan.Sharing.SHARED),
            plan.bind("/src", path="lib"),
            plan.secret("TOKEN", env="TOKEN", owner=(1000, 1000), required=True),
            plan.tmpfs("/tmp", bytes_max=5_000_000_000),
        ]
        package = plan.copy(
            ["package.json"], "/app/", exclude=["*.md"], chown="1000:1000", chmod="0644"
        )
        install = plan.run(
            ["npm", "ci"],
            network=True,
            env={"CI": "1"},
            cwd="/app",
            user="1000",
            timeout_ms=60_000,
            mounts=mounts,
        )
        deps = [
            package,
            install,
            plan.shell(f"echo {files}"),
            plan.write_file("/etc/probe", "ü\0", mode=0o600),
            plan.make_dir("/data"),
        ]
        other = [
            plan.fetch("https://example.com/a.tar", "/a.tar", sha256="0" * 64),
            plan.extract("/a.tar", "/a", origin=plan.Origin.step("deps")),
            plan.place(["."], "/b/", origin=plan.Placed.inline([plan.InlineFile("x", b"x")])),
        ]
        copied = plan.copy_from("other", ["/a/**"], "/app/", parents=True)
        base = plan.Base
        made = plan.Plan()
        made.step("deps", "install", base.toolchains(plan.toolchains({"node": "22"})), deps)
        debian = base.image("docker.io/library/debian:12")
        made.step("other", "fetch", debian, other, env={"A": "1"}, user="1000")
        made.step("run", "collect", base.step("deps"), [copied])
        made.step("site", "pages", base.scratch(), [plan.copy(["public/**"], "/site/")])
        made.image(
            "app",
            "run",
            entrypoint=["node"],
            cmd=["server.js"],
            env={"PORT": "3000"},
            user="1000:1000",
            exposed=[3000],
            labels=[("a", "b")],
            stop_signal="SIGINT",
            health=HealthCheck(["CMD", "true"], interval_ms=1_000),
        )
        made.static_tree("site", "site", "/site", spa_fallback="index.html", not_found="404.html")
        made.web("web", "app", ["node", "server.js"], [3000])
        made.worker("worker", "app", ["node", "worker.js"])
        return made.uses({"node": "22.11.0"})


class Migrates(Migrator):
    def plan(self, ctx, source, chosen, outputs):
        later = MigrationVerdict.leave("not today")
        run = MigrationVerdict.run()
        return [
            Migration("probe", outputs[0], ["migrate", chosen.id], cwd="/app", verdict=run),
            Migration(
                "other", outputs[0], ["x"], cwd="/app", evidence=[Evidence("migrations")], verdict=later
            ),
        ]


class Checks(Health):
    """As the SDK does it."""


class Uses(Custom):
    def run(self, stage, ctx, source, facts, inputs):
        options = {"env": {"A": "1"}, "stdin": b"in", "tail_bytes_max": 100}
        wanted = exec.in_output("app", ["sh", "-c", "count"], **options)
        image = exec.in_image("docker.io/library/debian:12", ["true"])
        denied = why(lambda: exec.run(image) and "granted")
        if denied == "denied" and facts.number == 2:
            return done(f"exec: {denied}")
        exit = exec.run(wanted)
        lines = []
        ended = exec.spawn(wanted).each_line(lambda line: lines.append(f"{line.pipe.value} {line.text}"))
        answer = http.fetch(
            "POST",
            "https://api.example.com/scan",
            headers={"authorization": "Bearer {{TOKEN}}"},
            json={"number": facts.number},
            secret_names=["TOKEN"],
        )
        before = cache.get("runs")
        cache.put("runs", "8")
        cache.delete("gone")
        artifacts.attach("report.txt", artifacts.Kind.REPORT, "text/plain", http.text(answer))
        annotations.note("runs", 8, annotations.Tone.GOOD, "https://example.com/")
        said = f"{exit.code} {'|'.join(exec.stdout(exit).splitlines())}"
        succeeded = "true" if exec.succeeded(ended) else "false"
        return done(
            f"{denied}; {said}; {succeeded} {', '.join(lines)}; {answer.status}",
            {
                "before": before.decode() if before else None,
                "inputs": [[one.name, json.loads(one.outputs_json)] for one in inputs],
                "facts": [
                    facts.hook.value,
                    facts.state.value,
                    facts.previous_number,
                    facts.commit,
                    facts.processes[0].addresses if facts.processes else [],
                ],
            },
        )
