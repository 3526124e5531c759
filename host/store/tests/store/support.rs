//! Names and records that the tests share.

use windlass_model::deployment::{Kind, Source};
use windlass_model::project::Project;
use windlass_model::variable::{Scope, Variable};
use windlass_model::{
    Deployment, DeploymentStatus, Digest, EnvironmentName, Limits, ProjectName, Secret,
};
use windlass_store::Store;

pub(crate) fn shop() -> ProjectName {
    "shop".parse().unwrap()
}

pub(crate) fn production() -> EnvironmentName {
    EnvironmentName::production()
}

pub(crate) fn memory() -> Store {
    Store::in_memory(Limits::default()).unwrap()
}

/// A store in memory with the project `shop` and its environment `production`.
pub(crate) async fn with_shop() -> Store {
    let store = memory();
    make_shop(&store).await;
    store
}

pub(crate) async fn make_shop(store: &Store) {
    store.create_project(&Project::new(shop())).await.unwrap();
    store.ensure_environment(&shop(), &production()).await.unwrap();
}

pub(crate) fn deployment(environment: &EnvironmentName, status: DeploymentStatus) -> Deployment {
    let source = Source::Git { url: "https://example.com/shop.git".into(), reference: None };
    let mut deployment =
        Deployment::queued(shop(), environment.clone(), 0, Kind::Deploy, source, "test".into());
    deployment.status = status;
    deployment
}

pub(crate) fn variable(name: &str, value: &str, scope: Scope, secret: bool) -> Variable {
    let value = Secret::new(value.to_owned());
    Variable { name: name.parse().unwrap(), value, scope, secret }
}

/// A small seeded generator: the same seed, the same run.
pub(crate) struct Random(u64);

impl Random {
    /// From `WINDLASS_TEST_SEED`, or a fixed seed; says which.
    pub(crate) fn seeded() -> Self {
        let seed = std::env::var("WINDLASS_TEST_SEED").unwrap_or_else(|_| "store".to_owned());
        println!("WINDLASS_TEST_SEED={seed}");
        let digest = Digest::of(seed.as_bytes());
        Self(u64::from_str_radix(&digest.hex()[..16], 16).unwrap() | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// How often a matrix is gone through: all of it in a soak, a sample of it otherwise.
pub(crate) fn rounds(sample: u64, full: u64) -> u64 {
    match std::env::var("WINDLASS_TEST_EXTENT") {
        Ok(extent) if extent == "full" => full,
        _ => sample,
    }
}
