//! `completions`: what a shell needs to complete this program's command lines.

use crate::command_line::CommandLine;
use crate::failure::Failure;
use crate::output::print_bytes;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  dfs-cli completions bash > ~/.local/share/bash-completion/completions/dfs-cli
  dfs-cli completions zsh > ~/.zfunc/_dfs-cli          (with ~/.zfunc in $fpath)
  dfs-cli completions fish > ~/.config/fish/completions/dfs-cli.fish
  source <(dfs-cli completions bash)                   for this shell only";

/// Write what a shell needs to complete command lines
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        print_bytes(&script(self.shell))
    }
}

fn script(shell: Shell) -> Vec<u8> {
    let mut command = CommandLine::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_shell_knows_every_verb() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            for verb in CommandLine::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
                assert!(script.contains(verb.get_name()), "{shell} does not know {}", verb.get_name());
            }
        }
    }
}
