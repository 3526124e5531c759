//! What an event leads to, as plain functions of data: which environments a push is for, which
//! repository an address means, and when nothing is to be done.

use globset::{GlobBuilder, GlobMatcher};
use windlass_model::webhook::{AutoDeploy, EventRepository, PushEvent, Pushed};
use windlass_model::{EnvironmentName, Failure};

/// In the newest commit's message, one of these keeps a push from deploying. Letter case does not
/// matter.
pub(crate) const SKIP_MARKERS: [&str; 11] = [
    "[skip ci]",
    "[ci skip]",
    "[no ci]",
    "[skip actions]",
    "[actions skip]",
    "[skip deploy]",
    "[deploy skip]",
    "[no deploy]",
    "[skip windlass]",
    "[windlass skip]",
    "***no_ci***",
];

/// Branches that count as the default one where the sender does not say which is.
const DEFAULT_BRANCHES: [&str; 2] = ["main", "master"];

/// The skip marker in a message, if there is one.
pub(super) fn skip_marker(message: Option<&str>) -> Option<&'static str> {
    let message = message?.to_lowercase();
    SKIP_MARKERS.into_iter().find(|marker| message.contains(marker))
}

/// Whether one of the sender's addresses means the repository `ours`.
pub(super) fn is_same_repository(ours: &str, theirs: &EventRepository) -> bool {
    let Some(ours) = normal(ours) else { return false };
    theirs.addresses.iter().any(|one| normal(one).as_ref() == Some(&ours))
}

/// An address in one form, whatever the transport: `host/path`, without user, usual port and `.git`.
/// Hosts and paths are compared without regard to letter case, as the services do; local paths exactly.
pub(super) fn normal(address: &str) -> Option<String> {
    let address = address.trim();
    if let Some(path) = address.strip_prefix("file://") {
        return Some(format!("file:{}", bare(path)));
    }
    let (authority, path) = match address.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?,
        None => address.split_once(':')?,
    };
    let host = authority.rsplit('@').next()?.to_ascii_lowercase();
    let host = [":443", ":80", ":22", ":9418"]
        .iter()
        .find_map(|port| host.strip_suffix(port))
        .unwrap_or(&host);
    let path = bare(path).to_lowercase();
    (!host.is_empty() && !path.is_empty()).then(|| format!("{host}/{path}"))
}

fn bare(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    path.trim_start_matches('/').trim_end_matches('/')
}

/// A pattern of branches, tags or paths: `*` stops at `/`, `**` does not.
///
/// # Errors
/// `webhook.pattern-invalid`.
pub(crate) fn pattern(text: &str) -> Result<GlobMatcher, Failure> {
    let invalid = |why: String| {
        Failure::app(
            "webhook.pattern-invalid",
            format!("{text:?} is not a pattern"),
            why,
            "use a name such as main, or a pattern such as release/*, v* or apps/web/**",
        )
    };
    if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
        return Err(invalid("it must have 1 to 255 characters, none a control character".into()));
    }
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|e| invalid(e.kind().to_string()))
}

/// Whether a pattern fits; one that cannot be read fits nothing.
pub(super) fn fits(text: &str, name: &str) -> bool {
    pattern(text).is_ok_and(|pattern| pattern.is_match(name))
}

/// How well an environment's rule fits a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Pattern,
    Name,
}

fn fit(environment: &EnvironmentName, rule: &AutoDeploy, push: &PushEvent) -> Option<Fit> {
    let by = |text: &str, name: &str| match text {
        same if same == name => Some(Fit::Name),
        other => fits(other, name).then_some(Fit::Pattern),
    };
    match (&push.pushed, &rule.branch, &rule.tags) {
        (Pushed::Branch(name), Some(branch), _) => by(branch, name),
        (Pushed::Branch(name), None, _) => {
            let is_production = *environment == EnvironmentName::production();
            let is_default = match &push.repository.default_branch {
                Some(default) => name == default,
                None => DEFAULT_BRANCHES.contains(&name.as_str()),
            };
            (is_production && is_default).then_some(Fit::Name)
        }
        (Pushed::Tag(name), _, Some(tags)) => by(tags, name),
        (Pushed::Tag(_), _, None) => None,
    }
}

