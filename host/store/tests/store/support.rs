//! Names and records that the tests share.

use windlass_model::deployment::{Kind, Source};
use windlass_model::project::Project;
use windlass_model::variable::{Scope, Variable};
use windlass_model::{Deployment, DeploymentStatus, EnvironmentName, Limits, ProjectName, Secret};
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
    store
        .ensure_environment(&shop(), &production())
        .await
        .unwrap();
}

pub(crate) fn deployment(environment: &EnvironmentName, status: DeploymentStatus) -> Deployment {
    let source = Source::Git {
        url: "https://example.com/shop.git".into(),
        reference: None,
    };
    let mut deployment = Deployment::queued(
        shop(),
        environment.clone(),
        0,
        Kind::Deploy,
        source,
        "test".into(),
    );
    deployment.status = status;
    deployment
}

pub(crate) fn variable(name: &str, value: &str, scope: Scope, secret: bool) -> Variable {
    let value = Secret::new(value.to_owned());
    Variable {
        name: name.parse().unwrap(),
        value,
        scope,
        secret,
    }
}

/// A small seeded generator: the same seed, the same run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
