// Serves books made by mdBook that were committed with their pages.
// @ts-check

import { log, nearMiss, plan } from "windlass-sdk";

/** @type {import("windlass-sdk").Detector} */
export const detector = {
  detect(_ctx, source) {
    if (!source.isFile("book.toml")) return null;
    if (!source.isFile("book/index.html")) {
      return nearMiss("mdbook", "there is a book.toml, but no book/index.html: run `mdbook build`");
    }
    return {
      id: "mdbook",
      name: "mdBook",
      ecosystem: "static",
      confidence: 90,
      evidence: [{ path: "book.toml" }],
      supersedes: ["static"],
    };
  },
};

/**
 * What a plugin detects, the same plugin builds.
 * @type {import("windlass-sdk").Builder}
 */
export const builder = {
  plan(_ctx, _source, _chosen) {
    log.info("the book is served as it was committed");
    return new plan.Plan()
      .step("site", "collect the book", plan.base.scratch(), [
        plan.copy(["book/**"], "/site/", { parents: true }),
      ])
      .staticTree("site", "site", "/site/book", { notFound: "404.html" });
  },
};
