//! Migrates the database with `bin/migrate`, where there are migrations for it.

use windlass_sdk::{
    Context, Detection, Evidence, Migration, MigrationVerdict, Migrator, PluginError, Source,
};

/// The plugin: a type, with a trait for each stage that it fills.
pub struct Plugin;

/// The program that migrates.
const PROGRAM: &str = "bin/migrate";
/// Without this variable there is no database.
const VARIABLE: &str = "DATABASE_URL";

impl Migrator for Plugin {
    fn plan(
        ctx: &Context,
        source: &Source,
        _: &Detection,
        outputs: &[String],
    ) -> Result<Vec<Migration>, PluginError> {
        if !source.is_file(PROGRAM) {
            return Ok(Vec::new());
        }
        // In which of the images that were built it runs: "migrate" where there is one, else the first.
        let Some(output) =
            outputs.iter().find(|name| *name == "migrate").or_else(|| outputs.first())
        else {
            return Ok(Vec::new());
        };
        let steps = source.files(&["migrations/*.sql"])?;
        let verdict = if steps.is_empty() {
            MigrationVerdict::Leave("there is nothing in migrations/".to_owned())
        } else if !ctx.variable_names.iter().any(|name| name == VARIABLE) {
            MigrationVerdict::Leave(format!("the environment has no variable {VARIABLE}"))
        } else {
            MigrationVerdict::Run
        };
        Ok(vec![Migration {
            tool: "my-plugin".to_owned(),
            output: output.clone(),
            argv: vec![format!("/app/{PROGRAM}")],
            cwd: "/app".to_owned(),
            evidence: vec![Evidence::new(PROGRAM, format!("{} in migrations/", steps.len()))],
            verdict,
        }])
    }
}

windlass_sdk::export! {
    Plugin: [migrator],
}

#[cfg(test)]
mod tests {
    use windlass_sdk::testing::Harness;
    use windlass_sdk::{Detection, MigrationVerdict};

    use super::Plugin;

    #[test]
    fn it_runs_where_there_are_migrations_and_a_database() {
        let chosen = Detection::new("app", "an application", "any");
        let harness = Harness::new("fixtures/migrations/source");
        let found = harness.migrations::<Plugin>(&chosen, &["app"]).unwrap();
        assert!(matches!(found[0].verdict, MigrationVerdict::Leave(_)));
        let harness = harness.variables(["DATABASE_URL"]);
        let found = harness.migrations::<Plugin>(&chosen, &["app"]).unwrap();
        assert_eq!(
            (found[0].argv[0].as_str(), found[0].output.as_str()),
            ("/app/bin/migrate", "app")
        );
        assert!(matches!(found[0].verdict, MigrationVerdict::Run));
    }
}
