//! A real PostgreSQL in a container on the environment's network: the migration runs once, in the output
//! that it names, before the switch.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use windlass_containers::runtime::{
    Attachment, ContainerSpec, LABEL_GC_ROOT, Labels, LogSpec, Rootfs,
};
use windlass_containers::{Config, Engine, Runtime as _};
use windlass_model::network::{AddressError, Addresses, Subnet};
use windlass_model::{Limits, StepName, StepStatus};
use windlass_test_support::{Deployed, GitRepo, Load, TestHost, bases_dir, binary};

const PASSWORD: &str = "correct-horse-battery";

#[test]
fn a_migration_runs_once_in_its_output_before_the_switch_against_a_real_postgresql() {
    let host = TestHost::start();
    // The first deployment makes the environment's network, which the database then joins.
    host.deploy_git("shop", &GitRepo::of_fixture("express"), &[]).live();
    let script = format!("{POSTGRES_INIT}{POSTGRES_SERVE}");
    POSTGRES.start(&host, "shop-production-", &script);
    let url = format!("DATABASE_URL=postgres://app:{PASSWORD}@db:5432/postgres");
    host.cli(&["env", "set", "--secret", &url, "--project", "shop"]).ok();
    let service = ["service", "add", "db", "--kind", "postgres", "--address", "db:5432"];
    host.cli(&[&service[..], &["--variable", "DATABASE_URL", "--project", "shop"]].concat()).ok();

    let repo = GitRepo::of_fixture("postgres");
    let first = host.deploy_git("shop", &repo, &[]).live();
    assert_eq!(migrated(&host), [id(&first)]);
    assert_once_before_the_switch(&first);
    assert!(!format!("{first:?}").contains(PASSWORD), "the record holds no secret");

    let again = host.deploy_git("shop", &repo, &[]).live();
    assert_eq!(migrated(&host), [id(&first), id(&again)], "once for each deployment");
    assert_eq!(again.step(StepName::Build), StepStatus::Cached);
    let number = first.number().to_string();
    let back = Deployed::of(&host.cli_json(&["rollback", &number, "--project", "shop"])).live();
    assert_eq!(back.step(StepName::Migrate), StepStatus::Skipped, "a rollback never migrates");
    assert_eq!(migrated(&host), [id(&first), id(&again)]);

    failing_migrations_change_nothing(&host, &repo);
    assert_eq!(migrated(&host), [id(&first), id(&again)]);
    host.finish();
}

/// With a database that is not there, and with a service that does not answer.
fn failing_migrations_change_nothing(host: &TestHost, repo: &GitRepo) {
    let load = Load {
        quick: "/health".into(),
        slow: "/health".into(),
        ..Load::on(host.proxy_address(), "shop.localhost")
    };
    let load = load.start();
    let url = format!("DATABASE_URL=postgres://app:{PASSWORD}@db:5432/absent");
    host.cli(&["env", "set", "--secret", &url, "--project", "shop"]).ok();
    let failure = host.deploy_git("shop", repo, &[]).failed("app.database-missing");
    assert_eq!(failure.general.as_deref(), Some("migrate.failed"));
    assert!(failure.why.contains("absent"), "{failure:#?}");
    let shown: Vec<&str> = failure.log.iter().map(|line| line.text.as_str()).collect();
    assert!(shown.iter().any(|line| line.contains("\"absent\" does not exist")), "{shown:#?}");

    // The database asks this user for a password, and refuses every one.
    let url = format!("DATABASE_URL=postgres://locked:{PASSWORD}@db:5432/postgres");
    host.cli(&["env", "set", "--secret", &url, "--project", "shop"]).ok();
    let failure = host.deploy_git("shop", repo, &[]).failed("app.database-login");
    assert!(failure.why.contains("locked"), "{failure:#?}");

    host.cli(&["service", "add", "cache", "--address", "db:6379", "--project", "shop"]).ok();
    let failure = host.deploy_git("shop", repo, &[]).failed("preflight.service-unreachable");
    assert!(failure.what.contains("cache"), "{failure:#?}");
    load.stop().assert_unharmed(50, &["ok"]);
}

fn id(deployed: &Deployed) -> String {
    deployed.view.deployment.id.to_string()
}

