//! Go, Rust and .NET: the image has no tool, so the application migrates itself or people say how.

use super::{File, left, nothing};

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
fn dotnet_applications_migrate_themselves_or_say_how() {
    let project = (
        "Shop/Shop.csproj",
        "<PackageReference Include=\"Microsoft.EntityFrameworkCore.SqlServer\" Version=\"9\" />",
    );
    let snapshot = ("Shop/Migrations/ShopModelSnapshot.cs", "");
    let step = ("Shop/Migrations/20240101000000_A.cs", "");
    left("dotnet", &[project, snapshot, step], "EF Core", "dotnet ef migrations bundle");
    let program = ("Shop/Program.cs", "using x;\nawait db.Database.MigrateAsync();");
    left("dotnet", &[project, snapshot, step, program], "EF Core", "Shop/Program.cs, line 2");
    nothing("dotnet", &[project]);
}
