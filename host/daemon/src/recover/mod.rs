//! `windlass recover`: rebuilds the state of a host that has lost it, from what still runs.
//!
//! Sources, each for what only it knows: the newest verified backup (history, variables, tokens), the
//! records of live deployments in containerd's content store (what is live and how it was made), the
//! labels of containers (where a record is missing, and which instances run), the proxy's table file
//! (host names, generations, the epoch), the network driver's records (subnets and addresses).
//!
//! **Invariants.** Nothing that runs is touched: visitors do not notice. The damaged state is kept
//! beside. No route can be taken back by what was rebuilt: epochs, generations and numbers only grow.

pub(crate) mod record;
mod seen;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_containers::{Engine, Runtime, known_networks};
use windlass_model::deployment::ArtifactKind;
use windlass_model::recovery::{RecoverReport, RecoveredEnvironment, RecoveredFrom};
use windlass_model::variable::{Scope, Variable};
use windlass_model::{DeploymentStatus, Failure, HostId, Limits, Timestamp};
use windlass_proxy::{Route, read_table};
use windlass_store::{Found, Store, StoreAddresses, StoreError, known_host_id};

use self::record::LiveRecord;
use self::seen::Seen;

/// What to recover, and how.
#[derive(Debug, Clone)]
pub struct RecoverConfig {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Socket of the containerd that `windlass serve` was given; the own one when absent.
    pub containerd: Option<PathBuf>,
    /// This binary.
    pub exe: PathBuf,
    /// The host's id, where the data directory does not say it any more.
    pub host: Option<HostId>,
    /// This backup instead of the newest in the data directory.
    pub backup: Option<PathBuf>,
    /// No backup at all.
    pub without_backup: bool,
    /// Say what would be done and change nothing.
    pub dry_run: bool,
}

/// Rebuilds the state. `windlass serve` must not run.
///
/// # Errors
/// `recover.not-lost` when the state is there, `recover.no-host`, `store.in-use`, or what failed.
pub async fn recover(config: RecoverConfig) -> Result<RecoverReport, Failure> {
    let host = identify(&config)?;
    let reason = lost(&config)?;
    let backup = choose_backup(&config)?;
    let set_aside = if config.dry_run { None } else { set_aside(&config.data_dir)? };
    let store = open(&config, &host, backup.as_deref()).await?;
    let mut lost = Vec::new();
    if backup.is_some() {
        settle(&store, &mut lost).await?;
    }
    put_back_networks(&store, &host)?;
    let routes = routes(&config.data_dir, &store, &mut lost).await?;
    let engine = engine(&config, &host, &store).await?;
    let containers = engine.list(&windlass_containers::Labels::new()).await;
    let containers = containers.map_err(|e| e.failure("the containers could not be listed"))?;
    let seen = Seen { routes, containers };
    let records = records(&engine, &seen, &mut lost).await?;
    let mut environments = Vec::new();
    for (record, from) in records {
        let put = put_back(&store, &engine, &seen, record, from, &mut lost);
        environments.push(Box::pin(put).await?);
    }
    say_what_is_lost(&environments, backup.is_some(), &mut lost);
    let dry_run = config.dry_run;
    Ok(RecoverReport { host, dry_run, reason, backup, set_aside, environments, lost })
}

/// Whose state it was.
fn identify(config: &RecoverConfig) -> Result<HostId, Failure> {
    if let Some(host) = &config.host {
        return Ok(host.clone());
    }
    if let Ok(Some(host)) = known_host_id(&config.data_dir) {
        return Ok(host);
    }
    // Our own containerd's configuration names the data directory.
    let entries = std::fs::read_dir("/run/windlass").into_iter().flatten().flatten();
    let dir = config.data_dir.join("containerd").display().to_string();
    let names_it = |entry: &std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path().join("containerd.toml"));
        text.is_ok_and(|text| text.contains(&dir))
    };
    let mut found =
        entries.filter(names_it).filter_map(|entry| entry.file_name().into_string().ok());
    found.find_map(|name| name.parse().ok()).ok_or_else(|| {
        Failure::app(
            "recover.no-host",
            format!("no host was ever started in {}", config.data_dir.display()),
            "its file host-id is missing, and no containerd that runs names it",
            "name the folder that `windlass serve` uses with --data-dir; if it is the right one, give \
             the host's id with --host: it is the name of a folder in /run/windlass, and containerd's \
             namespaces are called windlass-<id>",
        )
    })
}

/// Why the state is lost; a failure when it is not.
fn lost(config: &RecoverConfig) -> Result<String, Failure> {
    if !config.data_dir.join("store").exists() {
        return Ok("there is no state".to_owned());
    }
    match Store::open(&config.data_dir, Limits::default()) {
        Err(error @ StoreError::InUse { .. }) => Err(error.to_failure()),
        Err(error) => Ok(error.to_string()),
        Ok(store) if store.is_empty().map_err(|e| e.to_failure())? => {
            Ok("the state holds no project".to_owned())
        }
        Ok(_) => Err(Failure::app(
            "recover.not-lost",
            "there is nothing to recover",
            "the state can be read and holds projects",
            "start `windlass serve`; to go back to a backup use `windlass restore FILE`",
        )),
    }
}

