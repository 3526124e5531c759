//! Webhooks: who sends them, what they say, and what became of each delivery.
//!
//! **Invariant: an [`Event`] says the same thing whoever sent it.** What differs from sender to sender
//! ends where the payload is read; everything behind it works on these types.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{DeploymentId, EnvironmentName, InvalidId, ProjectName};

macro_rules! ulid_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            schemars::JsonSchema,
        )]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new one, greater than all that this process made before.
            pub fn generate() -> Self {
                Self(DeploymentId::generate().into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(s: &str) -> Result<Self, InvalidId> {
                let id: Result<DeploymentId, InvalidId> = s.parse();
                id.map(|id| Self(id.into())).map_err(|_| InvalidId {
                    what: $what,
                    given: s.to_owned(),
                    rule: $rule,
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(s: String) -> Result<Self, InvalidId> {
                s.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

ulid_type!(
    /// Id of a webhook: part of its address.
    WebhookId,
    "webhook id",
    "use the 26 characters that `windlass webhook list` prints"
);
ulid_type!(
    /// Id of a delivery, in order of arrival.
    DeliveryId,
    "delivery id",
    "use the 26 characters that `windlass webhook deliveries` prints"
);

/// Whose webhooks they are: it decides headers, signature and payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// GitHub, and GitHub Enterprise.
    Github,
    /// GitLab.
    Gitlab,
    /// Gitea and Forgejo.
    Gitea,
    /// Bitbucket Cloud.
    Bitbucket,
    /// Anything that signs as Windlass documents it.
    Generic,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Github, Self::Gitlab, Self::Gitea, Self::Bitbucket, Self::Generic];

    /// Name as it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Gitea => "gitea",
            Self::Bitbucket => "bitbucket",
            Self::Generic => "generic",
        }
    }

    /// Where its API is, for commit statuses, unless the webhook says otherwise. None: statuses are not
    /// reported there.
    pub const fn api_base(self) -> Option<&'static str> {
        match self {
            Self::Github => Some("https://api.github.com"),
            Self::Gitlab => Some("https://gitlab.com/api/v4"),
            Self::Gitea | Self::Bitbucket | Self::Generic => None,
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        let name = if s == "forgejo" { "gitea" } else { s };
        Self::ALL.into_iter().find(|one| one.as_str() == name).ok_or_else(|| InvalidId {
            what: "webhook provider",
            given: s.to_owned(),
            rule: "one of github, gitlab, gitea, forgejo, bitbucket, generic",
        })
    }
}

/// A webhook of a project. Its secrets are stored beside it, encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// The project whose environments it deploys to.
    pub project: ProjectName,
    /// Who sends.
    pub provider: Provider,
    /// The repository that it may speak for; the project's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Base address of the provider's API for commit statuses; the provider's public one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_base: Option<String>,
    /// Whether commit statuses are reported.
    #[serde(default)]
    pub reports_status: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its secret was last replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Timestamp>,
    /// Until when the secret before the last is accepted too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<Timestamp>,
    /// Why the last commit status could not be reported; absent when it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_problem: Option<String>,
}

/// The repository that an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EventRepository {
    /// Its addresses, as the sender gives them.
    pub addresses: Vec<String>,
    /// How the sender's API names it: `owner/name`, or a number.
    pub api_name: String,
    /// Its default branch, where the sender says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
}

/// What was pushed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "type", content = "name")]
pub enum Pushed {
    /// A branch.
    Branch(String),
    /// A tag.
    Tag(String),
}

impl fmt::Display for Pushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(name) => write!(f, "branch {name}"),
            Self::Tag(name) => write!(f, "tag {name}"),
        }
    }
}

/// A push of one branch or tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PushEvent {
    /// Where.
    pub repository: EventRepository,
    /// Which branch or tag.
    pub pushed: Pushed,
    /// The commit before; absent when the branch or tag is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The commit now; absent when the branch or tag was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Message of the newest commit, as far as it is needed and known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What happened to a pull request, as far as previews care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PullRequestAction {
    /// Opened, or opened again.
    Opened,
    /// Its branch has new commits.
    Updated,
    /// Merged, declined or closed.
    Closed,
}

/// A change of a pull request (a merge request, where it is called so).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PullRequestEvent {
    /// The repository that it is to be merged into.
    pub repository: EventRepository,
    /// Its number there.
    pub number: u64,
    /// What happened.
    pub action: PullRequestAction,
    /// The branch that it brings.
    pub branch: String,
    /// That branch's newest commit.
    pub commit: String,
    /// Whether the branch is in another repository.
    pub from_fork: bool,
    /// Title, and the newest commit's message where it is known: skip markers are looked for here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a delivery says, whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Event {
    /// Only a trial.
    Ping,
    /// A push.
    Push(PushEvent),
    /// A change of a pull request.
    PullRequest(PullRequestEvent),
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is being worked on.
    Pending,
    /// It led to something: a deployment, or a preview's end.
    Accepted,
    /// It is genuine, and nothing was to be done.
    Ignored,
    /// It was not taken.
    Refused,
}

