//! What the plugin plans.

use crate::detect::{MAIN, SPRING, plugin, pom};
use crate::support::app;
use windlass_plugin_common::outline::outline;

#[test]
fn spring_boot_with_maven() {
    let boot = pom(&plugin("spring-boot-maven-plugin", ""));
    let files = [
        ("pom.xml", &boot as &str),
        ("mvnw", ""),
        (".mvn/wrapper/maven-wrapper.properties", ""),
        (".java-version", "17"),
        ("src/main/java/com/example/ShopApplication.java", SPRING),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn a_class_path_with_maven() {
    let files = [("pom.xml", pom("")), ("src/main/java/com/example/Main.java", MAIN.to_owned())];
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn a_distribution_with_gradle() {
    let files = [
        ("build.gradle", "plugins {\n  id 'application'\n}\n"),
        ("gradlew", ""),
        ("gradle/wrapper/gradle-wrapper.jar", ""),
        ("gradle/wrapper/gradle-wrapper.properties", ""),
        ("config/app.yml", ""),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn plain_java() {
    let main = "public class Main { public static void main(String[] a) {} }";
    insta::assert_snapshot!(outline(&app(&[("Main.java", main)]).plan()));
}

#[test]
fn a_committed_jar() {
    insta::assert_snapshot!(outline(&app(&[("shop.jar", "PK")]).plan()));
}

#[test]
fn scala_with_sbt() {
    let plugins = "addSbtPlugin(\"com.github.sbt\" % \"sbt-native-packager\" % \"1.10\")";
    let files = [("build.sbt", "name := \"x\""), ("project/plugins.sbt", plugins)];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn clojure_with_tools_build() {
    let files = [
        ("deps.edn", "{:aliases {:build {:deps {io.github.clojure/tools.build 1}}}}"),
        ("build.clj", "(defn uber [_] (b/uber {}))"),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn a_declared_command_finds_the_whole_build() {
    let jar = pom(&plugin(
        "maven-jar-plugin",
        "<archive><manifest><mainClass>a.B</mainClass></manifest></archive>",
    ));
    let files = [("pom.xml", &jar as &str), ("Procfile", "web: java -jar target/shop.jar\n")];
    let plan = app(&files).plan();
    assert_eq!(plan.processes[0].argv, ["java", "-jar", "target/shop.jar"]);
    let text = outline(&plan);
    assert!(text.contains("copy app/** of build to /"), "{text}");
    assert!(!text.contains("/out"), "{text}");
    let tool = [("pom.xml", &jar as &str), ("Procfile", "web: ./mvnw spring-boot:run\n")];
    assert!(outline(&app(&tool).plan()).contains("step runtime (prepare the runtime) on maven "));
    assert!(app(&tool).warnings()[0].contains("calls the build tool"));
}

#[test]
fn the_own_commands_of_the_settings_are_run() {
    let jar = pom(&plugin("spring-boot-maven-plugin", ""));
    let settings = r#"{"build":{"install":"mvn -o x","command":"make jar"},"run":{"port":9000}}"#;
    let plan = app(&[("pom.xml", &jar)]).settings(settings).plan();
    let text = outline(&plan);
    assert!(
        text.contains("run /bin/sh -c mvn -o x") && text.contains("run /bin/sh -c make jar"),
        "{text}"
    );
    assert_eq!(plan.processes[0].ports, [9000]);
}

#[test]
fn dropwizard_is_given_its_file() {
    let inside = format!(
        "<dependencies><dependency><groupId>io.dropwizard</groupId><artifactId>dropwizard-core</artifactId>\
         </dependency></dependencies>{}",
        plugin("maven-shade-plugin", "<mainClass>a.B</mainClass>")
    );
    let pom = pom(&inside);
    let yaml = "server:\n  applicationConnectors:\n    - type: http\n";
    let line = app(&[("pom.xml", &pom), ("config.yml", yaml)]).line();
    assert!(line.ends_with("-jar app.jar server config.yml"), "{line}");
    assert!(line.contains("'-Ddw.server.applicationConnectors[0].port='$PORT"), "{line}");
}
