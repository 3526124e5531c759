//! Routes and handlers of plugins: installing, granting, and what projects use of them.

use axum::Json;
use axum::body::Body as RawBody;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Deserialize;
use windlass_model::access::TokenScope;
use windlass_model::plugin::account::PluginStats;
use windlass_model::plugin::discover::{IndexView, IndexesView, SearchView, SetIndex};
use windlass_model::plugin::manage::{
    FetchPlugin, PluginView, PluginsView, ProjectPlugin, Proposal, SetGrants, SetProjectPlugin,
    SetSignatures, SignaturesView,
};
use windlass_model::plugin::{Give, Stage};
use windlass_model::{Digest, Failure, ProjectName};

use super::App;
use super::extract::{Actor, Args, Body, Names, whole};
use super::guard::detached;
use super::problem::{Answer, Problem};
use super::route::{Row, Verb, row};
use crate::control::plugins as chosen;
use crate::observe::metrics;
use crate::plugins::{Ask, Incoming, check_digest};

const INSTALL: &[(&str, &str)] = &[
    ("name", "name of the file, to be shown"),
    ("grant", "`all`, `none`, kinds such as `exec,http`, or a list of requests as JSON"),
    ("dry_run", "`true`: only say what it is and what it asks for"),
    ("disabled", "`true`: only projects that enable it use it"),
    ("digest", "`sha256:...`: the digest that the file must have"),
    ("signature", "its signature: the text of a .minisig file, or that of cosign"),
];

const SEARCH: &[(&str, &str)] = &[
    ("words", "words that are all to be found, with spaces between them"),
    ("stage", "only plugins that fill this stage"),
];
const STATS: &[(&str, &str)] =
    &[("project", "only calls on behalf of this project"), ("plugin", "only calls of this plugin")];

/// The rows.
pub(super) fn about_plugins() -> Vec<Row> {
    use Verb::{Delete, Get, Post};
    const ALL: &str = "/v1/plugins";
    const ONE: &str = "/v1/plugins/{plugin}";
    const UPGRADE: &str = "/v1/plugins/{plugin}/upgrade";
    const UPGRADE_FETCH: &str = "/v1/plugins/{plugin}/upgrade/fetch";
    let mut rows = vec![
        row(Get, ALL, "Plugins, and those that could not be loaded", list)
            .answers::<PluginsView>(200)
            .filtered(),
        row(Post, ALL, "Install a component, or say what it asks for", install)
            .query(INSTALL)
            .takes_archive()
            .answers::<Proposal>(200)
            .errors(&[400, 403, 409, 413])
            .needs(TokenScope::Admin),
        row(Post, "/v1/plugin-fetch", "The same from an address or an index", fetch)
            .takes::<FetchPlugin>()
            .answers::<Proposal>(200)
            .errors(&[400, 403, 404, 409])
            .needs(TokenScope::Admin),
        row(Get, ONE, "A plugin: what it may do, its versions, who uses it", show)
            .answers::<PluginView>(200)
            .errors(&[404])
            .filtered(),
        row(Delete, ONE, "Remove an installed plugin with all its versions", remove)
            .errors(&[404, 409])
            .needs(TokenScope::Admin),
        row(Post, UPGRADE, "Install another version and make it the active one", upgrade)
            .query(INSTALL)
            .takes_archive()
            .answers::<Proposal>(200)
            .errors(&[400, 403, 404, 409, 413])
            .needs(TokenScope::Admin),
        row(Post, UPGRADE_FETCH, "The same from an address or an index", upgrade_fetch)
            .takes::<FetchPlugin>()
            .answers::<Proposal>(200)
            .errors(&[400, 403, 404, 409])
            .needs(TokenScope::Admin),
    ];
    rows.extend(about_what_is_installed());
    rows.extend(about_indexes());
    rows
}

fn about_indexes() -> Vec<Row> {
    use Verb::{Delete, Get, Put};
    const ALL: &str = "/v1/plugin-indexes";
    const ONE: &str = "/v1/plugin-indexes/{index}";
    vec![
        row(Get, ALL, "Where plugins are looked for", indexes).answers::<IndexesView>(200),
        row(Put, ONE, "Look for plugins there too; its file is fetched at once", set_index)
            .takes::<SetIndex>()
            .answers::<IndexView>(200)
            .errors(&[400, 403, 409])
            .needs(TokenScope::Admin),
        row(Delete, ONE, "Look for plugins there no more", remove_index)
            .errors(&[404, 409])
            .needs(TokenScope::Admin),
        row(Get, "/v1/plugin-search", "Plugins of the indexes, what fits best first", search)
            .query(SEARCH)
            .answers::<SearchView>(200)
            .errors(&[400]),
    ]
}

