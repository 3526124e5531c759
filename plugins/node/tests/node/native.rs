//! Packages that need more of the system than Node.js.

use crate::support::app;
use windlass_plugin_common::outline::outline;

fn plan(dependencies: &str) -> String {
    let package =
        format!(r#"{{"dependencies":{{{dependencies}}},"scripts":{{"start":"node a.js"}}}}"#);
    outline(&app(&[("package.json", &package), ("package-lock.json", "{}")]).plan())
}

#[test]
fn compilers_stay_out_of_the_image_that_runs() {
    let text = plan(r#""bcrypt":"5""#);
    assert!(text.contains("step system (install system packages) on node 22"), "{text}");
    assert!(text.contains("--no-install-recommends python3 make g++ &&"));
    let runtime = text.split("step runtime").nth(1).unwrap();
    assert!(!runtime.contains("apt-get"), "{text}");
    assert!(runtime.contains("copy app/** of build to / as 1000:1000"));
}

#[test]
fn libraries_are_where_the_application_runs() {
    let text = plan(r#""@prisma/client":"6""#);
    assert_eq!(text.matches("--no-install-recommends openssl &&").count(), 2, "{text}");
    let text = plan(r#""puppeteer":"24""#);
    assert!(text.contains("--no-install-recommends chromium fonts-liberation &&"), "{text}");
    assert!(text.contains("PUPPETEER_EXECUTABLE_PATH=/usr/bin/chromium"));
    let text = plan(r#""playwright":"1""#);
    assert!(text.contains("run playwright install chromium +network"), "{text}");
    assert!(text.contains("libnss3") && text.contains("PLAYWRIGHT_BROWSERS_PATH=/app/.browsers"));
}

#[test]
fn what_brings_its_own_binaries_needs_nothing() {
    assert!(!plan(r#""sharp":"0.34","pg":"8""#).contains("apt-get"));
}
