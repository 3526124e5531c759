//! Jobs that nobody carries out: a library of queues is used, and no process is declared for it.

use crate::layout::Declared;

/// Names of processes that carry out jobs, whatever their command lines say.
const NAMES: [&str; 8] =
    ["worker", "workers", "queue", "queues", "jobs", "celery", "sidekiq", "horizon"];

/// What to say where a library's jobs wait for a process: none is declared whose command line has one of the `signs`,
/// or that is called like one for jobs. `line` is the command line that would carry them out.
pub fn hint(declared: &Declared, library: &str, signs: &[&str], line: &str) -> Option<String> {
    let signed = |line: &str| signs.iter().any(|sign| line.contains(sign));
    let web = declared.web.as_ref().is_some_and(|(line, ..)| signed(line));
    let worker = |(name, line): &(String, String)| signed(line) || NAMES.contains(&name.as_str());
    (!web && !declared.workers.iter().any(worker)).then(|| {
        format!(
            "{library} puts jobs into a queue, and no process carries them out: set \
             run.processes.worker.command = {line:?} in windlass.toml"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procfile;

    #[test]
    fn jobs_without_a_process_are_said_and_others_are_not() {
        let hint = |procfile: &str| {
            let declared = Declared::of(
                &windlass_sdk::config::Settings::default(),
                &procfile::parse(procfile),
            );
            hint(&declared, "Celery", &["celery"], "celery -A shop worker")
        };
        let said = hint("web: gunicorn shop\nclock: python clock.py\n").unwrap();
        assert!(said.starts_with("Celery puts jobs"), "{said}");
        assert!(
            said.contains("run.processes.worker.command = \"celery -A shop worker\""),
            "{said}"
        );
        for procfile in [
            "web: gunicorn shop\nmail: celery -A shop worker -Q mail\n",
            "web: gunicorn shop\nworker: ./work.sh\n",
            "web: celery multi start w && gunicorn shop\n",
        ] {
            assert_eq!(hint(procfile), None, "{procfile}");
        }
    }
}
