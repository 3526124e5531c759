//! What the plugin recognises.

use crate::support::app;

pub(crate) const MAIN: &str =
    "package com.example;\npublic class Main {\n  public static void main(String[] args) {}\n}\n";
pub(crate) const SPRING: &str = "package com.example;\nimport org.springframework.boot.SpringApplication;\n\
    public class ShopApplication { public static void main(String[] a) { SpringApplication.run(null); } }";

/// A pom with this in it.
pub(crate) fn pom(inside: &str) -> String {
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n<modelVersion>4.0.0</modelVersion>\n\
         <groupId>com.example</groupId><artifactId>shop</artifactId><version>1</version>\n{inside}</project>"
    )
}

pub(crate) fn plugin(artifact: &str, configuration: &str) -> String {
    format!(
        "<build><plugins><plugin><artifactId>{artifact}</artifactId><configuration>{configuration}\
         </configuration></plugin></plugins></build>"
    )
}

const MAIN_FILE: &str = "src/main/java/com/example/Main.java";
const SPRING_FILE: &str = "src/main/java/com/example/ShopApplication.java";

/// Files → id, the least confidence, and what the start line ends with.
#[track_caller]
fn check(files: &[(&str, &str)], id: &str, confidence: u8, start: &str) {
    let app = app(files);
    let found = app.found();
    assert_eq!(found.id, id, "{found:?}");
    assert!((confidence..confidence + 10).contains(&found.confidence), "{}", found.confidence);
    assert!(app.line().ends_with(start), "{}", app.line());
}

#[test]
fn maven_by_its_plugins() {
    let boot = pom(&plugin("spring-boot-maven-plugin", ""));
    check(
        &[("pom.xml", &boot), (SPRING_FILE, SPRING)],
        "spring-boot",
        90,
        "-Dserver.port=$PORT $JAVA_OPTS -jar app.jar",
    );
    let quarkus = pom(&plugin("quarkus-maven-plugin", ""));
    check(&[("pom.xml", &quarkus)], "quarkus", 90, "-jar quarkus-run.jar");
    let shade = pom(&plugin(
        "maven-shade-plugin",
        "<transformers><transformer><mainClass>a.B</mainClass></transformer></transformers>",
    ));
    check(&[("pom.xml", &shade)], "java", 80, "java $JAVA_OPTS -jar app.jar");
    let jar = plugin(
        "maven-jar-plugin",
        "<archive><manifest><mainClass>a.B</mainClass></manifest></archive>",
    );
    check(&[("pom.xml", &pom(&jar))], "java", 80, "-jar app.jar");
    let managed = jar
        .replace("<plugins>", "<pluginManagement><plugins>")
        .replace("</plugins>", "</plugins></pluginManagement>");
    check(&[("pom.xml", &pom(&managed))], "java", 80, "-jar app.jar");
    let dependency = "<dependencies><dependency><groupId>g</groupId><artifactId>a</artifactId></dependency></dependencies>";
    check(&[("pom.xml", &pom(&(jar + dependency)))], "java", 80, "-cp 'app.jar:lib/*' a.B");
    let micronaut = pom(
        "<parent><groupId>io.micronaut.platform</groupId><artifactId>micronaut-parent</artifactId></parent>",
    );
    check(
        &[("pom.xml", &micronaut)],
        "micronaut",
        90,
        "-Dmicronaut.server.port=$PORT $JAVA_OPTS -jar app.jar",
    );
}

#[test]
fn maven_by_a_main_class() {
    check(
        &[("pom.xml", &pom("")), (MAIN_FILE, MAIN)],
        "java",
        70,
        "-cp 'app.jar:lib/*' com.example.Main",
    );
    check(
        &[("pom.xml", &pom("")), (MAIN_FILE, "")],
        "java",
        60,
        "-cp 'app.jar:lib/*' com.example.Main",
    );
    let kotlin = "package shop\nfun main() { println(1) }\n";
    let files = [("pom.xml", &pom("") as &str), ("src/main/kotlin/App.kt", kotlin)];
    check(&files, "kotlin", 70, "-cp 'app.jar:lib/*' shop.AppKt");
    let yaml = "modelVersion: 4.0.0\nbuild:\n  plugins:\n  - artifactId: maven-jar-plugin\n    configuration:\n      archive:\n        manifest:\n          mainClass: main.Main\n";
    check(
        &[(".mvn/extensions.xml", "<extensions/>"), ("pom.yml", yaml)],
        "java",
        80,
        "-jar app.jar",
    );
}