/// The given backup, else the newest that can be verified.
fn choose_backup(config: &RecoverConfig) -> Result<Option<PathBuf>, Failure> {
    if config.without_backup {
        return Ok(None);
    }
    if let Some(backup) = &config.backup {
        crate::backup::verify(backup)?;
        return Ok(Some(backup.clone()));
    }
    let mut backups = crate::backup::files(&config.data_dir.join("backups"));
    backups.reverse();
    Ok(backups.into_iter().find(|file| match crate::backup::verify(file) {
        Ok(_) => true,
        Err(failure) => {
            tracing::warn!(%failure, file = %file.display(), "a backup is passed over");
            false
        }
    }))
}

/// Moves what is left of the state out of the way.
fn set_aside(data_dir: &Path) -> Result<Option<PathBuf>, Failure> {
    let store = data_dir.join("store");
    if !store.exists() {
        return Ok(None);
    }
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
    let aside = data_dir.join(format!("store.lost-{time}"));
    std::fs::rename(&store, &aside).map_err(|e| {
        Failure::host(
            "recover.set-aside",
            format!("{} could not be moved aside", store.display()),
            e.to_string(),
            "check the permissions of the data directory, then run `windlass recover` again",
        )
    })?;
    Ok(Some(aside))
}

/// The store that is filled: for a dry run one in memory.
async fn open(
    config: &RecoverConfig,
    host: &HostId,
    backup: Option<&Path>,
) -> Result<Store, Failure> {
    if config.dry_run {
        return Store::in_memory(Limits::default()).map_err(|e| e.to_failure());
    }
    if let Some(backup) = backup {
        crate::backup::restore_state(backup, &config.data_dir)?;
    }
    let (data_dir, host) = (config.data_dir.clone(), host.clone());
    let opened = tokio::task::spawn_blocking(move || {
        Store::open_anew(&data_dir, Limits::default(), &host).map_err(|e| e.to_failure())
    });
    opened.await.map_err(|e| internal(&e.to_string()))?
}

/// What the backup shows at work was cut off.
async fn settle(store: &Store, lost: &mut Vec<String>) -> Result<(), Failure> {
    let failed = store.settle_unsettled(&crate::backup::interrupted()).await;
    crate::cron::recover::forgo(store).await?;
    match failed.map_err(|e| e.to_failure())? {
        0 => {}
        n => lost.push(format!("{n} deployments that the backup shows at work: marked as failed")),
    }
    Ok(())
}

fn put_back_networks(store: &Store, host: &HostId) -> Result<(), Failure> {
    let known = known_networks(host).map_err(|e| e.failure("the networks could not be read"))?;
    for network in known {
        store
            .put_back_network(&network.name, network.subnet, network.containers)
            .map_err(|e| e.to_failure())?;
    }
    Ok(())
}

/// The routes that visitors are served by; the proxy's epoch is kept, so that it goes on listening to
/// this host.
async fn routes(
    data_dir: &Path,
    store: &Store,
    lost: &mut Vec<String>,
) -> Result<Vec<Route>, Failure> {
    let file = data_dir.join("proxy-table.json");
    match read_table(&file) {
        Ok(Some((epoch, routes))) => {
            let known = crate::last_epoch(store)?;
            crate::keep_epoch(store, epoch.max(known)).await?;
            Ok(routes)
        }
        Ok(None) => {
            lost.push(
                "the host names: there is no proxy-table.json; add them again with `windlass \
                       domain add`"
                    .to_owned(),
            );
            Ok(Vec::new())
        }
        Err(error) => {
            lost.push(format!(
                "the host names: proxy-table.json cannot be read ({error}); add them \
                               again with `windlass domain add`"
            ));
            Ok(Vec::new())
        }
    }
}

async fn engine(config: &RecoverConfig, host: &HostId, store: &Store) -> Result<Engine, Failure> {
    let addresses =
        StoreAddresses::new(store.clone(), Arc::new(windlass_containers::subnet_in_use));
    let engine = windlass_containers::Config {
        data_dir: config.data_dir.clone(),
        host_id: host.clone(),
        containerd: config.containerd.clone(),
        logger_exe: config.exe.clone(),
        limits: Limits::default(),
    };
    Engine::start(engine, Arc::new(addresses))
        .await
        .map_err(|e| e.failure("the container runtime could not be reached"))
}

