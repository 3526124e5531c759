//! Go, Rust and .NET: the image has no tool, so the application migrates itself or people say how, unless the
//! builder made an output that has one.

use super::{File, left, nothing};
use crate::Migrate;
use windlass_sdk::{Detection, MigrationVerdict};

#[test]
fn go_applications_migrate_themselves_or_say_how() {
    let module = ("go.mod", "module x\nrequire github.com/pressly/goose/v3 v3.20.0\n");
    let sql = ("migrations/00001_a.sql", "-- +goose Up\nSELECT 1;\n");
    left("go", &[module, sql], "goose", "the image has no goose");
    let boots = ("main.go", "package main\n\tif err := goose.Up(db, \"migrations\"); err != nil {");
    left("go", &[module, sql, boots], "goose", "main.go, line 2");
    left("go", &[module], "goose", "goose create");
    let without = ("go.mod", "module x\n");
    left("go", &[without, sql], "goose", "migrate.command");

    let module = ("go.mod", "require github.com/golang-migrate/migrate/v4 v4.17.0\n");
    let pair = [("db/000001_a.up.sql", ""), ("db/000001_a.down.sql", "")];
    left("go", &[module, pair[0], pair[1]], "golang-migrate", "the image has no golang-migrate");
    left("python", &[pair[0], pair[1]], "golang-migrate", "migrate.command");
    let boots = ("internal/db/db.go", "m, err := migrate.New(source, url)");
    left("go", &[module, pair[0], boots], "golang-migrate", "internal/db/db.go, line 1");

    let atlas = [("atlas.hcl", ""), ("migrations/atlas.sum", ""), ("migrations/1.sql", "")];
    left("go", &atlas, "Atlas", "the image has no atlas");
    let dbmate = ("db/migrations/1_a.sql", "-- migrate:up\n");
    left("ruby", &[dbmate], "dbmate", "the image has no dbmate");
    let ent =
        [("go.mod", "require entgo.io/ent v0.14\n"), ("main.go", "client.Schema.Create(ctx)")];
    left("go", &ent, "Ent", "main.go, line 1");
    nothing("go", &ent[..1]);
}

#[test]
fn rust_applications_migrate_themselves_or_say_how() {
    let check = |package: &str, step: File, tool: &str, boots: &str| {
        let manifest = format!("[dependencies]\n{package} = \"1\"\n");
        let files = [("Cargo.toml", manifest.as_str()), step];
        left("rust", &files, tool, "migrate.command");
        let main = ("src/main.rs", boots);
        left("rust", &[files[0], step, main], tool, "src/main.rs, line 2");
        left("rust", &files[..1], tool, "no migrations");
    };
    check(
        "diesel",
        ("migrations/1_a/up.sql", ""),
        "Diesel",
        "//\nconn.run_pending_migrations(M)?;",
    );
    check("sqlx", ("migrations/1_a.sql", ""), "sqlx", "//\nsqlx::migrate!().run(&pool).await?;");
    let step = ("migration/src/m20220101_000001_a.rs", "");
    check("sea-orm-migration", step, "SeaORM", "//\nMigrator::up(&db, None).await?;");
    nothing("rust", &[("Cargo.toml", "[dependencies]\naxum = \"0.8\"\n")]);
}

#[test]
fn dotnet_applications_migrate_themselves_or_with_the_tool_of_the_builder() {
    let project = (
        "Shop/Shop.csproj",
        "<PackageReference Include=\"Microsoft.EntityFrameworkCore.SqlServer\" Version=\"9\" />",
    );
    let snapshot = ("Shop/Migrations/ShopModelSnapshot.cs", "[DbContext(typeof(ShopContext))]");
    let step = ("Shop/Migrations/20240101000000_A.cs", "");
    let files = [project, snapshot, step];
    left("dotnet", &files, "EF Core", "dotnet ef migrations bundle");
    let program = ("Shop/Program.cs", "using x;\nawait db.Database.MigrateAsync();");
    left("dotnet", &[project, snapshot, step, program], "EF Core", "Shop/Program.cs, line 2");
    nothing("dotnet", &[project]);

    let chosen = Detection::new("aspnet", "ASP.NET Core", "dotnet").evidence(project.0, "");
    let update = "dotnet ef database update";
    assert_eq!(built(&files, &chosen), Ok(update.to_owned()));
    let api = ("Api/Api.csproj", "<Project/>");
    let chosen = Detection::new("aspnet", "ASP.NET Core", "dotnet").evidence(api.0, "");
    let apart =
        format!("{update} --project /app/Shop/Shop.csproj --startup-project /app/Api/Api.csproj");
    let files = [project, snapshot, step, api];
    assert_eq!(built(&files, &chosen), Ok(apart.clone()));
    let other = ("Api/Migrations/LogModelSnapshot.cs", "    [DbContext(typeof(Api.LogContext))]\n");
    let both = [project, snapshot, step, api, other];
    let line = format!(
        "/bin/sh -c {update} --context Api.LogContext && exec {apart} --context ShopContext"
    );
    assert_eq!(built(&both, &chosen), Ok(line));
}

