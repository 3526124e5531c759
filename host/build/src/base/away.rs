//! Registries that gave no answer a moment ago, and are not waited for again. Their mirrors are asked all the same.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::registry::{Reference, RegistryError};

/// How long a registry that gave no answer is not asked again.
const AWAY_FOR: Duration = Duration::from_secs(300);

/// Hosts of registries, since when each gives no answer, and why.
#[derive(Default)]
pub(super) struct Away(Mutex<HashMap<String, (Instant, String)>>);

impl Away {
    /// Why the registry of an image is not asked now; none where it is. One on this machine answers or refuses at once,
    /// so it is asked each time.
    pub(super) fn why(&self, reference: &Reference, now: Instant) -> Option<String> {
        if reference.is_plain_http() {
            return None;
        }
        let known = self.known();
        let (since, why) = known.get(reference.host())?;
        (now.saturating_duration_since(*since) < AWAY_FOR).then(|| why.clone())
    }

    /// Notes what came of asking: an answer of any kind, or none. A registry that was not asked is not noted.
    pub(super) fn note(&self, reference: &Reference, error: Option<&RegistryError>, now: Instant) {
        let host = reference.host();
        match error {
            Some(RegistryError::Unreachable { why, answered: false, .. }) => {
                self.known().insert(host.to_owned(), (now, why.clone()));
            }
            _ => drop(self.known().remove(host)),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable(answered: bool) -> RegistryError {
        let (host, why) = ("registry.example".to_owned(), "no route".to_owned());
        RegistryError::Unreachable { host, why, answered }
    }

    #[test]
    fn a_registry_that_gave_no_answer_is_left_alone_for_a_while_and_others_are_not() {
        let away = Away::default();
        let image = |name: &str| name.parse::<Reference>().unwrap();
        let (one, other) = (image("registry.example/a:1"), image("registry.example/b:2"));
        let begun = Instant::now();
        assert_eq!(away.why(&one, begun), None);
        away.note(&one, Some(&unreachable(false)), begun);
        assert_eq!(away.why(&other, begun).as_deref(), Some("no route"));
        assert_eq!(away.why(&image("other.example/a:1"), begun), None);
        let just = begun + AWAY_FOR - Duration::from_millis(1);
        assert!(away.why(&one, just).is_some());
        assert_eq!(away.why(&one, begun + AWAY_FOR), None);
        away.note(&other, None, begun);
        assert_eq!(away.why(&one, begun), None, "it answered");
    }

    #[test]
    fn one_that_answers_with_its_trouble_is_asked_each_time_and_so_is_one_on_this_machine() {
        let away = Away::default();
        let begun = Instant::now();
        let remote: Reference = "registry.example/a:1".parse().unwrap();
        away.note(&remote, Some(&unreachable(true)), begun);
        assert_eq!(away.why(&remote, begun), None);
        let local: Reference = "127.0.0.1:5000/a:1".parse().unwrap();
        away.note(&local, Some(&unreachable(false)), begun);
        assert_eq!(away.why(&local, begun), None);
    }
}
