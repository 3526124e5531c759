"""Migrates the database with `bin/migrate`, where there are migrations for it."""

from windlass_plugin import (
    Context,
    Detection,
    Evidence,
    Migration,
    MigrationVerdict,
    Migrator,
    Source,
)

#: The program that migrates.
PROGRAM = "bin/migrate"
#: Without this variable there is no database.
VARIABLE = "DATABASE_URL"


class Plugin(Migrator):
    """The plugin: a class that derives from each stage that it fills."""

    def plan(
        self, ctx: Context, source: Source, chosen: Detection, outputs: list[str]
    ) -> list[Migration]:
        if not outputs or not source.is_file(PROGRAM):
            return []
        steps = source.files(["migrations/*.sql"])
        if not steps:
            verdict = MigrationVerdict.leave("there is nothing in migrations/")
        elif VARIABLE not in ctx.variable_names:
            verdict = MigrationVerdict.leave(f"the environment has no variable {VARIABLE}")
        else:
            verdict = MigrationVerdict.run()
        return [
            Migration(
                tool="my-plugin",
                # In which of the images that were built it runs.
                output="migrate" if "migrate" in outputs else outputs[0],
                argv=[f"/app/{PROGRAM}"],
                cwd="/app",
                evidence=[Evidence(PROGRAM, f"{len(steps)} in migrations/")],
                verdict=verdict,
            )
        ]