/// What was live: the records, and what is known by labels alone.
async fn records(
    engine: &Engine,
    seen: &Seen,
    lost: &mut Vec<String>,
) -> Result<Vec<(LiveRecord, RecoveredFrom)>, Failure> {
    let (records, unreadable) = record::read_all(engine).await?;
    lost.extend(unreadable);
    let unrecorded = seen.without_record(&records);
    let mut found: Vec<(LiveRecord, RecoveredFrom)> =
        records.into_iter().map(|record| (record, RecoveredFrom::Record)).collect();
    for (id, container) in unrecorded {
        let Some(record) = seen::from_labels(engine, &id, container).await? else {
            lost.push(format!("what {} is: it has no labels of a deployment", container.id));
            continue;
        };
        let of = &record.deployment;
        let taken = found.iter().any(|(other, _)| {
            other.deployment.project == of.project
                && other.deployment.environment == of.environment
                && seen.is_live(&other.deployment)
        });
        if seen.is_live(of) && !taken {
            found.push((record, RecoveredFrom::Labels));
        } else {
            lost.push(format!(
                "#{} of {}/{}: it was being started or replaced; its containers are removed at the \
                 next start",
                of.number, of.project, of.environment
            ));
        }
    }
    Ok(found)
}

async fn put_back(
    store: &Store,
    engine: &Engine,
    seen: &Seen,
    mut record: LiveRecord,
    from: RecoveredFrom,
    lost: &mut Vec<String>,
) -> Result<RecoveredEnvironment, Failure> {
    let live = seen.is_live(&record.deployment);
    let deployment = &mut record.deployment;
    let (project, environment) = (deployment.project.clone(), deployment.environment.clone());
    let instances = seen.instances(&deployment.id);
    if live && !instances.is_empty() {
        deployment.outputs.instances.clone_from(&instances);
    }
    deployment.status = if live { DeploymentStatus::Live } else { DeploymentStatus::Stopped };
    let route = seen.route(&project, &environment);
    let generation = route.map_or(0, |route| route.generation);
    if live && generation > 0 {
        deployment.outputs.generation = Some(generation);
    }
    let mut domains: Vec<String> = route.map(|route| route.hosts.clone()).unwrap_or_default();
    domains.extend(route.filter(|route| route.is_default).map(|_| "*".to_owned()));
    let variables = variables(engine, &record, &instances, lost).await?;
    let deployment = record.deployment.clone();
    let services: Vec<_> = record.services.iter().map(|service| service.name.clone()).collect();
    let plan = deployment.outputs.plan.clone().zip(record.plan);
    let of_schedules = deployment.clone();
    let found = Found {
        project: record.project,
        is_live: live,
        generation,
        plan,
        services: record.services,
        domains: domains.clone(),
        variables,
        deployment,
    };
    let (deployment, number) = (found.deployment.id.clone(), found.deployment.number);
    let put = store.put_back(found).await.map_err(|e| e.to_failure())?;
    crate::cron::recover::begin_anew(store, &of_schedules).await?;
    let instances = instances.into_iter().map(|instance| instance.id).collect();
    let variables = put.variables;
    Ok(RecoveredEnvironment {
        project,
        environment,
        deployment,
        number,
        live,
        from,
        instances,
        domains,
        services,
        variables,
    })
}

/// The environment's variables as its instances have them, without what the image and Windlass set.
async fn variables(
    engine: &Engine,
    record: &LiveRecord,
    instances: &[windlass_model::deployment::Instance],
    lost: &mut Vec<String>,
) -> Result<Vec<Variable>, Failure> {
    const OURS: [&str; 4] = ["PORT", "PATH", "HOME", "HOSTNAME"];
    let outputs = record.deployment.outputs.artifact.iter().flat_map(|a| &a.outputs);
    let of_images: Vec<&(String, String)> = outputs
        .filter_map(|output| match &output.kind {
            ArtifactKind::Image { config } => Some(&config.env),
            ArtifactKind::StaticTree { .. } => None,
        })
        .flatten()
        .collect();
    let mut found: Vec<Variable> = Vec::new();
    for instance in instances {
        let set = engine.variables_of(&instance.id).await;
        let set = set.map_err(|e| e.failure("a container's variables could not be read"))?;
        for (name, value) in set.unwrap_or_default() {
            let from_image = of_images.iter().any(|(n, v)| *n == name && v == value.expose());
            let ours = name.starts_with("WINDLASS_") || OURS.contains(&name.as_str());
            if from_image || ours || found.iter().any(|known| known.name.as_str() == name) {
                continue;
            }
            match name.parse() {
                Ok(name) => found.push(Variable { name, value, scope: Scope::Run, secret: true }),
                Err(_) => lost.push(format!("the variable {name:?}: its name is not valid")),
            }
        }
    }
    Ok(found)
}

fn say_what_is_lost(
    environments: &[RecoveredEnvironment],
    has_backup: bool,
    lost: &mut Vec<String>,
) {
    if environments.iter().any(|environment| !environment.variables.is_empty()) {
        lost.push(
            "which variables were secret, and those that only builds see: what the instances had was \
             taken as secret with the scope `run`; set the others again with `windlass env set`"
                .to_owned(),
        );
    }
    if !has_backup {
        lost.push(
            "history, tokens for Git and for the API, webhooks, and environments in which nothing is \
             live: no backup was there; make them again"
                .to_owned(),
        );
    }
}

fn internal(why: &str) -> Failure {
    Failure::host(
        "recover.failed",
        "the state could not be opened",
        why,
        "run `windlass recover` again; if it happens again, report it with the log",
    )
}