fn about_what_is_installed() -> Vec<Row> {
    use Verb::{Get, Post, Put};
    const GRANTS: &str = "/v1/plugins/{plugin}/grants";
    const SIGNATURES: &str = "/v1/plugin-signatures";
    const OF_PROJECT: &str = "/v1/projects/{project}/plugins";
    const ONE_OF_PROJECT: &str = "/v1/projects/{project}/plugins/{plugin}";
    vec![
        row(Post, "/v1/plugins/{plugin}/rollback", "Go back to the version before", roll_back)
            .answers::<PluginView>(200)
            .errors(&[400, 404, 409])
            .needs(TokenScope::Admin),
        row(Put, GRANTS, "Grant the active version this and nothing else", grant)
            .takes::<SetGrants>()
            .answers::<PluginView>(200)
            .errors(&[400, 403, 404, 409])
            .needs(TokenScope::Admin),
        row(Get, SIGNATURES, "Whose signatures count when a plugin is installed", signatures)
            .answers::<SignaturesView>(200),
        row(Put, SIGNATURES, "Change whose signatures count", trust)
            .takes::<SetSignatures>()
            .answers::<SignaturesView>(200)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
        row(Get, "/v1/plugin-stats", "What the calls of plugins amounted to", stats)
            .query(STATS)
            .answers::<PluginStats>(200)
            .errors(&[400, 404])
            .filtered(),
        row(Get, "/v1/metrics", "The same for Prometheus, in its text format", for_prometheus)
            .answers_text()
            .filtered(),
        row(Get, OF_PROJECT, "What a project uses of each plugin", of_project)
            .answers::<Vec<ProjectPlugin>>(200)
            .errors(&[400, 404]),
        row(Get, ONE_OF_PROJECT, "What a project uses of a plugin", one_of_project)
            .answers::<ProjectPlugin>(200)
            .errors(&[400, 404]),
        row(Put, ONE_OF_PROJECT, "Enable, disable, pin or configure it for a project", choose)
            .takes::<SetProjectPlugin>()
            .answers::<ProjectPlugin>(200)
            .errors(&[400, 404, 409])
            .needs(TokenScope::Admin),
    ]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InstallArgs {
    #[serde(default = "default_name")]
    name: String,
    #[serde(default)]
    grant: Option<Give>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    digest: Option<Digest>,
    #[serde(default)]
    signature: Option<String>,
}

fn default_name() -> String {
    "plugin.wasm".to_owned()
}

async fn list(State(app): State<App>) -> Json<PluginsView> {
    Json(chosen::list(&app.host))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatsArgs {
    project: Option<ProjectName>,
    plugin: Option<String>,
}

async fn stats(State(app): State<App>, Args(args): Args<StatsArgs>) -> Answer<Json<PluginStats>> {
    let StatsArgs { project, plugin } = args;
    Ok(Json(chosen::stats(&app.host, project.as_ref(), plugin.as_deref())?))
}

async fn for_prometheus(State(app): State<App>) -> Answer<impl IntoResponse> {
    let stats = chosen::stats(&app.host, None, None)?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::of_plugins(&stats)))
}

async fn show(State(app): State<App>, Names(name): Names<String>) -> Answer<Json<PluginView>> {
    Ok(Json(chosen::show(&app.host, &name)?))
}

async fn install(
    State(app): State<App>,
    Args(args): Args<InstallArgs>,
    Actor(by): Actor,
    body: RawBody,
) -> Answer<Json<Proposal>> {
    uploaded(app, None, args, by, body).await
}

async fn upgrade(
    State(app): State<App>,
    Names(name): Names<String>,
    Args(args): Args<InstallArgs>,
    Actor(by): Actor,
    body: RawBody,
) -> Answer<Json<Proposal>> {
    uploaded(app, Some(name), args, by, body).await
}

async fn uploaded(
    app: App,
    upgrades: Option<String>,
    args: InstallArgs,
    by: String,
    body: RawBody,
) -> Answer<Json<Proposal>> {
    let bytes = read(&app, body).await?;
    check_digest(&args.name, &bytes, args.digest.as_ref())?;
    let file = Incoming::upload(bytes, &args.name, args.signature);
    let InstallArgs { grant: give, dry_run, disabled, .. } = args;
    let ask = Ask { upgrades, give, dry_run, everywhere: !disabled, by };
    let change = async move { app.host.plugins.install(file, ask).await };
    Ok(Json(detached(change).await?))
}

