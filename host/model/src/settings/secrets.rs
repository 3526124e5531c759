//! Finds what looks like a secret: it belongs into a variable, not into a file that is committed.

use crate::failure::Failure;

const PREFIXES: [&str; 12] = [
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "sk_live_",
    "rk_live_",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "npm_",
    "sk-ant-",
];

/// Refuses a table in which a value looks like a secret. The value itself is never repeated.
pub(super) fn refuse(table: &toml::Table) -> Result<(), Failure> {
    for (key, value) in table {
        walk(key, value)?;
    }
    Ok(())
}

fn walk(path: &str, value: &toml::Value) -> Result<(), Failure> {
    match value {
        toml::Value::String(text) => match looks_like(text) {
            Some(kind) => Err(found(path, kind)),
            None => Ok(()),
        },
        toml::Value::Array(list) => list.iter().try_for_each(|item| walk(path, item)),
        toml::Value::Table(table) => {
            table.iter().try_for_each(|(key, item)| walk(&format!("{path}.{key}"), item))
        }
        _ => Ok(()),
    }
}

fn looks_like(text: &str) -> Option<&'static str> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    let token = |word: &str| {
        PREFIXES.iter().any(|p| word.strip_prefix(p).is_some_and(|rest| rest.len() >= 12))
    };
    if text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').any(token) {
        return Some("an access token");
    }
    text.split_whitespace().any(has_password).then_some("an address with a password")
}

/// `scheme://user:password@host`, unless the password is a reference such as `$PASSWORD`.
fn has_password(word: &str) -> bool {
    let Some((_, rest)) = word.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((login, _)) = authority.rsplit_once('@') else {
        return false;
    };
    login.split_once(':').is_some_and(|(_, password)| {
        !password.is_empty() && !password.starts_with('$') && !password.starts_with('{')
    })
}

fn found(path: &str, kind: &str) -> Failure {
    Failure::app(
        "settings.secret-in-file",
        format!("windlass.toml holds a secret in `{path}`"),
        format!(
            "the value looks like {kind}, and everyone who can read the repository can read it"
        ),
        "store it with `windlass env set NAME=VALUE --secret`, use the variable here, and replace \
         the secret if it was ever committed",
    )
}
