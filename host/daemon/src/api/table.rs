//! Every route of the API.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use windlass_model::Failure;
use windlass_model::access::TokenScope;
use windlass_model::api::{
    AddDomain, AddService, CreateDeployment, CreateEnvironment, CreateProject, DeploymentView,
    DomainView, EnvironmentView, HostStatus, LogEntry, Page, ProjectView, SetGitToken,
    SetVariables, VariableView,
};
use windlass_model::deployment::StoredPlan;
use windlass_model::project::Service;

use super::route::{Row, Verb, row};
use super::{deployments, environment, events, host, projects, queue};

/// `GET /healthz` and `GET /readyz`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Readiness {
    /// Whether everything needed is there.
    pub(super) ready: bool,
    /// What is not well.
    pub(super) problems: Vec<Failure>,
}

/// The items of a list that has no pages.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LogEntries {
    /// The items.
    pub(super) items: Vec<LogEntry>,
}

const VOLUMES: (&str, &str) = ("volumes", "`delete`: its volumes go too; they stay when absent");
pub(super) const CREATE: (&str, &str) =
    ("create", "`true`: make the project and environment if missing");
const KIND: (&str, &str) = ("kind", "`source` (when absent), `static` or `image-archive`");
const SPA: (&str, &str) = ("spa", "`true`: static files answer unknown paths with the index page");
const NO_CACHE: (&str, &str) =
    ("no_cache", "`true`: every step of the build is carried out although its result is there");
pub(super) const PROJECT: (&str, &str) =
    ("project", "the project, where the deployment is given by its number");

/// All rows, grouped by what they are about.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = about_the_host();
    rows.extend(about_projects());
    rows.extend(super::registries::about_registries());
    rows.extend(super::deploy_keys::about_deploy_keys());
    rows.extend(about_environments());
    rows.extend(asking_for_deployments());
    rows.extend(about_deployments());
    rows.extend(super::plans::about_plans());
    rows.extend(super::plugins::about_plugins());
    rows.extend(super::images::about_images());
    rows.extend(super::artifacts::about_artifacts());
    rows.extend(super::backups::about_backups());
    rows.extend(super::disk::about_the_disk());
    rows.extend(super::builds::about_builds());
    rows.extend(super::caches::about_caches());
    rows.extend(super::webhooks::about_webhooks());
    rows.extend(super::access::about_access());
    rows.extend(queue::about_the_queue());
    rows.extend(super::failures::about_failures());
    rows.extend(super::running::about_running());
    rows.extend(super::volumes::about_volumes());
    rows.extend(super::settings::about_settings());
    rows.extend(super::cron::about_schedules());
    rows.extend(super::logs::about_logs());
    rows.extend(super::observe::about_observe());
    rows
}

fn about_the_host() -> Vec<Row> {
    use Verb::Get;
    vec![
        row(Get, "/healthz", "Whether the process answers", host::healthz)
            .answers::<Readiness>(200)
            .open(),
        row(Get, "/readyz", "Whether deployments can run, and what is missing", host::readyz)
            .answers::<Readiness>(200)
            .errors(&[503])
            .open(),
        row(Get, "/v1/openapi.json", "This description", host::openapi)
            .answers::<Value>(200)
            .open(),
        row(Get, "/v1/status", "The host", host::status).answers::<HostStatus>(200).filtered(),
    ]
}

fn about_projects() -> Vec<Row> {
    use Verb::{Delete, Get, Post, Put};
    const ALL: &str = "/v1/projects";
    const ONE: &str = "/v1/projects/{project}";
    const TOKEN: &str = "/v1/projects/{project}/git-token";
    vec![
        row(Get, ALL, "All projects", projects::list).answers::<Page<ProjectView>>(200).filtered(),
        row(Post, ALL, "Make a project", projects::create)
            .takes::<CreateProject>()
            .answers::<ProjectView>(201)
            .errors(&[400, 409])
            .needs(TokenScope::Admin),
        row(Get, ONE, "A project", projects::show).answers::<ProjectView>(200).errors(&[400, 404]),
        row(Delete, ONE, "Delete a project in which nothing is live", projects::delete)
            .query(&[VOLUMES])
            .errors(&[400, 404, 409])
            .needs(TokenScope::Admin),
        row(Put, TOKEN, "Set the token for private repositories", projects::set_git_token)
            .takes::<SetGitToken>()
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
        row(Delete, TOKEN, "Forget the token", projects::remove_git_token)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
    ]
}

