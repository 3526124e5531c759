// What TypeScript is to accept and to refuse; `npm run types` checks it.

import { type Custom, type Detector, PluginError, annotations, done, http, nearMiss, plan } from "windlass-sdk";
import { Harness, answered } from "windlass-sdk/testing";

export const detector: Detector = {
  detect(ctx, source) {
    const text: string | null = source.text("app.json");
    const platform: string = ctx.platform;
    if (text === null) return nearMiss("app", `not for ${platform}`);
    const refusal = new PluginError("app.old", "it is old", { hint: "renew it" });
    return { id: "app", name: "App", ecosystem: "app", confidence: 90, refusal };
  },
};

// @ts-expect-error a detection has a name
export const unnamed: Detector = { detect: () => ({ id: "app", ecosystem: "app" }) };

// @ts-expect-error there is no such tag
plan.base.nothing();

new plan.Plan().step("a", "a", { tag: "scratch" }, [plan.run(["true"], { env: { A: "1" }, network: true })]);

export const custom: Custom = {
  run(_stage, _ctx, _source, facts) {
    const answer = http.fetch({ url: "https://example.com", json: { number: facts.number } });
    annotations.note("status", answer.status, { tone: "good" });
    return done(answer.text);
  },
};

const ran = new Harness(".", { requests: [["GET", "https://example.com", answered(200, "fine")]] })
  .custom({ custom }, "check", { number: 7 });
export const summary: string = ran.outcome.summary;
