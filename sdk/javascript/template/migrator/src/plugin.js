// Migrates the database with `bin/migrate`, where there are migrations for it.
// @ts-check

/** The program that migrates. */
const PROGRAM = "bin/migrate";
/** Without this variable there is no database. */
const VARIABLE = "DATABASE_URL";

/** @type {import("windlass-sdk").Migrator} */
export const migrator = {
  plan(ctx, source, _chosen, outputs) {
    if (!source.isFile(PROGRAM)) return [];
    // In which of the images that were built it runs: "migrate" where there is one, else the first.
    const output = outputs.find((name) => name === "migrate") ?? outputs[0];
    if (output === undefined) return [];
    const steps = source.files(["migrations/*.sql"]);
    return [
      {
        tool: "my-plugin",
        output,
        argv: [`/app/${PROGRAM}`],
        cwd: "/app",
        evidence: [{ path: PROGRAM, detail: `${steps.length} in migrations/` }],
        verdict: verdict(steps.length, ctx.variableNames.includes(VARIABLE)),
      },
    ];
  },
};

/** @returns {import("windlass-sdk").contract.migrator.Verdict} */
function verdict(/** @type {number} */ steps, /** @type {boolean} */ hasDatabase) {
  if (steps === 0) return { tag: "leave", val: "there is nothing in migrations/" };
  if (!hasDatabase) return { tag: "leave", val: `the environment has no variable ${VARIABLE}` };
  return { tag: "run" };
}
