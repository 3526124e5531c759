//! What the sequences are made of.

use proptest::prelude::*;
use windlass_model::StepName;

/// Environments that the sequences play in.
pub(super) const ENVIRONMENTS: [&str; 2] = ["production", "staging"];

/// What is done to the host. Numbers choose among what there is.
#[derive(Debug, Clone)]
pub(super) enum Command {
    /// A new deployment, which fails in this step of the table, or in none, and whose clean-up fails in
    /// that one, or in none.
    Create {
        environment: usize,
        fails_in: Option<usize>,
        undo_fails_in: Option<usize>,
        has_process: bool,
        /// Its settings let a newer one end it while it runs.
        gives_way: bool,
    },
    /// A build that is not deployed.
    Build {
        environment: usize,
    },
    /// The live one again, or nothing when there is none.
    Redeploy {
        environment: usize,
    },
    /// Back to one that was live.
    Rollback {
        environment: usize,
        choice: usize,
    },
    /// What is live in the other environment.
    Promote {
        into: usize,
    },
    Cancel {
        choice: usize,
    },
    Pause {
        choice: usize,
    },
    Resume {
        choice: usize,
    },
    Stop {
        environment: usize,
    },
    Start {
        environment: usize,
    },
    Restart {
        environment: usize,
    },
    /// So many instances of the process, or as the settings say.
    Scale {
        environment: usize,
        replicas: Option<u32>,
    },
    /// Visitors are kept away from now on, or let in again.
    Maintenance {
        environment: usize,
        on: bool,
    },
    /// How much is kept of what was.
    Keep {
        environment: usize,
        deployments: usize,
        artifacts: usize,
    },
    /// The environment with all that it has, unless something of it is live or at work.
    Delete {
        environment: usize,
    },
    /// Lets so many steps go on.
    Advance {
        steps: usize,
    },
    /// From now on every clean-up succeeds.
    Mend,
    /// Drops everything that the host has in memory, and starts another one from the store. Containers
    /// and the proxy go on; with `loses_tasks` every container's process is gone.
    Crash {
        loses_tasks: bool,
    },
}

pub(super) fn command() -> impl Strategy<Value = Command> {
    let environment = || 0..ENVIRONMENTS.len();
    let step = |likely| prop::option::weighted(likely, 0..StepName::ALL.len());
    let create = (environment(), step(0.4), step(0.3), any::<bool>(), prop::bool::weighted(0.3));
    let create =
        create.prop_map(|(environment, fails_in, undo_fails_in, has_process, gives_way)| {
            Command::Create { environment, fails_in, undo_fails_in, has_process, gives_way }
        });
    let scale = (environment(), prop::option::weighted(0.7, 1..4_u32))
        .prop_map(|(environment, replicas)| Command::Scale { environment, replicas });
    let maintenance = (environment(), any::<bool>())
        .prop_map(|(environment, on)| Command::Maintenance { environment, on });
    let keep = (environment(), 1..4_usize, 1..3_usize).prop_map(
        |(environment, deployments, artifacts)| Command::Keep {
            environment,
            deployments,
            artifacts,
        },
    );
    let choice = || 0..8_usize;
    prop_oneof![
        5 => create,
        1 => environment().prop_map(|environment| Command::Build { environment }),
        1 => environment().prop_map(|environment| Command::Redeploy { environment }),
        2 => (environment(), choice())
            .prop_map(|(environment, choice)| Command::Rollback { environment, choice }),
        2 => environment().prop_map(|into| Command::Promote { into }),
        2 => choice().prop_map(|choice| Command::Cancel { choice }),
        2 => choice().prop_map(|choice| Command::Pause { choice }),
        2 => choice().prop_map(|choice| Command::Resume { choice }),
        3 => environment().prop_map(|environment| Command::Stop { environment }),
        3 => environment().prop_map(|environment| Command::Start { environment }),
        1 => environment().prop_map(|environment| Command::Restart { environment }),
        2 => scale,
        2 => maintenance,
        1 => keep,
        1 => environment().prop_map(|environment| Command::Delete { environment }),
        8 => (1..24_usize).prop_map(|steps| Command::Advance { steps }),
        1 => Just(Command::Mend),
        3 => prop::bool::weighted(0.3).prop_map(|loses_tasks| Command::Crash { loses_tasks }),
    ]
}
