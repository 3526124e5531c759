//! Custom stages that ask the host for the same for ever, of what they were granted. What the host does for them is not
//! their time: limits of the host's own end that, and then their CPU time ends them.
//!
//! The sandbox's tests play them with a host that gives without end, the end-to-end tests beside a deployment.

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Greedy {
    /// What the stage `act` of `sdk/rust/guests/stages` is told as `misbehave`.
    pub misbehave: &'static str,
    /// The limit that bounds what the host does for it.
    pub meets: &'static str,
}

/// All of them.
pub const GREEDY: [Greedy; 4] = [
    Greedy { misbehave: "put-forever", meets: "stages.writes_max" },
    Greedy { misbehave: "append-forever", meets: "stages.writes_max" },
    Greedy { misbehave: "annotate-forever", meets: "stages.writes_max" },
    Greedy { misbehave: "spawn-forever", meets: "stages.exec_commands_max" },
];
