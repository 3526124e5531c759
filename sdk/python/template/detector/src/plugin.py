"""Serves books made by mdBook that were committed with their pages."""

from windlass_plugin import (
    Builder,
    Context,
    Detection,
    Detector,
    Evidence,
    Report,
    Source,
    log,
    near_miss,
)
from windlass_plugin.plan import Base, Plan, copy


class MdBook(Detector, Builder):
    """The plugin: a class that derives from each stage that it fills."""

    def detect(self, ctx: Context, source: Source) -> Report | Detection | None:
        if not source.is_file("book.toml"):
            return None
        if not source.is_file("book/index.html"):
            reason = "there is a book.toml, but no book/index.html: run `mdbook build`"
            return near_miss("mdbook", reason)
        return Detection(
            id="mdbook",
            name="mdBook",
            ecosystem="static",
            confidence=90,
            evidence=[Evidence("book.toml")],
            supersedes=["static"],
        )

    # What a plugin detects, the same plugin builds.
    def plan(self, ctx: Context, source: Source, chosen: Detection) -> Plan:
        log.info("the book is served as it was committed")
        plan = Plan()
        pages = copy(["book/**"], "/site/", parents=True)
        plan.step("site", "collect the book", Base.scratch(), [pages])
        return plan.static_tree("site", "site", "/site/book", not_found="404.html")