/// The environments that a push is for: those that name the branch or tag, else those whose pattern
/// fits it.
pub(super) fn targets<'r>(
    rules: &'r [(EnvironmentName, AutoDeploy)],
    push: &PushEvent,
) -> Vec<&'r (EnvironmentName, AutoDeploy)> {
    let fitting: Vec<_> = rules
        .iter()
        .filter_map(|rule| fit(&rule.0, &rule.1, push).map(|how| (how, rule)))
        .collect();
    let best = fitting.iter().map(|(how, _)| *how).max();
    fitting.into_iter().filter(|(how, _)| Some(*how) == best).map(|(_, rule)| rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(pushed: Pushed, default_branch: Option<&str>) -> PushEvent {
        let default_branch = default_branch.map(str::to_owned);
        let repository = EventRepository { default_branch, ..EventRepository::default() };
        PushEvent { repository, pushed, before: None, after: None, message: None }
    }

    fn rules(of: &[(&str, Option<&str>, Option<&str>)]) -> Vec<(EnvironmentName, AutoDeploy)> {
        let rule = |(name, branch, tags): &(&str, Option<&str>, Option<&str>)| {
            let environment: EnvironmentName = name.parse().unwrap();
            let rule = AutoDeploy {
                branch: branch.map(str::to_owned),
                tags: tags.map(str::to_owned),
                ..AutoDeploy::of(&environment)
            };
            (environment, rule)
        };
        of.iter().map(rule).collect()
    }

    #[track_caller]
    fn goes_to(rules: &[(EnvironmentName, AutoDeploy)], push: &PushEvent, names: &[&str]) {
        let found: Vec<&str> = targets(rules, push).iter().map(|rule| rule.0.as_str()).collect();
        assert_eq!(found, names, "{:?}", push.pushed);
    }

    #[test]
    fn a_push_goes_to_the_environments_that_name_its_branch_else_to_those_whose_pattern_fits() {
        let branch = |name: &str| push(Pushed::Branch(name.into()), Some("trunk"));
        let none_set = rules(&[("production", None, None), ("staging", None, None)]);
        goes_to(&none_set, &branch("trunk"), &["production"]);
        goes_to(&none_set, &branch("main"), &[]);
        let set = rules(&[
            ("production", Some("main"), None),
            ("staging", Some("*"), None),
            ("qa", Some("release/*"), None),
            ("mirror", Some("main"), None),
        ]);
        goes_to(&set, &branch("main"), &["production", "mirror"]);
        goes_to(&set, &branch("dev"), &["staging"]);
        goes_to(&set, &branch("release/1"), &["qa"]);
        goes_to(&set, &branch("release/1/x"), &[]);
        goes_to(&set, &branch("trunk"), &["staging"]);
    }

    #[test]
    fn without_a_default_branch_main_and_master_are_it() {
        let set = rules(&[("production", None, None)]);
        goes_to(&set, &push(Pushed::Branch("master".into()), None), &["production"]);
        goes_to(&set, &push(Pushed::Branch("dev".into()), None), &[]);
        goes_to(&set, &push(Pushed::Branch("master".into()), Some("main")), &[]);
    }

    #[test]
    fn tags_deploy_only_where_a_pattern_says_so() {
        let tag = |name: &str| push(Pushed::Tag(name.into()), Some("main"));
        goes_to(&rules(&[("production", Some("*"), None)]), &tag("v1"), &[]);
        let set = rules(&[("production", None, Some("v*")), ("qa", None, Some("rc-*"))]);
        goes_to(&set, &tag("v1.2"), &["production"]);
        goes_to(&set, &tag("rc-1"), &["qa"]);
        goes_to(&set, &tag("main"), &[]);
    }

    #[test]
    fn one_repository_has_many_addresses() {
        let github = "github.com/acme/shop";
        for address in [
            "https://github.com/acme/shop.git",
            "https://GitHub.com/Acme/shop/",
            "https://me@github.com:443/acme/shop",
            "git@github.com:acme/shop.git",
            "ssh://git@github.com/acme/shop.git",
            "ssh://git@github.com:22/acme/shop",
            "git://github.com/acme/shop.git",
        ] {
            assert_eq!(normal(address).as_deref(), Some(github), "{address}");
        }
        assert_eq!(normal("https://git.example:3000/a/b").as_deref(), Some("git.example:3000/a/b"));
        assert_ne!(normal("file:///srv/Shop.git"), normal("file:///srv/shop.git"));
        assert_eq!(normal("file:///srv/shop.git/"), normal("file:///srv/shop"));
        for none in ["", "shop", "https://", "https://github.com", "https://github.com/"] {
            assert_eq!(normal(none), None, "{none}");
        }
        let theirs = EventRepository {
            addresses: vec!["https://github.com/acme/shop-fork".into()],
            ..EventRepository::default()
        };
        assert!(!is_same_repository("https://github.com/acme/shop", &theirs));
        assert!(!is_same_repository("nonsense", &theirs));
    }

    #[test]
    fn skip_markers_are_found_in_any_case_and_place() {
        for marker in SKIP_MARKERS {
            let text = format!("Fix a typo {}\n\nmore", marker.to_uppercase());
            assert_eq!(skip_marker(Some(&text)), Some(marker));
        }
        assert_eq!(skip_marker(Some("skip ci")), None);
        assert_eq!(skip_marker(None), None);
    }

    #[test]
    fn patterns_that_cannot_be_read_are_refused() {
        for bad in ["", "[", "a\nb", "{a"] {
            assert_eq!(pattern(bad).unwrap_err().code, "webhook.pattern-invalid", "{bad:?}");
            assert!(!fits(bad, "main"));
        }
    }
}
