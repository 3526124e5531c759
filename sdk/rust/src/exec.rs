//! Commands in a container: of an output of the build, or of an image. Needs the capability `exec`.

#[cfg(target_arch = "wasm32")]
use crate::bindings::custom::windlass::exec::exec as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::mock as host;

pub use crate::bindings::custom::windlass::exec::exec::{
    Batch, Command, ExecError, Exit, Line, Pipe, Place, Reason,
};

impl Command {
    /// A command in an output of the build, by its name; no shell is implied.
    pub fn in_output<S: Into<String>>(
        output: impl Into<String>,
        argv: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::new(Place::Output(output.into()), argv)
    }

    /// A command in an image that the host pulls; no shell is implied.
    pub fn in_image<S: Into<String>>(
        image: impl Into<String>,
        argv: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::new(Place::Image(image.into()), argv)
    }

    fn new<S: Into<String>>(place: Place, argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            place,
            argv: argv.into_iter().map(Into::into).collect(),
            cwd: None,
            env: Vec::new(),
            variable_names: Vec::new(),
            stdin: Vec::new(),
            timeout_ms: 0,
            tail_bytes_max: 0,
            quiet: false,
        }
    }

    /// One variable more, with its value.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// One variable of the environment more; it must be granted.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>) -> Self {
        self.variable_names.push(name.into());
        self
    }

    /// What it reads.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Its time, in milliseconds.
    #[must_use]
    pub fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.timeout_ms = timeout_ms;
        self
    }

    /// How many of its last bytes come back, of each stream.
    #[must_use]
    pub fn tail_bytes_max(mut self, bytes: u32) -> Self {
        self.tail_bytes_max = bytes;
        self
    }

    /// Without its output in the deployment's log: for output that is no text.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }
}

impl Exit {
    /// Whether it ended by itself, with status 0.
    pub fn is_success(&self) -> bool {
        self.code == 0 && !self.timed_out && !self.out_of_memory
    }

    /// The end of its standard output as text.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout_tail).into_owned()
    }

    /// The end of its standard error as text.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr_tail).into_owned()
    }
}

/// Runs a command to its end. An exit that is not zero is an answer.
///
/// # Errors
/// See [`Reason`].
pub fn run(command: &Command) -> Result<Exit, ExecError> {
    host::run(command)
}

/// Begins a command; its lines are read while it runs.
///
/// # Errors
/// See [`Reason`].
pub fn spawn(command: &Command) -> Result<Process, ExecError> {
    host::spawn(command).map(Process)
}

/// A command that runs. Dropping it ends the command.
#[derive(Debug)]
pub struct Process(host::Process);

impl Process {
    /// Waits up to `wait_ms` for its next lines, at most `lines_max`; 0 for the host's number.
    pub fn next_lines(&self, lines_max: u32, wait_ms: u32) -> Batch {
        self.0.next_lines(lines_max, wait_ms)
    }

    /// Gives each line to `each` until the command has ended; how it ended.
    pub fn each_line(&self, mut each: impl FnMut(&Line)) -> Exit {
        loop {
            let batch = self.next_lines(0, 10_000);
            batch.lines.iter().for_each(&mut each);
            if batch.ended {
                return self.wait();
            }
        }
    }

    /// Waits for its end.
    pub fn wait(&self) -> Exit {
        self.0.wait()
    }

    /// Ends it.
    pub fn kill(&self) {
        self.0.kill();
    }
}
