//! A base assembled from Debian packages, as on a machine that reaches no image registry.
//!
//! This takes about a minute where `WINDLASS_BASE_CACHE` names no directory with the base in it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::PathBuf;

use common::{Host, plan, script, step};
use windlass_build::{BaseConfig, BasePolicy, Bases};
use windlass_model::plan::{Base, Op, Toolchain};

#[tokio::test]
async fn a_toolchain_is_assembled_once_and_imported_from_then_on() {
    let host = Host::start(241).await;
    let config = BaseConfig {
        data_dir: host.data.path().to_owned(),
        policy: BasePolicy::Assemble,
        cache_dir: std::env::var_os("WINDLASS_BASE_CACHE").map(PathBuf::from),
        certificates: None,
    };
    let bases = Bases::new(host.runtime.clone(), config);
    let node = Toolchain { name: "node".to_owned(), requirement: "22".to_owned() };
    let base = Base::Toolchains(vec![node]);
    let lines = std::sync::Mutex::new(Vec::new());
    let image = bases.resolve(&base, &|line| lines.lock().unwrap().push(line)).await.unwrap();
    let version = &image.toolchains[0].requirement;
    assert!(image.reference.ends_with(version), "{image:?}");
    assert!(lines.lock().unwrap().iter().any(|line| line.starts_with("unpacking")));

    let again = bases.resolve(&base, &|line| panic!("work was done again: {line}")).await.unwrap();
    assert_eq!(again, image);

    let builder = windlass_build::Builder::new(
        host.runtime.clone(),
        bases,
        windlass_build::BuildConfig {
            data_dir: host.data.path().to_owned(),
            limits: windlass_model::Limits::default(),
            certificates: None,
        },
    );
    let mut run = script(
        "node --version; npm --version; id node; mkdir /app; cd /app; \
         echo '{\"dependencies\":{\"left-pad\":\"1.3.0\"}}' > package.json; \
         npm install --no-audit --no-fund; node -e 'console.log(require(\"left-pad\")(7, 3))'",
    );
    run.network = true;
    let mut plan = plan(vec![step("app", base, vec![Op::Run(run)])]);
    plan.steps[0].env.clear();
    let built = builder.build(host.request(plan)).await.unwrap();
    assert!(host.log().contains(&format!("v{version}")), "{}", host.log());
    assert!(host.log().contains("\n  7\n"), "{}", host.log());
    assert_eq!(&built.artifact.toolchains[0].requirement, version);
    host.finish().await;
}
