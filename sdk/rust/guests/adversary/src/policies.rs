//! Health policies that must not be followed.

use windlass_sdk::health::{CommandProbe, HttpProbe, Policy, Probe};

/// Makes the good policy a bad one; what is no name of one leaves it as it is.
pub(crate) fn spoil(how: &str, mut policy: Policy) -> Policy {
    let http = |path: &str, name: &str, value: &str| {
        Probe::Http(HttpProbe {
            process: "web".into(),
            port: None,
            path: path.into(),
            headers: vec![(name.into(), value.into())],
            redirects_max: 3,
        })
    };
    match how {
        "many-probes" => policy.probes = vec![http("/", "a", "b"); 5_000],
        "other-process" => {
            let (process, argv) = ("host".into(), vec!["/bin/sh".into()]);
            policy.probes = vec![Probe::Command(CommandProbe { process, argv })];
        }
        "request-in-a-path" => {
            policy.probes = vec![http("/ HTTP/1.1\r\nHost: evil\r\n\r\nGET /", "a", "b")];
        }
        "request-in-a-header" => policy.probes = vec![http("/", "a", "b\r\nHost: evil")],
        "address-for-a-path" => policy.probes = vec![http("http://169.254.169.254/", "a", "b")],
        "endless-budget" => policy.budget_ms = u32::MAX,
        "no-pause" => (policy.interval_min_ms, policy.interval_max_ms) = (0, 0),
        _ => {}
    }
    policy
}
