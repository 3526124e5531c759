//! What the plugin recognises.

use crate::support::app;
use windlass_plugin_common::outline::outline;

pub(crate) const WEB: &str = "<Project Sdk=\"Microsoft.NET.Sdk.Web\">\n  <PropertyGroup>\n    \
    <TargetFramework>net8.0</TargetFramework>\n  </PropertyGroup>\n</Project>\n";
pub(crate) const EXE: &str = "<Project Sdk=\"Microsoft.NET.Sdk\"><PropertyGroup><OutputType>Exe</OutputType>\
    <TargetFramework>net10.0</TargetFramework></PropertyGroup></Project>";
const LIBRARY: &str = "<Project Sdk=\"Microsoft.NET.Sdk\"><PropertyGroup>\
    <TargetFramework>netstandard2.0</TargetFramework></PropertyGroup></Project>";
const TEST: &str = "<Project Sdk=\"Microsoft.NET.Sdk\"><PropertyGroup><OutputType>Exe</OutputType>\
    </PropertyGroup><ItemGroup><PackageReference Include=\"xunit\" Version=\"2.4\" /></ItemGroup></Project>";

/// Files → id, least confidence, and what the start line ends with.
#[track_caller]
fn check(files: &[(&str, &str)], id: &str, confidence: u8, start: &str) {
    let app = app(files);
    let found = app.found();
    assert_eq!(found.id, id, "{found:?}");
    assert!((confidence..confidence + 10).contains(&found.confidence), "{}", found.confidence);
    assert!(app.line().ends_with(start), "{}", app.line());
}

#[test]
fn each_kind_of_project() {
    let url = "exec env ASPNETCORE_URLS=http://0.0.0.0:$PORT ./out/shop";
    check(&[("shop.csproj", WEB)], "aspnet", 90, url);
    check(&[("shop.fsproj", WEB)], "aspnet", 90, url);
    check(&[("shop.csproj", EXE)], "dotnet", 80, "./out/shop");
    check(&[("shop.vbproj", EXE)], "dotnet", 80, "./out/shop");
    let worker = WEB.replace("Sdk.Web", "Sdk.Worker");
    check(&[("shop.csproj", &worker)], "dotnet", 80, "./out/shop");
    let named = WEB.replace(
        "<TargetF",
        "<AssemblyName>myapp</AssemblyName><UseAppHost>false</UseAppHost><TargetF",
    );
    check(&[("shop.csproj", &named)], "aspnet", 90, "dotnet out/myapp.dll");
    let import = "<Project><Import Project=\"Sdk.props\" Sdk=\"Microsoft.NET.Sdk.Web\" /><PropertyGroup>\
                  <TargetFramework>net9.0</TargetFramework></PropertyGroup></Project>";
    check(&[("shop.csproj", import)], "aspnet", 90, url);
    let prebuilt = r#"{"runtimeOptions":{"frameworks":[{"name":"Microsoft.NETCore.App","version":"8.0.10"},
        {"name":"Microsoft.AspNetCore.App","version":"8.0.10"}]}}"#;
    check(
        &[("shop.dll", ""), ("shop.runtimeconfig.json", prebuilt)],
        "aspnet",
        70,
        "dotnet shop.dll",
    );
}

#[test]
fn a_worker_answers_no_requests() {
    let worker = WEB.replace("Sdk.Web", "Sdk.Worker");
    let plan = app(&[("shop.csproj", &worker)]).plan();
    assert_eq!(plan.processes.len(), 1);
    assert_eq!(plan.processes[0].name, "worker");
    let named = r#"{"run":{"processes":{"worker":{"command":"dotnet out/shop.dll"}}}}"#;
    let plan = app(&[("shop.csproj", &worker)]).settings(named).plan();
    assert_eq!(
        (plan.processes.len(), plan.processes[0].argv.join(" ").as_str()),
        (1, "dotnet out/shop.dll")
    );
}

