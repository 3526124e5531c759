// Uses everything that a pure stage may use; src/plugin.py of the folder beside it does the same. The file
// `behave` in the source says what else happens.

import {
  type Builder, type Custom, type Detector, type Health, type Migrator, type Source, PluginError, annotations,
  artifacts, cache, decodeUtf8, done, encodeUtf8, exec, http, images, log, notes, notesOf, plan, settings,
} from "windlass-sdk";

interface Notes {
  files: number;
}

function behave(source: Source) {
  const how = source.text("behave")?.trim();
  if (how === "refuse") {
    throw new PluginError("probe.refused", "refused as asked", { hint: "ask for something else", retryable: true });
  }
  if (how === "trap") throw new RangeError("trapped as asked");
}

/** What it gives, or the host's reason not to. */
function why(work: () => unknown): string {
  try {
    return String(work());
  } catch (error) {
    return (error as { reason: string }).reason;
  }
}

export const detector: Detector = {
  detect(ctx, source) {
    behave(source);
    const files = source.files(["**/*.txt"]);
    const sizes = source.list({ globs: ["*.bin"] }).entries.map(({ path, size }) => `${path} has ${size} bytes`);
    log.info("looked", { files: files.length, port: settings(ctx).run.port });
    const wrong = source.exists("wrong") ? { confidence: "high" as unknown as number } : {};
    return {
      detections: [{
        id: "probe", name: "Pröbe 😀", ecosystem: "test", confidence: 77,
        toolchains: [{ name: "node", requirement: ">=20" }, { name: "python" }],
        evidence: [
          ...files.map((path) => ({ path, detail: source.text(path) ?? "" })),
          { path: "sizes", detail: sizes.join(", ") },
          { path: "outside", detail: why(() => source.read("../outside")) },
          { path: "image", detail: why(() => images.config("docker.io/library/none", ctx.platform).digest) },
        ],
        supersedes: ["node"], appDir: "app", notesJson: notes({ files: files.length }),
        refusal: new PluginError("probe.unsupported", "recognised, and not supported", { hint: "use another" }),
        ...wrong,
      }],
      nearMisses: [{ id: "near", reason: "it is only near" }],
    };
  },
};

export const builder: Builder = {
  plan(_ctx, _source, chosen) {
    const { base, mount, origin } = plan;
    const { files } = notesOf<Notes>(chosen);
    return new plan.Plan()
      .step("deps", "install", base.toolchains({ node: "22" }), [
        plan.copy(["package.json"], "/app/", { exclude: ["*.md"], chown: "1000:1000", chmod: "0644" }),
        plan.run(["npm", "ci"], {
          network: true, env: { CI: "1" }, cwd: "/app", user: "1000", timeoutMs: 60_000,
          mounts: [
            mount.cache("npm", "/root/.npm", { sharing: "shared" }), mount.bind("/src", { path: "lib" }),
            mount.secret("TOKEN", { env: "TOKEN", owner: [1000, 1000], required: true }),
            mount.tmpfs("/tmp", { bytesMax: 5_000_000_000 }),
          ],
        }),
        plan.shell(`echo ${files}`),
        plan.writeFile("/etc/probe", encodeUtf8("ü\u0000"), { mode: 0o600 }),
        plan.makeDir("/data"),
      ])
      .step("other", "fetch", base.image("docker.io/library/debian:12"), [
        plan.fetch("https://example.com/a.tar", "/a.tar", { sha256: "0".repeat(64) }),
        plan.extract("/a.tar", "/a", { origin: origin.step("deps") }),
        plan.place(["."], "/b/", { origin: { tag: "inline", val: [{ name: "x", content: encodeUtf8("x") }] } }),
      ], { env: { A: "1" }, user: "1000" })
      .step("run", "collect", base.step("deps"), [plan.copyFrom("other", ["/a/**"], "/app/", { parents: true })])
      .step("site", "pages", base.scratch(), [plan.copy(["public/**"], "/site/")])
      .image("app", "run", {
        entrypoint: ["node"], cmd: ["server.js"], env: { PORT: "3000" }, user: "1000:1000", exposed: [3000],
        labels: [["a", "b"]], stopSignal: "SIGINT",
        health: { test: ["CMD", "true"], intervalMs: 1_000 },
      })
      .staticTree("site", "site", "/site", { spaFallback: "index.html", notFound: "404.html" })
      .web("web", "app", ["node", "server.js"], [3000])
      .worker("worker", "app", ["node", "worker.js"])
      .uses({ node: "22.11.0" });
  },
};

export const migrator: Migrator = {
  plan: (_ctx, _source, chosen, outputs) => [
    { tool: "probe", output: outputs[0], argv: ["migrate", chosen.id], cwd: "/app", verdict: { tag: "run" } },
    { tool: "other", output: outputs[0], argv: ["x"], cwd: "/app", verdict: { tag: "leave", val: "not today" },
      evidence: [{ path: "migrations" }] },
  ],
};

/** As the SDK does it. */
export const health: Health = {};

export const custom: Custom = {
  run(_stage, _ctx, _source, facts, inputs) {
    const wanted = exec.inOutput("app", ["sh", "-c", "count"], { env: { A: "1" }, stdin: "in", tailBytesMax: 100 });
    const denied = why(() => {
      exec.run(exec.inImage("docker.io/library/debian:12", ["true"]));
      return "granted";
    });
    if (denied === "denied" && facts.number === 2) return done(`exec: ${denied}`);
    const exit = exec.run(wanted);
    const lines: string[] = [];
    const ended = exec.spawn(wanted).eachLine(({ pipe, text }) => lines.push(`${pipe} ${text}`));
    const answer = http.fetch({
      method: "POST", url: "https://api.example.com/scan", headers: { authorization: "Bearer {{TOKEN}}" },
      json: { number: facts.number }, secretNames: ["TOKEN"],
    });
    const before = cache.get("runs");
    cache.put("runs", "8");
    cache.delete("gone");
    artifacts.attach({ name: "report.txt", kind: "report", mediaType: "text/plain" }, answer.text);
    annotations.note("runs", 8, { tone: "good", url: "https://example.com/" });
    return done(`${denied}; ${exit.code} ${exit.stdout.trim().replaceAll("\n", "|")}; ${ended.success} ${lines.join(", ")}; ${answer.status}`, {
      before: before === null ? null : decodeUtf8(before),
      inputs: inputs.map(({ name, outputsJson }) => [name, JSON.parse(outputsJson)]),
      facts: [facts.hook, facts.state, facts.previousNumber, facts.commit, facts.processes[0]?.addresses ?? []],
    });
  },
};