/// Deployments that the database knows a migration of.
fn migrated(host: &TestHost) -> Vec<String> {
    let answer = host.get("shop.localhost", "/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The migration ran well, in an output that there is, and ended before the switch.
pub(crate) fn assert_once_before_the_switch(deployed: &Deployed) {
    let deployment = &deployed.view.deployment;
    let record = deployment.outputs.migration.clone().unwrap();
    assert_eq!(record.exit_code, Some(0));
    let artifact = deployment.outputs.artifact.clone().unwrap();
    assert!(artifact.output(&record.migration.output).is_some(), "{}", record.migration.output);
    let migrate = deployment.step(StepName::Migrate).unwrap();
    let switch = deployment.step(StepName::Switch).unwrap();
    assert!(migrate.ended_at.unwrap() <= switch.started_at.unwrap());
}

/// A database server of Debian, for a container beside the applications of a host.
pub(crate) struct Database {
    /// Of its container and of its root file system.
    id: &'static str,
    /// The Debian package.
    package: &'static str,
    /// Who runs it.
    user: &'static str,
}

pub(crate) const POSTGRES: Database =
    Database { id: "test-postgres", package: "postgresql", user: "postgres" };
pub(crate) const MARIADB: Database =
    Database { id: "test-mariadb", package: "mariadb-server", user: "mysql" };

/// Makes an empty PostgreSQL whose user is `app`; `locked` is asked for a password.
pub(crate) const POSTGRES_INIT: &str = "set -e\nbin=$(ls -d /usr/lib/postgresql/*/bin)\n\
    $bin/initdb --pgdata /tmp/data --username app --auth trust --encoding UTF8 --no-sync\n\
    echo 'host all locked all scram-sha-256' >> /tmp/data/pg_hba.conf\n\
    echo 'host all all all trust' >> /tmp/data/pg_hba.conf\n";
/// Serves it.
pub(crate) const POSTGRES_SERVE: &str = "exec $bin/postgres -D /tmp/data -c listen_addresses='*' \
    -c fsync=off -c unix_socket_directories=/tmp -c dynamic_shared_memory_type=mmap";

impl Database {
    /// Starts it as `db` in the network whose name begins so, beside the applications of the host.
    ///
    /// It uses the host's own containerd and its namespace, so the host's teardown takes it away. Its
    /// address, which is returned, is the 200th of the subnet: the host counts from the first.
    pub(crate) fn start(&self, host: &TestHost, network_prefix: &str, script: &str) -> Ipv4Addr {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let run = PathBuf::from(format!("/run/windlass/{}", host.id()));
            let (network, subnet) = network(&run, network_prefix);
            let config = Config {
                data_dir: host.data_dir(),
                host_id: host.id().clone(),
                containerd: Some(run.join("containerd.sock")),
                logger_exe: binary(),
                limits: Limits::default(),
            };
            let engine = Engine::start(config, Arc::new(Beside(subnet))).await.unwrap();
            let labels = Labels::from([(LABEL_GC_ROOT.to_owned(), "test".to_owned())]);
            let archive = tokio::fs::File::open(debian_with(self.id, self.package)).await.unwrap();
            engine.import_rootfs(self.id, Box::new(archive), &labels).await.unwrap();
            let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
            let log_dir = host.data_dir().with_file_name(format!("{}-log", self.id));
            let log = LogSpec::instance(log_dir, &Limits::default(), Vec::new());
            let rootfs = Rootfs::Committed(self.id.to_owned());
            let mut spec = ContainerSpec::new(self.id, rootfs, argv, log);
            spec.user = Some(self.user.to_owned());
            spec.network = Some(Attachment::member(network, vec!["db".to_owned()]));
            engine.create_and_start(&spec).await.unwrap();
            subnet.host(200).unwrap()
        })
    }
}

/// The archive of a Debian root file system with a package, assembled once and kept beside the bases.
pub(crate) fn debian_with(id: &str, package: &str) -> PathBuf {
    let done = bases_dir().join(format!("{id}.tar"));
    if done.is_file() {
        return done;
    }
    std::fs::create_dir_all(bases_dir()).unwrap();
    let fresh = bases_dir().join(format!("{id}.tar.new"));
    let lists = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let lists = lists.map(|entry| entry.path()).chain([PathBuf::from("/etc/apt/sources.list")]);
    let output = Command::new("mmdebstrap")
        .args(["--mode=root", "--variant=minbase", "--format=tar"])
        .arg(format!("--include={package}"))
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .args([
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
        ])
        .arg("bookworm")
        .arg(&fresh)
        .args(lists.filter(|list| list.is_file()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(fresh, &done).unwrap();
    done
}

/// Name and subnet of the network whose name begins so.
fn network(run: &Path, prefix: &str) -> (String, Subnet) {
    for entry in std::fs::read_dir(run.join("network/networks")).unwrap().flatten() {
        let record: serde_json::Value =
            serde_json::from_slice(&std::fs::read(entry.path()).unwrap()).unwrap();
        let name = record["name"].as_str().unwrap().to_owned();
        if name.starts_with(prefix) {
            return (name, serde_json::from_value(record["subnet"].clone()).unwrap());
        }
    }
    panic!("there is no network {prefix}…");
}

/// Addresses in a network of the host, for one container that the host does not know.
struct Beside(Subnet);

impl Addresses for Beside {
    fn subnet(&self, _network: &str) -> Result<Subnet, AddressError> {
        Ok(self.0)
    }
    fn release_subnet(&self, _network: &str) -> Result<(), AddressError> {
        Ok(())
    }
    fn address(&self, _network: &str, _container: &str) -> Result<Ipv4Addr, AddressError> {
        self.0.host(200).ok_or_else(|| AddressError::Exhausted { pool: self.0.to_string() })
    }
    fn release_address(&self, _network: &str, _container: &str) -> Result<(), AddressError> {
        Ok(())
    }
    fn allotted(&self) -> Result<Vec<(String, String, Ipv4Addr)>, AddressError> {
        Ok(Vec::new())
    }
}
