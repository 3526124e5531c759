//! Publications: checked, fenced, synced to the file, then put in force.
//!
//! **Invariant: file and table change under one lock, the file first.** What is in force after a
//! restart is what was acknowledged, or the one publication that was being written.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::ProxyError;
use crate::control::protocol::{ControlError, ErrorCode};
use crate::file::{self, Saved};
use crate::generation::{Backend, Generation};
use crate::limits::ProxyLimits;
use crate::pool::Upstream;
use crate::route::{Route, Targets};
use crate::statics::Tree;
use crate::table::{Entry, Routing, Table};

/// The publications' side of the routing table.
pub(crate) struct State {
    routing: Arc<Routing>,
    limits: ProxyLimits,
    file: PathBuf,
    epoch: Mutex<u64>,
}

fn refuse(code: ErrorCode, message: impl Into<String>) -> ControlError {
    ControlError { code, message: message.into() }
}

impl State {
    /// Loads the table file and puts it in force.
    pub(crate) fn restore(
        file: PathBuf,
        limits: ProxyLimits,
        routing: Arc<Routing>,
    ) -> Result<Self, ProxyError> {
        let saved = file::load(&file)?;
        let entries = saved.routes.into_iter().map(|route| {
            let backend = open(&route.targets, &limits).unwrap_or_else(|error| {
                tracing::error!(route = route.name, %error, "a static tree cannot be served");
                Backend::Lost("its files are missing".to_owned())
            });
            Entry { generation: Generation::new(&route, backend), route }
        });
        routing.restore(entries);
        Ok(Self { routing, limits, file, epoch: Mutex::new(saved.epoch) })
    }

    /// Meets a client: a lower epoch than seen is refused, a higher one remembered for good.
    pub(crate) async fn meet(&self, epoch: Option<u64>) -> Result<u64, ControlError> {
        let mut seen = self.epoch.lock().await;
        if let Some(epoch) = epoch {
            fence(epoch, *seen)?;
            if epoch > *seen {
                self.save(epoch, self.routing.load().routes()).await?;
                *seen = epoch;
            }
        }
        Ok(*seen)
    }

    /// Refuses a client that a newer one has replaced.
    pub(crate) async fn still_valid(&self, epoch: u64) -> Result<(), ControlError> {
        fence(epoch, *self.epoch.lock().await)
    }

    pub(crate) async fn put(&self, epoch: u64, route: Route) -> Result<(), ControlError> {
        let route = route.check().map_err(|e| refuse(ErrorCode::InvalidRoute, e.to_string()))?;
        let seen = self.epoch.lock().await;
        fence(epoch, *seen)?;
        let table = self.routing.load_full();
        let old = table.get(&route.name);
        let lost = old.is_some_and(|old| matches!(old.generation.backend, Backend::Lost(_)));
        if let Some(old) = old
            && unchanged(&old.route, &route)?
            && !lost
        {
            return Ok(());
        }
        check_hosts(&table, &route)?;
        let keeps_targets = old.is_some_and(|old| old.route.targets == route.targets) && !lost;
        let backend = if keeps_targets {
            None
        } else {
            Some(open(&route.targets, &self.limits).map_err(|error| {
                let says = format!("route {:?} cannot be served: {error}", route.name);
                refuse(ErrorCode::StaticRoot, says)
            })?)
        };
        let mut routes: Vec<Route> =
            table.routes().into_iter().filter(|r| r.name != route.name).collect();
        routes.push(route.clone());
        self.save(*seen, routes).await?;
        tracing::info!(route = route.name, generation = route.generation, "route in force");
        self.routing.put(route, backend);
        drop(seen);
        Ok(())
    }

    pub(crate) async fn remove(&self, epoch: u64, name: &str) -> Result<(), ControlError> {
        let seen = self.epoch.lock().await;
        fence(epoch, *seen)?;
        let mut routes = self.routing.load().routes();
        let before = routes.len();
        routes.retain(|route| route.name != name);
        if routes.len() < before {
            self.save(*seen, routes).await?;
            tracing::info!(route = name, "route withdrawn");
            self.routing.remove(name);
        }
        drop(seen);
        Ok(())
    }

    async fn save(&self, epoch: u64, routes: Vec<Route>) -> Result<(), ControlError> {
        let (file, saved) = (self.file.clone(), Saved::new(epoch, routes));
        let done = tokio::task::spawn_blocking(move || file::save(&file, &saved)).await;
        done.unwrap_or_else(|e| Err(std::io::Error::other(e))).map_err(|error| {
            let says = format!(
                "the table file {} could not be written: {error}; the routes in force stay as they \
                 were; free space or fix the folder's permissions and try again",
                self.file.display()
            );
            refuse(ErrorCode::TableFile, says)
        })
    }
}

fn fence(epoch: u64, seen: u64) -> Result<(), ControlError> {
    if epoch >= seen {
        return Ok(());
    }
    let says = format!(
        "a newer control plane (epoch {seen}) has taken over from this one (epoch {epoch}); stop \
         the older `windlass serve`"
    );
    Err(refuse(ErrorCode::Fenced, says))
}

/// Whether the route is in force already, as it is. An older generation, or the same with other
/// content, is refused.
fn unchanged(old: &Route, new: &Route) -> Result<bool, ControlError> {
    if new == old {
        return Ok(true);
    }
    if new.generation > old.generation {
        return Ok(false);
    }
    let says = format!(
        "route {:?}: generation {} is in force, and {} with other content is not newer; publish it \
         with a higher generation",
        old.name, old.generation, new.generation
    );
    Err(refuse(ErrorCode::StaleGeneration, says))
}

fn check_hosts(table: &Table, route: &Route) -> Result<(), ControlError> {
    for other in table.routes().iter().filter(|other| other.name != route.name) {
        if let Some(host) = route.hosts.iter().find(|host| other.hosts.contains(host)) {
            let says =
                format!("the host {host} belongs to {:?}; remove it there first", other.name);
            return Err(refuse(ErrorCode::HostTaken, says));
        }
        if route.is_default && other.is_default {
            let says = format!("{:?} is the default route already", other.name);
            return Err(refuse(ErrorCode::HostTaken, says));
        }
    }
    Ok(())
}

fn open(targets: &Targets, limits: &ProxyLimits) -> std::io::Result<Backend> {
    Ok(match targets {
        Targets::Instances { instances } => Backend::Upstream(Upstream::new(instances, limits)),
        Targets::Static { root, spa_fallback, not_found, withheld } => {
            let tree = Tree::open(root, spa_fallback.as_deref(), not_found.as_deref(), withheld);
            let says = |e: std::io::Error| {
                std::io::Error::new(e.kind(), format!("{}: {e}", root.display()))
            };
            Backend::Static(Arc::new(tree.map_err(says)?))
        }
        Targets::None { .. } => Backend::Nobody,
    })
}