#[test]
fn the_project_that_runs_is_found_in_a_solution() {
    let files = [
        ("shop.sln", ""),
        ("src/Shop.Api/Shop.Api.csproj", WEB),
        ("src/Shop.Core/Shop.Core.csproj", LIBRARY),
        ("src/Shop.Tool/Shop.Tool.csproj", EXE),
        ("test/Shop.Tests/Shop.Tests.csproj", TEST),
        ("samples/Demo/Demo.csproj", WEB),
    ];
    let found = app(&files).found();
    assert_eq!(
        (found.id.as_str(), found.evidence[0].path.as_str()),
        ("aspnet", "src/Shop.Api/Shop.Api.csproj")
    );
    assert!(found.evidence[0].detail.contains("line 1: Sdk Microsoft.NET.Sdk.Web"));
    let two = [("a.sln", ""), ("Api/Api.csproj", WEB), ("Site/Site.csproj", WEB)];
    let refusal = app(&two).refusal();
    assert_eq!(refusal.code, "dotnet.several-projects");
    assert!(refusal.message.ends_with(": Api/Api.csproj, Site/Site.csproj"), "{refusal:?}");
    assert!(refusal.hint.unwrap().contains("target = \"Api/Api.csproj\""));
    let found = app(&two).found();
    assert_eq!((found.id.as_str(), found.confidence), ("aspnet", 92));
    assert!(found.evidence.iter().any(|sign| sign.path == "Site/Site.csproj"), "{found:?}");
    let settings = r#"{"build":{"framework":"aspnet"}}"#;
    assert_eq!(app(&two).settings(settings).refusal().code, "dotnet.several-projects");
    for target in ["Site", "Site/Site.csproj"] {
        let settings = format!(r#"{{"build":{{"target":"{target}"}}}}"#);
        assert_eq!(app(&two).settings(&settings).found().evidence[0].path, "Site/Site.csproj");
    }
    let wrong = app(&two).settings(r#"{"build":{"target":"Other"}}"#).nothing();
    assert!(wrong.contains("the projects are Api/Api.csproj"), "{wrong}");
}

#[test]
fn a_project_in_a_folder_of_something_else_is_less_sure() {
    assert_eq!(app(&[("tools/gen/gen.csproj", EXE), ("setup.py", "")]).found().confidence, 60);
    assert_eq!(app(&[("src/gen/gen.csproj", EXE), ("gen.sln", "")]).found().confidence, 80);
}

#[test]
fn blazor_is_a_site_of_its_own_or_part_of_a_server() {
    let wasm = WEB.replace("Sdk.Web", "Sdk.BlazorWebAssembly");
    assert_eq!(app(&[("Client.csproj", &wasm)]).found().id, "blazor-wasm");
    let server = WEB.replace("</Project>", "<ItemGroup><ProjectReference Include=\"..\\Client\\Client.csproj\" /></ItemGroup></Project>");
    let files = [("Client/Client.csproj", &wasm as &str), ("Server/Server.csproj", &server)];
    assert_eq!(app(&files).found().evidence[0].path, "Server/Server.csproj");
}

#[test]
fn what_is_no_application_is_not_one() {
    let old = "<Project ToolsVersion=\"15.0\"><PropertyGroup><TargetFrameworkVersion>v4.7.2</TargetFrameworkVersion></PropertyGroup></Project>";
    let desktop = EXE.replace("<OutputType>", "<UseWPF>true</UseWPF><OutputType>");
    let tool = EXE.replace("<OutputType>", "<PackAsTool>true</PackAsTool><OutputType>");
    let contained = r#"{"runtimeOptions":{"includedFrameworks":[{"name":"Microsoft.NETCore.App","version":"8.0.0"}]}}"#;
    for (files, reason) in [
        (vec![("a.csproj", LIBRARY)], "a.csproj is a library"),
        (vec![("a.csproj", TEST)], "holds tests"),
        (vec![("a.csproj", old)], "runs on Windows only"),
        (vec![("a.csproj", &desktop as &str)], "desktops or phones"),
        (vec![("a.csproj", &tool)], "packed as a .NET tool"),
        (vec![("a.csproj", "<Project")], "not valid XML"),
        (vec![("src/a/a.csproj", LIBRARY), ("samples/b/b.csproj", WEB)], "set build.target"),
        (vec![("a.dll", ""), ("a.runtimeconfig.json", contained)], "self-contained"),
        (vec![("a.runtimeconfig.json", "{}")], "no a.dll"),
    ] {
        let found = app(&files).nothing();
        assert!(found.contains(reason), "{files:?}: {found}");
    }
    for files in [
        &[("README.md", "")][..],
        &[("a.dll", "")],
        &[("global.json", "{}")],
        &[("bin/a.csproj", WEB)],
    ] {
        assert_eq!(app(files).nothing(), "", "{files:?}");
    }
}

#[test]
fn versions_come_from_the_project_and_its_props() {
    let bare = WEB.replace("<TargetFramework>net8.0</TargetFramework>", "");
    let props = "<Project><PropertyGroup><TargetFramework>net9.0</TargetFramework></PropertyGroup></Project>";
    let several = WEB.replace(
        "<TargetFramework>net8.0</TargetFramework>",
        "<TargetFrameworks>net6.0;net9.0;net48</TargetFrameworks>",
    );
    let old = WEB.replace("net8.0", "netcoreapp3.1");
    for (files, expected) in [
        (vec![("a.csproj", WEB)], "8.0"),
        (vec![("src/a/a.csproj", &bare as &str), ("Directory.Build.props", props)], "9.0"),
        (vec![("a.csproj", &several)], "9.0"),
        (vec![("a.csproj", &old)], "6.0"),
        (vec![("a.csproj", &bare)], "10.0"),
    ] {
        assert_eq!(app(&files).found().toolchains[0].requirement, expected, "{files:?}");
    }
    let error = app(&[("a.csproj", &WEB.replace("net8.0", "net15.0"))]).refusal();
    assert_eq!(error.code, "dotnet.version-unsupported");
    let warnings = app(&[("a.csproj", WEB)]).warnings();
    assert!(warnings[0].contains("support for .NET 8.0 ended on 2026-11-10"), "{warnings:?}");
    for pin in [
        ("global.json", r#"{"sdk":{"version":"9.0.100"}}"#),
        (".tool-versions", "dotnet 9.0.100\n"),
        ("mise.toml", "[tools]\ndotnet = '9'\n"),
        (".mise.toml", "[tools]\ndotnet = '9'\n"),
    ] {
        let toolchains = app(&[("a.csproj", WEB), pin]).plan().toolchains;
        let name = |one: windlass_sdk::Toolchain| format!("{} {}", one.name, one.requirement);
        let names: Vec<_> = toolchains.into_iter().map(name).collect();
        assert_eq!(names, ["dotnet 8.0", "dotnet-sdk 9.0"], "{pin:?}");
    }
}

#[test]
fn the_settings_name_the_runtime() {
    let set = |files: &[(&str, &str)], version: &str| {
        let settings = format!(r#"{{"build":{{"toolchain":{{"dotnet":"{version}"}}}}}}"#);
        app(files).settings(&settings)
    };
    let names = |app: &crate::support::App| {
        let plan = app.plan();
        let rolls = format!("{plan:?}").contains("DOTNET_ROLL_FORWARD");
        let name = |one: &windlass_sdk::Toolchain| format!("{} {}", one.name, one.requirement);
        (plan.toolchains.iter().map(name).collect::<Vec<_>>().join(", "), rolls)
    };
    let warned = |app: &crate::support::App| {
        app.warnings()
            .into_iter()
            .any(|line| line.contains("raise or remove build.toolchain.dotnet"))
    };
    // A newer one must be told to take the program.
    let newer = set(&[("a.csproj", WEB)], "10.0");
    assert_eq!(names(&newer), ("dotnet 10.0, dotnet-sdk 10.0".to_owned(), true));
    assert_eq!(newer.found().toolchains[0].requirement, "10.0");
    assert!(!warned(&newer));
    let same = set(&[("a.csproj", WEB)], "8");
    assert_eq!(names(&same), ("dotnet 8.0, dotnet-sdk 8.0".to_owned(), false));
    assert!(!warned(&same));
    // An older one could not start the program.
    let net9 = WEB.replace("net8.0", "net9.0");
    let older = set(&[("a.csproj", &net9)], "8.0");
    assert_eq!(names(&older), ("dotnet 9.0, dotnet-sdk 9.0".to_owned(), false));
    assert_eq!(older.found().toolchains[0].requirement, "9.0");
    let warnings = older.warnings();
    assert!(warnings[0].contains("8.0 cannot run it, so 9.0 is taken"), "{warnings:?}");
    assert!(warned(&older));
    // Of several frameworks the newest that the runtime takes.
    let several = WEB.replace(
        "<TargetFramework>net8.0</TargetFramework>",
        "<TargetFrameworks>net6.0;net9.0</TargetFrameworks>",
    );
    let several = set(&[("a.csproj", &several)], "8.0");
    assert_eq!(names(&several), ("dotnet 8.0, dotnet-sdk 8.0".to_owned(), true));
    assert!(outline(&several.plan()).contains("-f net6.0") && !warned(&several));
    let config =
        r#"{"runtimeOptions":{"framework":{"name":"Microsoft.AspNetCore.App","version":"8.0.0"}}}"#;
    let published = set(&[("shop.dll", ""), ("shop.runtimeconfig.json", config)], "9.0");
    assert_eq!(names(&published), ("dotnet 9.0".to_owned(), true));
    let published = set(&[("shop.dll", ""), ("shop.runtimeconfig.json", config)], "7.0");
    assert_eq!(names(&published), ("dotnet 8.0".to_owned(), false));
    assert!(warned(&published));
    // A site in the browser is built with it and has no runtime.
    let wasm = WEB.replace("Sdk.Web", "Sdk.BlazorWebAssembly");
    let wasm = set(&[("Client.csproj", &wasm)], "7.0");
    assert_eq!(names(&wasm).0, "dotnet-sdk 8.0");
    assert!(!warned(&wasm));
}

#[test]
fn the_settings_win() {
    let forced = app(&[("a.csproj", EXE)]).settings(r#"{"build":{"framework":"aspnet"}}"#).found();
    assert_eq!((forced.id.as_str(), forced.confidence), ("aspnet", 100));
    let plain = app(&[("a.csproj", WEB)]).settings(r#"{"build":{"framework":"dotnet"}}"#).found();
    assert_eq!(plain.id, "dotnet");
    let missing =
        app(&[("README.md", "")]).settings(r#"{"build":{"framework":"aspnet"}}"#).refusal();
    assert_eq!(missing.code, "dotnet.no-start");
}

#[test]
fn the_samples_are_what_they_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/samples");
    for (name, id) in [("dotnet", "aspnet"), ("fsharp", "aspnet")] {
        let harness = windlass_sdk::testing::Harness::new(format!("{folder}/{name}"));
        let (found, plan) = harness.detect_and_plan::<windlass_plugin_dotnet::Dotnet>().unwrap();
        assert_eq!(found.id, id, "{name}");
        assert!(found.refusal.is_none() && plan.processes.len() == 1, "{name}");
    }
}
