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
    /// Lets so many steps go on.
    Advance {
        steps: usize,
    },
    /// From now on every clean-up succeeds.
    Mend,
    /// Drops everything that runs, and starts again from the store.
    Crash,
}

pub(super) fn command() -> impl Strategy<Value = Command> {
    let environment = || 0..ENVIRONMENTS.len();
    let step = |likely| prop::option::weighted(likely, 0..StepName::ALL.len());
    let create = (environment(), step(0.4), step(0.3), any::<bool>());
    let create = create.prop_map(|(environment, fails_in, undo_fails_in, has_process)| {
        Command::Create { environment, fails_in, undo_fails_in, has_process }
    });
    let choice = || 0..8_usize;
    prop_oneof![
        4 => create,
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
        8 => (1..24_usize).prop_map(|steps| Command::Advance { steps }),
        1 => Just(Command::Mend),
        2 => Just(Command::Crash),
    ]
}