#[test]
fn the_module_that_runs_is_found_and_several_are_not_guessed() {
    let root = pom(
        "<packaging>pom</packaging><modules><module>core</module><module>web</module><module>job</module></modules>",
    );
    let boot = pom(&plugin("spring-boot-maven-plugin", ""));
    let (library, core) = (pom(""), ("core/pom.xml", "core/src/main/java/a/Util.java"));
    let one = [
        ("pom.xml", &root as &str),
        (core.0, &library),
        (core.1, "package a; class Util {}"),
        ("web/pom.xml", &boot),
    ];
    let found = app(&one).found();
    assert_eq!(
        (found.id.as_str(), found.evidence[0].path.as_str()),
        ("spring-boot", "web/pom.xml")
    );
    let mut two = one.to_vec();
    two.push(("job/pom.xml", &boot));
    let refusal = app(&two).refusal();
    assert_eq!(refusal.code, "jvm.several-modules");
    assert!(refusal.message.ends_with("the application: web, job"), "{}", refusal.message);
    assert!(refusal.hint.unwrap().ends_with("target = \"web\""));
    let chosen = app(&two).settings(r#"{"build":{"target":"job"}}"#).found();
    assert_eq!(chosen.evidence[0].path, "job/pom.xml");
}

#[test]
fn several_gradle_projects_that_run_are_refused_until_one_is_named() {
    let boot = "plugins { id 'org.springframework.boot' version '3.3.0' }\n";
    let files = [
        ("settings.gradle", "include 'web', 'job'\n"),
        ("build.gradle", ""),
        ("web/build.gradle", boot),
        ("job/build.gradle", boot),
    ];
    let refusal = app(&files).refusal();
    assert_eq!(refusal.code, "jvm.several-modules");
    assert!(["web", "job"].iter().all(|name| refusal.message.contains(name)), "{refusal:?}");
    let chosen = app(&files).settings(r#"{"build":{"target":"job"}}"#).found();
    assert_eq!((chosen.refusal, chosen.evidence[0].path.as_str()), (None, "job/build.gradle"));
}

#[test]
fn gradle_by_its_plugins() {
    let boot = "plugins {\n  id 'java'\n  id 'org.springframework.boot' version '3.3.0'\n}\n// id 'io.quarkus'\n";
    check(&[("build.gradle", boot), (SPRING_FILE, SPRING)], "spring-boot", 90, "-jar app.jar");
    let application = "plugins { application }\napplication { mainClass = \"a.B\" }";
    check(
        &[("build.gradle.kts", "plugins {\n    application\n}\n"), (MAIN_FILE, MAIN)],
        "java",
        80,
        "./bin/main",
    );
    check(&[("build.gradle.kts", application)], "java", 80, "./bin/main");
    let ktor = "plugins {\n  kotlin(\"jvm\") version \"2.0.0\"\n  id(\"io.ktor.plugin\") version \"3.0.0\"\n}\ndependencies { implementation(\"io.ktor:ktor-server-netty\") }";
    let main = (
        "src/main/kotlin/Application.kt",
        "package a\nimport io.ktor.server.netty.EngineMain\nfun main(args: Array<String>) = EngineMain.main(args)\n",
    );
    check(&[("build.gradle.kts", ktor), main], "ktor", 90, "-jar app.jar -port=$PORT");
    let micronaut = "plugins { id(\"io.micronaut.application\") version \"4.4.0\" }";
    check(
        &[("build.gradle", micronaut)],
        "micronaut",
        90,
        "exec env JAVA_OPTS=\"-Dmicronaut.server.port=$PORT $JAVA_OPTS\" ./bin/main",
    );
    let catalog = "[versions]\nboot = '3'\n[plugins]\nspring-boot = { id = \"org.springframework.boot\", version.ref = \"boot\" }\n";
    let alias = "plugins {\n  alias(libs.plugins.spring.boot)\n}";
    check(
        &[("build.gradle.kts", alias), ("gradle/libs.versions.toml", catalog)],
        "spring-boot",
        90,
        "-jar app.jar",
    );
    check(
        &[
            ("build.gradle", ""),
            ("micronaut-cli.yml", ""),
            ("src/main/java/example/Application.java", ""),
        ],
        "micronaut",
        60,
        "-jar app.jar",
    );
}

#[test]
fn the_project_of_a_gradle_build_that_runs_is_found() {
    let files = [
        ("settings.gradle", "include 'lib', 'apps:one'"),
        ("build.gradle", "plugins { id 'org.springframework.boot' version '3' apply false }"),
        ("lib/build.gradle", "plugins { id 'java-library' }"),
        ("apps/one/build.gradle", "plugins { id 'org.springframework.boot' }"),
    ];
    let found = app(&files).found();
    assert_eq!(
        (found.id.as_str(), found.evidence[0].path.as_str()),
        ("spring-boot", "apps/one/build.gradle")
    );
}

#[test]
fn scala_clojure_and_what_has_no_build() {
    let packager = (
        "project/plugins.sbt",
        "addSbtPlugin(\"com.github.sbt\" % \"sbt-native-packager\" % \"1.10\")",
    );
    check(
        &[("build.sbt", "name := \"x\""), packager],
        "scala",
        80,
        "./target/universal/stage/bin/main",
    );
    let play =
        ("project/plugins.sbt", "addSbtPlugin(\"org.playframework\" % \"sbt-plugin\" % \"3.0.0\")");
    check(
        &[("build.sbt", ""), play, ("conf/routes", "")],
        "play",
        90,
        "bin/main -Dhttp.port=$PORT -Dpidfile.path=/dev/null",
    );
    check(&[("build.sbt", ""), ("project/plugins.sbt", "")], "scala", 60, "bin/main");
    check(
        &[("project.clj", "(defproject a \"1\"\n  :main ^:skip-aot a.core)")],
        "clojure",
        80,
        "-jar app.jar",
    );
    let build = "(ns build)\n(defn uber [_] (b/uber {}))";
    check(
        &[
            ("deps.edn", "{:aliases {:build {:deps {io.github.clojure/tools.build 1}}}}"),
            ("build.clj", build),
        ],
        "clojure",
        80,
        "-jar app.jar",
    );
    check(
        &[("Main.java", "public class Main { public static void main(String[] a) {} }")],
        "java",
        30,
        "-cp 'classes:lib/*' Main",
    );
    check(&[("Main.java", ""), ("BUILD.bazel", "")], "java", 30, " Main");
    check(&[("shop-1.0.jar", "PK")], "java", 30, "-jar shop-1.0.jar");
}

#[test]
fn a_framework_that_the_entry_file_does_not_use_is_less_sure() {
    let boot = pom(&plugin("spring-boot-maven-plugin", ""));
    let found = app(&[("pom.xml", &boot), (MAIN_FILE, MAIN)]).found();
    assert_eq!(found.confidence, 75);
    assert!(found.evidence.iter().any(|sign| sign.detail.contains("not used here")), "{found:?}");
}

#[test]
fn what_is_no_application_is_not_one() {
    let util = ("src/main/java/a/Util.java", "package a; class Util {}");
    for (files, reason) in [
        (vec![("pom.xml", pom("")), (util.0, util.1.into())], "taken for a library"),
        (vec![("pom.xml", pom("<packaging>pom</packaging>"))], "it builds nothing"),
        (vec![("pom.xml", pom("<packaging>maven-plugin</packaging>"))], "a plugin for Maven"),
        (
            vec![("build.gradle", "plugins { id 'java-library'; id 'maven-publish' }".into())],
            "no plugin that makes a program",
        ),
        (
            vec![
                ("build.gradle", "plugins { id 'com.android.application' }".into()),
                ("src/main/java/a/MainActivity.java", "class MainActivity {}".into()),
            ],
            "Android",
        ),
        (vec![("build.sbt", "name := \"x\"".into())], "sbt-native-packager"),
        (vec![("project.clj", "(defproject a \"1\")".into())], "names no :main"),
        (vec![("deps.edn", "{}".into())], "no build.clj"),
        (vec![("Util.java", "class Util {}".into())], "none has a main method"),
        (vec![("Main.kt", "fun main() {}".into())], "no Gradle or Maven build"),
        (vec![("a.jar", "PK".into()), ("b.jar", "PK".into())], "several jars"),
        (vec![("pmo.xml", pom(""))], "did you mean \"pom.xml\""),
        (vec![("pom.xml", "<project".into())], "not valid XML"),
    ] {
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let found = app(&files).nothing();
        assert!(found.contains(reason), "{files:?}: {found}");
    }
    for files in [
        &[("README.md", "x")][..],
        &[("src/index.js", ""), ("package.json", "{}")],
        &[("docs/Example.java", "class Example { public static void main(String[] a) {} }")],
        &[("android/build.gradle", ""), ("lib/main.dart", "")],
    ] {
        assert_eq!(app(files).nothing(), "", "{files:?}");
    }
}

#[test]
fn a_war_is_refused_unless_something_runs_it() {
    let war = pom("<packaging>war</packaging>");
    assert_eq!(app(&[("pom.xml", &war)]).refusal().code, "jvm.war-unsupported");
    let declared = [
        ("pom.xml", &war as &str),
        ("Procfile", "web: java -jar target/dependency/runner.jar target/*.war"),
    ];
    assert!(app(&declared).found().refusal.is_none());
    let boot =
        pom(&format!("<packaging>war</packaging>{}", plugin("spring-boot-maven-plugin", "")));
    assert!(app(&[("pom.xml", &boot)]).found().refusal.is_none());
}

#[test]
fn versions_are_found_where_they_are_pinned() {
    let release = "<properties><maven.compiler.release>17</maven.compiler.release></properties>";
    let boot = plugin("spring-boot-maven-plugin", "");
    let plain = pom(&boot);
    let properties = pom(&format!(
        "<properties><v>11</v><java.version>${{v}}</java.version></properties>{boot}"
    ));
    let released = pom(&format!("{release}{boot}"));
    for (files, expected) in [
        (vec![("pom.xml", &released as &str)], "17"),
        (vec![("pom.xml", &properties)], "11"),
        (vec![("pom.xml", &released), (".java-version", "21\n")], "21"),
        (vec![("pom.xml", &plain), (".sdkmanrc", "java=17.0.9-tem\n")], "17"),
        (vec![("pom.xml", &plain), (".tool-versions", "java temurin-21.0.2+13.0.LTS\n")], "21"),
        (vec![("pom.xml", &plain), ("system.properties", "java.runtime.version=1.8\n")], "8"),
        (vec![("pom.xml", &plain), ("mise.toml", "[tools]\njava = '25'\n")], "25"),
        (vec![("pom.xml", &plain), (".mise.toml", "[tools]\njava = '25'\n")], "25"),
        (vec![("pom.xml", &plain), (".java-version", "14")], "17"),
        (vec![("pom.xml", &plain)], ""),
    ] {
        let found = app(&files).found();
        assert_eq!(found.toolchains[0].requirement, expected, "{files:?}");
    }
    let older =
        [("pom.xml", &released as &str), ("system.properties", "java.runtime.version=11\n")];
    let found = app(&older).found();
    assert_eq!((found.toolchains[0].requirement.as_str(), found.refusal), ("17", None));
    let said = app(&older).warnings().join("\n");
    assert!(said.contains("asks for Java 11, and pom.xml compiles for 17: 17 is taken"), "{said}");
    let set = app(&older).settings(r#"{"build":{"toolchain":{"java":"11"}}}"#).found();
    assert_eq!(set.toolchains[0].requirement, "11");
    let gradle = "plugins { application }\njava { toolchain { languageVersion = JavaLanguageVersion.of(25) } }";
    let requirement = |files: &[(&str, &str)]| app(files).found().toolchains[0].requirement.clone();
    assert_eq!(requirement(&[("build.gradle", gradle)]), "25");
    let wrapper = (
        "gradle/wrapper/gradle-wrapper.properties",
        "distributionUrl=https\\://services.gradle.org/distributions/gradle-7.4-bin.zip\n",
    );
    assert_eq!(requirement(&[("build.gradle", "plugins {\n application\n}"), wrapper]), "17");
    let error = app(&[("pom.xml", &plain), (".java-version", "40")]).refusal();
    assert_eq!(error.code, "jvm.version-unsupported");
}

#[test]
fn the_settings_win() {
    let files = [("pom.xml", pom("")), (MAIN_FILE, MAIN.to_owned())];
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let forced = app(&files).settings(r#"{"build":{"framework":"spring-boot"}}"#).found();
    assert_eq!((forced.id.as_str(), forced.confidence), ("spring-boot", 100));
    let missing = app(&[("README.md", "")]).settings(r#"{"build":{"framework":"java"}}"#).refusal();
    assert_eq!(missing.code, "jvm.no-start");
}

#[test]
fn the_samples_are_what_they_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/samples");
    for (name, id) in [
        ("java-plain", "java"),
        ("java-jar", "java"),
        ("maven", "java"),
        ("gradle", "java"),
        ("spring-boot", "spring-boot"),
        ("kotlin", "ktor"),
        ("clojure", "clojure"),
        ("scala", "scala"),
    ] {
        let harness = windlass_sdk::testing::Harness::new(format!("{folder}/{name}"));
        let (found, plan) = harness.detect_and_plan::<windlass_plugin_jvm::Jvm>().unwrap();
        assert_eq!(found.id, id, "{name}");
        assert!(found.refusal.is_none() && plan.processes.len() == 1, "{name}");
    }
}