fn about_environments() -> Vec<Row> {
    use Verb::{Delete, Get, Post, Put};
    const ALL: &str = "/v1/projects/{project}/environments";
    const ONE: &str = "/v1/projects/{project}/environments/{environment}";
    const VARIABLES: &str = "/v1/projects/{project}/environments/{environment}/variables";
    const VARIABLE: &str = "/v1/projects/{project}/environments/{environment}/variables/{name}";
    const DOMAINS: &str = "/v1/projects/{project}/environments/{environment}/domains";
    const DOMAIN: &str = "/v1/projects/{project}/environments/{environment}/domains/{host}";
    const SERVICES: &str = "/v1/projects/{project}/environments/{environment}/services";
    const SERVICE: &str = "/v1/projects/{project}/environments/{environment}/services/{name}";
    vec![
        row(Get, ALL, "The environments of a project", environment::list)
            .answers::<Vec<EnvironmentView>>(200)
            .errors(&[400, 404]),
        row(Post, ALL, "Make an environment", environment::create)
            .takes::<CreateEnvironment>()
            .answers::<EnvironmentView>(201)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
        row(Get, ONE, "An environment", environment::show)
            .answers::<EnvironmentView>(200)
            .errors(&[400, 404]),
        row(Delete, ONE, "Delete an environment in which nothing is live", environment::delete)
            .query(&[VOLUMES])
            .errors(&[400, 404, 409])
            .needs(TokenScope::Admin),
        row(Get, VARIABLES, "Variables; secret ones without values", environment::variables)
            .answers::<Vec<VariableView>>(200)
            .errors(&[400, 404]),
        row(Put, VARIABLES, "Set variables, all or none", environment::set_variables)
            .takes::<SetVariables>()
            .answers::<Vec<VariableView>>(200)
            .errors(&[400, 404, 413])
            .needs(TokenScope::Admin),
        row(Delete, VARIABLE, "Remove a variable", environment::unset_variable)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
        row(Get, DOMAINS, "Domains", environment::domains)
            .answers::<Vec<DomainView>>(200)
            .errors(&[400, 404]),
        row(
            Post,
            DOMAINS,
            "Lead a host name here, or `*` for the default route",
            environment::add_domain,
        )
        .takes::<AddDomain>()
        .answers::<DomainView>(201)
        .errors(&[400, 404, 409, 502])
        .needs(TokenScope::Admin),
        row(Delete, DOMAIN, "Remove a domain", environment::remove_domain)
            .errors(&[400, 404, 502])
            .needs(TokenScope::Admin),
        row(Get, SERVICES, "Services", environment::services)
            .answers::<Vec<Service>>(200)
            .errors(&[400, 404]),
        row(Post, SERVICES, "Add or replace a service", environment::add_service)
            .takes::<AddService>()
            .answers::<Service>(201)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
        row(Delete, SERVICE, "Remove a service", environment::remove_service)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
    ]
}

fn asking_for_deployments() -> Vec<Row> {
    use Verb::Post;
    const DEPLOY: &str = "/v1/projects/{project}/environments/{environment}/deployments";
    const ARCHIVE: &str = "/v1/projects/{project}/environments/{environment}/deployments/archive";
    const REDEPLOY: &str = "/v1/projects/{project}/environments/{environment}/redeploy";
    vec![
        row(Post, DEPLOY, "Deploy a Git repository", deployments::create)
            .query(&[CREATE])
            .takes::<CreateDeployment>()
            .answers::<DeploymentView>(202)
            .keyed()
            .errors(&[400, 404, 409, 429])
            .needs(TokenScope::Deploy),
        row(
            Post,
            ARCHIVE,
            "Deploy an upload: source, static files or an image",
            deployments::create_from_archive,
        )
        .query(&[("name", "name of the file or folder, to be shown"), CREATE, KIND, SPA, NO_CACHE])
        .takes_archive()
        .answers::<DeploymentView>(202)
        .keyed()
        .errors(&[400, 404, 409, 413, 429])
        .needs(TokenScope::Deploy),
        row(Post, REDEPLOY, "Deploy the same source again", deployments::redeploy_environment)
            .query(&[NO_CACHE])
            .answers::<DeploymentView>(202)
            .keyed()
            .errors(&[400, 404, 409, 429])
            .needs(TokenScope::Deploy),
    ]
}

fn about_deployments() -> Vec<Row> {
    use Verb::{Get, Post};
    const ONE: &str = "/v1/deployments/{deployment}";
    vec![
        row(Get, "/v1/deployments", "Deployments, newest first", deployments::list)
            .query(&[
                ("project", "only of this project"),
                ("environment", "only of environments of this name"),
                ("status", "only of this status"),
                ("before", "`next` of the page before"),
                ("limit", "at most so many, 1 to 200; 50 when absent"),
            ])
            .answers::<Page<DeploymentView>>(200)
            .errors(&[400, 404])
            .filtered(),
        row(Get, ONE, "A deployment, by id, the beginning of one, or number", deployments::show)
            .query(&[PROJECT])
            .answers::<DeploymentView>(200)
            .errors(&[400, 404, 409]),
        row(Post, "/v1/deployments/{deployment}/cancel", "Ask for its end", deployments::cancel)
            .query(&[PROJECT])
            .answers::<DeploymentView>(202)
            .errors(&[400, 404, 409])
            .needs(TokenScope::Deploy),
        row(
            Post,
            "/v1/deployments/{deployment}/redeploy",
            "Deploy its source again",
            deployments::redeploy,
        )
        .query(&[PROJECT, NO_CACHE])
        .answers::<DeploymentView>(202)
        .keyed()
        .errors(&[400, 404, 409, 429])
        .needs(TokenScope::Deploy),
        row(
            Get,
            "/v1/deployments/{deployment}/plan",
            "The plan it was built by",
            deployments::plan,
        )
        .query(&[PROJECT])
        .answers::<StoredPlan>(200)
        .errors(&[400, 404, 409]),
        row(Get, "/v1/deployments/{deployment}/watch", "Each change as it comes", events::watch)
            .query(&[PROJECT])
            .streams::<DeploymentView>(
                "`deployment` with a DeploymentView at each change, then `end`",
            )
            .errors(&[400, 404, 409]),
    ]
}
