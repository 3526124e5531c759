//! What the plugin plans.

use crate::detect::{EXE, WEB};
use crate::support::app;
use windlass_plugin_common::outline::outline;

#[test]
fn asp_net_with_a_pinned_sdk() {
    let files = [
        ("shop.sln", ""),
        ("src/Api/Api.csproj", WEB),
        ("global.json", r#"{"sdk":{"version":"8.0.404"}}"#),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn blazor_is_a_static_tree() {
    let wasm = WEB.replace("Sdk.Web", "Sdk.BlazorWebAssembly");
    insta::assert_snapshot!(outline(&app(&[("Client.csproj", &wasm)]).plan()));
}

#[test]
fn what_was_published_already() {
    let config =
        r#"{"runtimeOptions":{"framework":{"name":"Microsoft.AspNetCore.App","version":"3.1.0"}}}"#;
    let files = [("shop.dll", ""), ("shop.runtimeconfig.json", config)];
    let text = outline(&app(&files).plan());
    assert!(text.contains("DOTNET_ROLL_FORWARD=Major"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn migrations_keep_the_tool_and_the_source() {
    let web = WEB.replace(
        "</Project>",
        "<ItemGroup><PackageReference Include=\"Microsoft.EntityFrameworkCore.Design\" Version=\"8.0.4\" />\
         <PackageReference Include=\"SkiaSharp\" Version=\"2\" /></ItemGroup></Project>",
    );
    let files = [("shop.csproj", &web as &str), ("Migrations/20240101_Init.cs", "")];
    let text = outline(&app(&files).plan());
    assert!(text.contains("dotnet-ef --version 8.*") && text.contains("output migrate:"), "{text}");
    assert!(text.contains("libfontconfig1"), "{text}");
    assert!(text.contains("ASPNETCORE_ENVIRONMENT=Production"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn the_tool_of_central_package_versions_is_that_of_the_framework() {
    let api = WEB.replace(
        "</Project>",
        "<ItemGroup><PackageReference Include=\"Microsoft.EntityFrameworkCore.Design\" /></ItemGroup></Project>",
    );
    let files = [
        ("src/Api/Api.csproj", &api as &str),
        ("src/Data/Persistence/Migrations/Shop/20240101_Init.cs", ""),
        ("shop.sln", ""),
    ];
    let text = outline(&app(&files).plan());
    assert!(text.contains("dotnet-ef --version 8.*"), "{text}");
    assert!(
        text.contains("output migrate: image of migrate as 1000:1000 in /app/src/Api "),
        "{text}"
    );
}

#[test]
fn a_snapshot_alone_migrates_nothing() {
    let web = WEB.replace(
        "</Project>",
        "<ItemGroup><PackageReference Include=\"Microsoft.EntityFrameworkCore.Design\" Version=\"8.0.4\" />\
         </ItemGroup></Project>",
    );
    let outputs = |file: &str| app(&[("shop.csproj", &web), (file, "")]).plan().outputs.len();
    assert_eq!(outputs("Migrations/ShopModelSnapshot.cs"), 1);
    assert_eq!(outputs("Migrations/20240101_Init.Designer.cs"), 1);
    assert_eq!(outputs("Migrations/20240101_Init.cs"), 2);
}

#[test]
fn declared_commands_name_the_program_where_it_was_published() {
    let started = |project: &str, line: &str| {
        let procfile = format!("web: {line}\n");
        app(&[("Shop.csproj", project), ("Procfile", &procfile)]).line()
    };
    let url = "ASPNETCORE_URLS=http://0.0.0.0:$PORT";
    let own = format!("/bin/sh -c exec env {url} ./out/Shop");
    for line in [
        "dotnet Shop.dll",
        "./Shop",
        "exec dotnet exec bin/Release/net8.0/publish/Shop.dll",
        "cd bin/Release/net8.0/publish && ./Shop",
        "cd $HOME/heroku_output; dotnet ./Shop.dll",
    ] {
        assert_eq!(started(WEB, line), own, "{line}");
    }
    let told = started(WEB, "A=b dotnet Shop.dll --urls http://*:$PORT");
    assert_eq!(told, "/bin/sh -c exec env A=b ./out/Shop --urls http://*:$PORT");
    assert_eq!(started(EXE, "dotnet Shop.dll -q"), "./out/Shop -q");
    for line in ["dotnet Other.dll", "./start.sh Shop", "dotnet ef database update"] {
        assert_eq!(started(WEB, line), line, "it names no published program");
    }
    assert!(started(WEB, "cd tools && dotnet Shop.dll").contains("exec dotnet Shop.dll"));
    let built = app(&[("Shop.csproj", WEB), ("Procfile", "web: dotnet Shop.dll\n")])
        .settings(r#"{"build":{"command":"make"}}"#);
    assert_eq!(built.line(), "dotnet Shop.dll", "where that leaves it is not known");
}

#[test]
fn a_declared_worker_is_the_program_itself() {
    let worker = WEB.replace("Sdk.Web", "Sdk.Worker");
    let named = r#"{"run":{"processes":{"jobs":{"command":"dotnet Shop.dll"}}}}"#;
    let plan = app(&[("Shop.csproj", &worker)]).settings(named).plan();
    let run: Vec<_> = plan.processes.iter().map(|one| (one.name.as_str(), &one.argv)).collect();
    assert_eq!(run, [("jobs", &vec!["./out/Shop".to_owned()])]);
    let solution = [
        ("Web/Web.csproj", WEB),
        ("Jobs/Jobs.csproj", &worker),
        ("Procfile", "jobs: dotnet Jobs.dll\n"),
    ];
    let warnings = app(&solution).warnings().join("\n");
    assert!(warnings.contains("runs Jobs.dll, and only Web/Web.csproj is published"), "{warnings}");
}

#[test]
fn declared_commands_find_the_whole_tree() {
    let files = [("shop.csproj", WEB), ("Procfile", "web: dotnet run --no-launch-profile\n")];
    let text = outline(&app(&files).plan());
    assert!(text.contains("copy app/** of build to /"), "{text}");
    assert!(text.contains("step runtime (prepare the runtime) on dotnet-sdk 8.0"), "{text}");
}

#[test]
fn node_is_there_where_the_build_calls_it() {
    let spa = WEB.replace("<TargetF", "<SpaRoot>ClientApp\\</SpaRoot><TargetF");
    let text = outline(&app(&[("shop.csproj", &spa)]).plan());
    assert!(text.contains("usr/local/lib/node_modules/** of node to /"), "{text}");
    assert!(text.contains("on node 22\n"), "{text}");
}

#[test]
fn node_is_the_one_that_the_files_beside_its_packages_ask_for() {
    let spa = WEB.replace("<TargetF", "<SpaRoot>..\\client\\</SpaRoot><TargetF");
    let engine = r#"{"engines":{"node":"24"}}"#;
    let files = [
        ("src/shop/shop.csproj", &spa as &str),
        ("src/client/package.json", engine),
        ("src/shop/.node-version", "20\n"),
        (".nvmrc", "lts/krypton\n"),
    ];
    let node = |files: &[(&str, &str)], settings: &str| {
        let toolchains = app(files).settings(settings).plan().toolchains;
        assert_eq!(toolchains[0].name, "dotnet", "what runs comes first");
        let node = toolchains.into_iter().find(|one| one.name == "node");
        node.map(|one| one.requirement).unwrap_or_default()
    };
    assert_eq!(node(&files, "{}"), "24");
    assert_eq!(node(&[files[0], files[2], files[3]], "{}"), "20");
    assert_eq!(node(&[files[0], files[3]], "{}"), "24");
    assert_eq!(node(&files, r#"{"build":{"toolchain":{"node":"26"}}}"#), "26");
    assert_eq!(node(&[("shop.csproj", WEB), files[3]], "{}"), "");
}
