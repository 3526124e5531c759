//! What is taken of a build: shell scripts that find it by its name and put it to `/out`, under a name
//! that the start command knows. Each fails with a sentence when there is none, or more than one.

use windlass_sdk::plan::Run;

use crate::app::{App, Package, Tool};
use crate::start::SCRIPT;

/// `$1`: folder; `$2`: how deep. A jar that runs by itself must name its main class.
const JAR: &str = r#"set -eu
mkdir -p /out
if [ ! -d "$1" ]; then echo "the build left no folder $1" >&2; exit 1; fi
jars=$(find "$1" -maxdepth "$2" -type f \( -name '*.jar' -o -name '*.war' \) ! -name '*-sources.jar' ! -name '*-javadoc.jar' ! -name '*-tests.jar' ! -name '*-plain.jar' ! -name '*-plain.war' ! -name 'original-*' ! -path "$1/lib/*" | sort)
for kind in standalone jar-with-dependencies all assembly shaded uber fat exec runner; do
  some=$(printf '%s\n' "$jars" | grep -E -- "-$kind(-[^/]*)?\.[jw]ar$" || true)
  if [ -n "$some" ]; then jars=$some; break; fi
done
if [ -z "$jars" ]; then echo "the build left no jar in $1: is it a library, or is build.command in windlass.toml another one?" >&2; exit 1; fi
if [ "$(printf '%s\n' "$jars" | wc -l)" -gt 1 ]; then
  echo "the build left several jars in $1, and it is not clear which one runs: set run.command in windlass.toml" >&2
  printf '%s\n' "$jars" >&2
  exit 1
fi
cp "$jars" /out/app.jar
if [ "$3" = runs ]; then
  work=$(mktemp -d)
  cd "$work"
  jar xf /out/app.jar META-INF/MANIFEST.MF
  if ! grep -q '^Main-Class:' META-INF/MANIFEST.MF; then
    echo "$jars has no Main-Class in its manifest: name the main class in the build, or set run.command in windlass.toml" >&2
    exit 1
  fi
fi"#;

/// `$1`: folder of the build. Before version 1.12 Quarkus left a jar with a folder beside it.
const QUARKUS: &str = r#"set -eu
mkdir -p /out
if [ -d "$1/quarkus-app" ]; then cp -R "$1/quarkus-app/." /out/; exit 0; fi
jar=$(find "$1" -maxdepth 1 -name '*-runner.jar')
if [ -z "$jar" ]; then echo "the build left neither $1/quarkus-app nor a *-runner.jar" >&2; exit 1; fi
cp "$jar" /out/quarkus-run.jar
if [ -d "$1/lib" ]; then cp -R "$1/lib" /out/lib; fi"#;

/// `$1`: folder in which distributions lie, with wildcards; `$2`: where it goes; `$3`: the script's name.
const DISTRIBUTION: &str = r#"set -eu
set -- "$2" "$3" $1
to=$1 name=$2
shift 2
if [ "$#" -ne 1 ] || [ ! -d "$1/bin" ]; then echo "the build left no distribution, or several: $*" >&2; exit 1; fi
mkdir -p "$to"
cp -R "$1/." "$to/"
scripts=$(find "$to/bin" -maxdepth 1 -type f ! -name '*.bat' | sort)
if [ "$(printf '%s\n' "$scripts" | wc -l)" -gt 1 ]; then
  echo "the distribution has several start scripts: set run.command in windlass.toml" >&2
  printf '%s\n' "$scripts" >&2
  exit 1
fi
chmod 755 "$scripts"
if [ ! -e "$to/bin/$name" ]; then ln -s "$(basename "$scripts")" "$to/bin/$name"; fi"#;

/// The command that collects, where something is to be.
pub(crate) fn run(app: &App) -> Option<Run> {
    let script = |text: &str, arguments: &[&str]| {
        let mut argv = vec!["/bin/sh", "-c", text, "collect"];
        argv.extend(arguments);
        Run::new(argv)
    };
    let (folder, depth) = match app.tool {
        Tool::Gradle => (app.path("build"), "1"),
        Tool::Maven => (app.path("target"), "1"),
        _ => (app.path("target"), "2"),
    };
    let jars = match app.tool {
        Tool::Gradle => app.path("build/libs"),
        _ => folder.clone(),
    };
    match &app.package {
        Package::Jar | Package::War if app.tool == Tool::Nothing => None,
        Package::Jar => Some(script(JAR, &[&jars, depth, "runs"])),
        Package::ClassPath(_) | Package::War => Some(script(JAR, &[&jars, depth, "class path"])),
        Package::Quarkus => Some(script(QUARKUS, &[&folder])),
        Package::Distribution if app.tool == Tool::Sbt => {
            let stage = format!("/out/{}", crate::start::STAGE);
            let from = if app.module.is_empty() {
                "target/universal/stage */target/universal/stage".to_owned()
            } else {
                app.path("target/universal/stage")
            };
            Some(
                script(DISTRIBUTION_OF_SBT, &[&from, &stage, SCRIPT])
                    .env("DISTRIBUTION", DISTRIBUTION),
            )
        }
        Package::Distribution => {
            let from = app.path("build/install/*");
            Some(script(DISTRIBUTION, &[&from, "/out", SCRIPT]))
        }
        Package::Classes(_) => None,
    }
}

/// Of the folders in `$1` those that are there.
const DISTRIBUTION_OF_SBT: &str = r#"set -eu
found=
for folder in $1; do if [ -d "$folder" ]; then found="$found $folder"; fi; done
exec /bin/sh -c "$DISTRIBUTION" collect "$found" "$2" "$3""#;