async fn read(app: &App, body: RawBody) -> Answer<Vec<u8>> {
    let bytes_max = app.host.config.limits.plugin.component_bytes_max;
    let bytes = whole(body, bytes_max).await.map_err(|failure| {
        Problem(match failure.is("request.body-too-large") {
            true => too_large(bytes_max),
            false => failure,
        })
    })?;
    if bytes.is_empty() {
        return Err(Problem(Failure::app(
            "request.body-empty",
            "the plugin is empty",
            "the request has no body, where a component was expected",
            "check that the file holds the component, which `windlass plugin build` makes, and send it as the body: \
             curl --data-binary @plugin.wasm …",
        )));
    }
    Ok(bytes.into())
}

/// The same code as of every body, and what helps with a component.
fn too_large(bytes_max: u64) -> Failure {
    Failure::app(
        "request.body-too-large",
        "the plugin is too large",
        format!("a plugin has at most {bytes_max} bytes on this host"),
        "build it optimised and without debug information, as `windlass plugin build` does; or raise \
         `plugin.component_bytes_max` in the host's limits file",
    )
}

async fn fetch(
    State(app): State<App>,
    Actor(by): Actor,
    Body(body): Body<FetchPlugin>,
) -> Answer<Json<Proposal>> {
    fetched(app, None, by, body).await
}

async fn upgrade_fetch(
    State(app): State<App>,
    Names(name): Names<String>,
    Actor(by): Actor,
    Body(body): Body<FetchPlugin>,
) -> Answer<Json<Proposal>> {
    fetched(app, Some(name), by, body).await
}

async fn fetched(
    app: App,
    upgrades: Option<String>,
    by: String,
    body: FetchPlugin,
) -> Answer<Json<Proposal>> {
    let change = async move {
        let logins = chosen::logins(&app.host, body.project.as_ref())?;
        let (give, dry_run, disabled) = (body.grant.clone(), body.dry_run, body.disabled);
        let file = app.host.plugins.fetch(body, &logins).await?;
        let ask = Ask { upgrades, give, dry_run, everywhere: !disabled, by };
        app.host.plugins.install(file, ask).await
    };
    Ok(Json(detached(change).await?))
}

async fn roll_back(State(app): State<App>, Names(name): Names<String>) -> Answer<Json<PluginView>> {
    let change = async move {
        let view = app.host.plugins.roll_back(&name).await?;
        Ok(chosen::changed(&app.host, view))
    };
    Ok(Json(detached(change).await?))
}

async fn remove(State(app): State<App>, Names(name): Names<String>) -> Answer<StatusCode> {
    detached(async move { app.host.plugins.remove(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn grant(
    State(app): State<App>,
    Names(name): Names<String>,
    Body(body): Body<SetGrants>,
) -> Answer<Json<PluginView>> {
    let change = async move {
        let view = app.host.plugins.grant(&name, &body).await?;
        Ok(chosen::changed(&app.host, view))
    };
    Ok(Json(detached(change).await?))
}

async fn signatures(State(app): State<App>) -> Json<SignaturesView> {
    Json(app.host.plugins.signatures())
}

async fn trust(
    State(app): State<App>,
    Body(body): Body<SetSignatures>,
) -> Answer<Json<SignaturesView>> {
    Ok(Json(detached(async move { app.host.plugins.trust(body).await }).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchArgs {
    #[serde(default)]
    words: String,
    #[serde(default)]
    stage: Option<Stage>,
}

async fn indexes(State(app): State<App>) -> Json<IndexesView> {
    Json(app.host.plugins.indexes().await)
}

async fn set_index(
    State(app): State<App>,
    Names(name): Names<String>,
    Body(body): Body<SetIndex>,
) -> Answer<Json<IndexView>> {
    let change = async move { app.host.plugins.set_index(&name, body).await };
    Ok(Json(detached(change).await?))
}

async fn remove_index(State(app): State<App>, Names(name): Names<String>) -> Answer<StatusCode> {
    detached(async move { app.host.plugins.remove_index(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn search(State(app): State<App>, Args(args): Args<SearchArgs>) -> Answer<Json<SearchView>> {
    let looked = async move { app.host.plugins.search(&args.words, args.stage).await };
    Ok(Json(detached(looked).await?))
}

async fn of_project(
    State(app): State<App>,
    Names(project): Names<ProjectName>,
) -> Answer<Json<Vec<ProjectPlugin>>> {
    Ok(Json(chosen::of_project(&app.host, &project)?))
}

async fn one_of_project(
    State(app): State<App>,
    Names((project, name)): Names<(ProjectName, String)>,
) -> Answer<Json<ProjectPlugin>> {
    Ok(Json(chosen::one(&app.host, &project, &name)?))
}

async fn choose(
    State(app): State<App>,
    Names((project, name)): Names<(ProjectName, String)>,
    Body(body): Body<SetProjectPlugin>,
) -> Answer<Json<ProjectPlugin>> {
    let change = async move { chosen::choose(&app.host, &project, &name, body).await };
    Ok(Json(detached(change).await?))
}