impl Verdict {
    /// Name as it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Ignored => "ignored",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one event of a delivery led to in one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Outcome {
    /// What it is about: `branch main`, `pull request 12`.
    pub subject: String,
    /// What became of it.
    pub verdict: Verdict,
    /// Stable, for programs: `deployed`, `branch-not-mapped`, ...
    pub code: String,
    /// The same for people.
    pub reason: String,
    /// The environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// The deployment that it led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentId>,
    /// That deployment's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
}

/// One delivery of a webhook, kept with its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Delivery {
    /// Its id here.
    pub id: DeliveryId,
    /// Its webhook.
    pub webhook: WebhookId,
    /// Its project.
    pub project: ProjectName,
    /// The sender's id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<String>,
    /// The event as its sender names it.
    pub event: String,
    /// Size of its body.
    pub bytes: u64,
    /// When it came.
    pub received_at: Timestamp,
    /// When its verdict was final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
    /// What became of it.
    pub verdict: Verdict,
    /// Stable, for programs.
    pub code: String,
    /// The same for people.
    pub reason: String,
    /// What it led to, by event and environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<Outcome>,
    /// What it says; empty for one that was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// The delivery that it repeats on demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redelivery_of: Option<DeliveryId>,
}

/// What a webhook's deployment was made for; it stays with the deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Trigger {
    /// The webhook.
    pub webhook: WebhookId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// The exact commit that was pushed.
    pub commit: String,
    /// How the provider's API names the repository.
    pub api_name: String,
    /// The branch, if one was pushed or is asked to be merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The tag, if one was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<u64>,
}

/// When pushes deploy to an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AutoDeploy {
    /// Whether pushes deploy at all.
    pub enabled: bool,
    /// Branches that deploy here: a name, or a pattern such as `release/*`. Absent: for `production` the
    /// repository's default branch, for others none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Tags that deploy here, as `v*`; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
}

impl AutoDeploy {
    /// What holds for an environment that nothing was set for.
    pub fn of(environment: &EnvironmentName) -> Self {
        Self { enabled: *environment == EnvironmentName::production(), ..Self::default() }
    }
}

/// What previews a project has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct PreviewSettings {
    /// One for each open pull request.
    pub pull_requests: bool,
    /// One for each branch of this pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branches: Option<String>,
    /// They answer under `<environment>-<project>.<domain>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// At most so many at a time.
    pub count_max: u32,
    /// One goes so long after its last deployment, in seconds.
    pub expires_after_s: u64,
    /// Whether pull requests from forks get one: without the secret variables of `preview`.
    pub forks: bool,
}

impl Default for PreviewSettings {
    fn default() -> Self {
        Self {
            pull_requests: false,
            branches: None,
            domain: None,
            count_max: 5,
            expires_after_s: 7 * 24 * 3600,
            forks: false,
        }
    }
}

/// What a preview is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "type", content = "of")]
pub enum PreviewOf {
    /// A pull request.
    PullRequest(u64),
    /// A branch.
    Branch(String),
}

impl fmt::Display for PreviewOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PullRequest(number) => write!(f, "pull request {number}"),
            Self::Branch(name) => write!(f, "branch {name}"),
        }
    }
}

/// A preview environment: it is made and removed by webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Preview {
    /// Its project.
    pub project: ProjectName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// What it is of.
    pub origin: PreviewOf,
    /// Whether its code comes from a fork.
    #[serde(default)]
    pub from_fork: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When something was last deployed to it.
    pub deployed_at: Timestamp,
    /// Why it is being removed, once it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removing: Option<String>,
    /// Variables that it took over from the environment `preview`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inherited: Vec<crate::variable::VariableName>,
}

/// A commit status that is to be reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The deployment it tells of.
    pub deployment: DeploymentId,
    /// The webhook by which it came.
    pub webhook: WebhookId,
    /// What the provider was told last.
    #[serde(default)]
    pub sent: Option<String>,
    /// Failed tries since then.
    #[serde(default)]
    pub tries: u32,
    /// Not to be tried before.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_round_trip_and_forgejo_is_gitea() {
        for one in Provider::ALL {
            assert_eq!(one.as_str().parse::<Provider>().unwrap(), one);
        }
        assert_eq!("forgejo".parse::<Provider>().unwrap(), Provider::Gitea);
        assert!("svn".parse::<Provider>().is_err());
    }

    #[test]
    fn only_production_deploys_by_itself_when_nothing_is_set() {
        assert!(AutoDeploy::of(&EnvironmentName::production()).enabled);
        assert!(!AutoDeploy::of(&"staging".parse().unwrap()).enabled);
    }
}
