// Builds and runs applications that say in `my-plugin.json` how.
//
//     { "image": "debian:bookworm-slim", "build": "./build.sh", "run": "./server", "port": 8080 }
//
// @ts-check

import { PluginError, log, notes, notesOf, plan, settings } from "windlass-sdk";

/** The file that is looked for. */
const FILE = "my-plugin.json";

/**
 * A builder is asked for what a detector of the same plugin recognised.
 * @type {import("windlass-sdk").Detector}
 */
export const detector = {
  detect(_ctx, source) {
    // A file that does not read is an error that names its place; one that is not there is none.
    const app = source.json(FILE);
    if (app === null) return null;
    return {
      id: "my-plugin",
      name: "an application of my-plugin",
      ecosystem: "my-plugin",
      confidence: 80,
      evidence: [{ path: FILE, detail: `image: ${app.image}` }],
      notesJson: notes(app),
    };
  },
};

/** @type {import("windlass-sdk").Builder} */
export const builder = {
  plan(ctx, _source, chosen) {
    const app = notesOf(chosen);
    const { build, run } = settings(ctx);
    // What is set in windlass.toml comes before anything that a plugin finds out by itself.
    const command = run.command ?? app.run;
    if (!command) {
      const hint = `add "run" to ${FILE}, or set \`run.command\``;
      throw new PluginError("my-plugin.no-command", "nothing says how it is started", { hint });
    }
    const ops = [plan.copy(["**"], "/app/", { parents: true, exclude: [FILE] })];
    const line = build.command ?? app.build;
    if (line) {
      log.info(`it is built with: ${line}`);
      // A command has the network only where it says so.
      ops.push(plan.shell(line, { network: true }));
    }
    const port = run.port ?? app.port;
    return new plan.Plan()
      .step("app", "build the application", plan.base.image(app.image), ops)
      .image("app", "app", { user: "1000:1000" })
      .web("web", "app", ["/bin/sh", "-c", `exec ${command}`], port ? [port] : []);
  },
};