#[test]
fn the_tool_that_the_builder_made_is_run() {
    let chosen = Detection::new("go", "Go", "go");
    let module = ("go.mod", "require github.com/pressly/goose/v3 v3.20.0\n");
    let sql = ("db/migrations/00001_a.sql", "-- +goose Up\nSELECT 1;\n");
    let shell = |line: &str| Ok(format!("/bin/sh -c exec {line}"));
    let command = shell("goose -dir db/migrations postgres \"$DATABASE_URL\" up");
    assert_eq!(built(&[module, sql], &chosen), command);
    let code = ("db/migrations/00002_b.go", "func init() { goose.AddMigration(up, down) }");
    assert!(built(&[module, sql, code], &chosen).unwrap_err().contains("are code"));
    let elsewhere = ("other/migrations/1_a.sql", sql.1);
    let why = built(&[module, sql, elsewhere], &chosen).unwrap_err();
    assert!(why.contains("(db/migrations, other/migrations)"), "{why}");
    let python = Detection::new("flask", "Flask", "python");
    assert!(built(&[sql], &python).unwrap_err().contains("the image has no goose"));

    let module = ("go.mod", "require github.com/golang-migrate/migrate/v4 v4.18.0\n");
    let command = shell("migrate -path db -database \"pgx5://${DATABASE_URL#*://}\" up");
    assert_eq!(built(&[module, ("db/000001_a.up.sql", "")], &chosen), command);

    let chosen = Detection::new("axum", "Axum", "rust");
    let sqlx = ("Cargo.toml", "[dependencies]\nsqlx = \"0.8\"\n");
    let step = ("db/migrations/1_a.sql", "");
    let command = "sqlx migrate run --source db/migrations";
    assert_eq!(built(&[sqlx, step], &chosen), Ok(command.to_owned()));
    let found = super::migrations("rust", &[sqlx, step], "{}", &["app", "migrate"]);
    assert!(
        matches!(&found[0].verdict, MigrationVerdict::Leave(why) if why.contains("DATABASE_URL"))
    );
    let diesel = ("Cargo.toml", "[dependencies]\ndiesel = \"2\"\n");
    let command = "diesel migration run --migration-dir migrations";
    let steps = [("migrations/1_a/up.sql", ""), ("migrations/2_b/up.sql", "")];
    assert_eq!(built(&[diesel, steps[0], steps[1]], &chosen), Ok(command.to_owned()));

    let sea = [
        ("Cargo.toml", "[package]\nname = \"shop\"\n"),
        ("src/main.rs", "fn main() {}"),
        (
            "migration/Cargo.toml",
            "[package]\nname = \"migration\"\n[lib]\nname = \"m\"\n[dependencies]\nsea-orm-migration = \"1\"\n",
        ),
        ("migration/src/main.rs", "async fn main() { cli::run_cli(m::Migrator).await; }"),
        ("migration/src/m20220101_000001_a.rs", ""),
    ];
    assert_eq!(built(&sea, &chosen), Ok("migration up".to_owned()));
}

/// What is run where the builder made an output with the tool, or why nothing is.
fn built(files: &[File], chosen: &Detection) -> Result<String, String> {
    let (_folder, harness) = super::harness(files, "{}");
    let harness = harness.variables(["DATABASE_URL"]);
    let found = harness.migrations::<Migrate>(chosen, &["app", "migrate"]).unwrap();
    let [one] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!(one.output, "migrate");
    match &one.verdict {
        MigrationVerdict::Run => Ok(one.argv.join(" ")),
        MigrationVerdict::Leave(why) => Err(why.clone()),
    }
}
