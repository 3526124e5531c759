//! RUN.

use windlass_sdk::plan::{Base, InlineFile, Mount, Op, Place, Placed, Run as Command};

use super::mount::bind;
use super::{Lowering, PROXIES, State};
use crate::instruction::{Command as Words, Instruction, Run};
use crate::lines::of_word;
use crate::problem::{Found, Problem};

/// Where a script of a here-document appears while it runs.
const SCRIPTS: &str = "/dev/pipes";

impl Lowering<'_> {
    pub(super) fn run(
        &mut self,
        index: usize,
        state: &mut State,
        one: &Instruction,
        run: &Run,
    ) -> Found<()> {
        let network = match run.network.as_deref() {
            None | Some("default") => true,
            Some("none") => false,
            Some("host") => {
                return Err(Problem::unsupported(
                    "--network=host: a build never gets the host's network",
                    "remove it: the default reaches the internet",
                ));
            }
            Some(other) => {
                let what = format!("--network={other} is not known");
                return Err(Problem::syntax(what, "use default or none"));
            }
        };
        match run.security.as_deref() {
            None | Some("sandbox") => {}
            Some("insecure") => {
                return Err(Problem::unsupported(
                    "--security=insecure: a build never gets privileges",
                    "remove it, and do what needs them outside of the build",
                ));
            }
            Some(other) => {
                let what = format!("--security={other} is not known");
                return Err(Problem::syntax(what, "use sandbox"));
            }
        }
        let mut mounts = Vec::new();
        for text in &run.mounts {
            mounts.push(self.mount(index, state, one, text)?);
        }
        let argv = self.argv(index, state, run, &mut mounts)?;
        let mut step = self.new_step(index, self.shown(index, one), state.base.clone());
        step.env.clone_from(&state.env.0);
        for (name, value) in self.given.args {
            let known = PROXIES.contains(&name.to_ascii_lowercase().as_str());
            if known && state.env.get(name).is_none() {
                step.env.push((name.clone(), value.clone()));
            }
        }
        state.folder().clone_into(&mut step.cwd);
        step.user.clone_from(&state.user);
        step.ops.push(Op::Run(Command { network, mounts, ..Command::new(argv) }));
        self.push(state, step);
        Ok(())
    }

    fn argv(
        &mut self,
        index: usize,
        state: &State,
        run: &Run,
        mounts: &mut Vec<Mount>,
    ) -> Found<Vec<String>> {
        let line = match &run.command {
            Words::Exec(words) if words.first().is_none_or(String::is_empty) => {
                return Err(Problem::syntax("the list names no command", "write the command"));
            }
            Words::Exec(words) => return Ok(words.clone()),
            Words::Shell(line) => line,
        };
        let Some(first) = run.heredocs.first() else { return Ok(state.shell(line.clone())) };
        if of_word(line).is_none() {
            // Several, or one in a longer line: the shell of the image reads them.
            let mut script = line.clone();
            for heredoc in &run.heredocs {
                script.push_str(&format!("\n{}{}", heredoc.text, heredoc.name));
            }
            return Ok(state.shell(script));
        }
        let content = first.content();
        if !content.starts_with("#!") {
            return Ok(state.shell(content));
        }
        let name = first.name.rsplit('/').next().unwrap_or_default().to_owned();
        let file = InlineFile { name: name.clone(), content: content.into_bytes(), mode: 0o755 };
        let mut step = self.new_step(index, format!("write the script {name}"), Base::Scratch);
        step.ops.push(
            Place {
                origin: Placed::Inline(vec![file]),
                paths: Vec::new(),
                ignore: Vec::new(),
                exclude: Vec::new(),
                dest: "/".to_owned(),
                chown: None,
                chmod: None,
                parents: false,
                link: false,
                unpack: false,
            }
            .into(),
        );
        let target = format!("{SCRIPTS}/{name}");
        mounts.push(bind(step.id.clone(), format!("/{name}"), target.clone(), false));
        self.steps.push(step);
        Ok(state.shell(target))
    }
}
