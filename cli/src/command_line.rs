//! What can be typed: the program's name, version, help and verbs.

use crate::exit::Exit;
use crate::verb::Verb;
use clap::Parser;

/// A fault-tolerant distributed file system: clients, nodes and local clusters in one program.
#[derive(Debug, Parser)]
#[command(name = "dfs-cli", version, arg_required_else_help = true, max_term_width = 100, after_help = after_help())]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

fn after_help() -> String {
    format!(
        "Examples:\n  \
           dfs-cli demo                              see a cluster lose nodes and keep a file\n  \
           dfs-cli cluster up -d                     start a local cluster in the background\n  \
           dfs-cli upload --file photo.jpg           store a file in it\n  \
           dfs-cli download --name photo.jpg         get it back\n  \
           dfs-cli cluster down                      stop the cluster; its data stays\n  \
           dfs-cli sim run --seed 7                  doubt it: a simulated cluster under faults\n\n\
         {}",
        Exit::help()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_verb_has_examples_in_its_help() {
        fn check(command: &clap::Command) {
            for verb in command.get_subcommands() {
                let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example"), "{} has no examples", verb.get_name());
                check(verb);
            }
        }
        check(&CommandLine::command());
    }

    #[test]
    fn the_verbs_of_the_manual_are_understood() {
        for line in [
            "dfs-cli cluster up",
            "dfs-cli cluster up -m 3 -s 5 --dir here -d",
            "dfs-cli cluster status --dir here",
            "dfs-cli cluster logs metadata-1 --dir here",
            "dfs-cli cluster kill storage-2",
            "dfs-cli cluster stop storage-2",
            "dfs-cli cluster restart storage-2",
            "dfs-cli cluster down --purge",
            "dfs-cli node metadata --config node.toml",
            "dfs-cli node metadata --config node.toml --init --members 1=10.0.0.1:7001,2=10.0.0.2:7001",
            "dfs-cli node storage --node 1 --listen 10.0.0.4:7002 --metadata 10.0.0.1:7001,10.0.0.2:7001",
            "dfs-cli certs dev",
            "dfs-cli certs ca --dir certs",
            "dfs-cli certs issue --role storage --name 4",
            "dfs-cli certs show certs/ca.pem",
            "dfs-cli upload --file a --name b --replication 2 --chunk-size 1MiB --parallel 4",
            "dfs-cli upload -f - -n b --cluster here",
            "dfs-cli upload -f a --checksum --json",
            "dfs-cli upload -f a --no-resume",
            "dfs-cli upload -r a -n b --overwrite --json",
            "dfs-cli upload -f a -n b --overwrite",
            "dfs-cli download --name b --out - --parallel 4",
            "dfs-cli download -n b -o c",
            "dfs-cli download -n b --range 0-1023",
            "dfs-cli download -n b --range -1023 -o -",
            "dfs-cli download -n b --no-resume --json",
            "dfs-cli download -n b --verify-only --range 5-",
            "dfs-cli download -r photos -o pictures --json",
            "dfs-cli download --recursive photos --verify-only",
            "dfs-cli list --prefix photos/ --limit 10 --json",
            "dfs-cli list -p photos/",
            "dfs-cli stat --name b --json",
            "dfs-cli move --from a --to b/c",
            "dfs-cli delete --name b",
            "dfs-cli delete --id 7",
            "dfs-cli delete -r photos/ --yes",
            "dfs-cli list --prefix photos/ --delimiter / --all",
            "dfs-cli status --json",
            "dfs-cli status --actors --json",
            "dfs-cli nodes --json",
            "dfs-cli nodes storage-2 --json",
            "dfs-cli demo file --keep",
            "dfs-cli sim",
            "dfs-cli sim --help",
            "dfs-cli sim run storm --seed 7 --json",
            "dfs-cli bench",
            "dfs-cli bench small metadata --parallel 64 --duration 3s --json",
            "dfs-cli settings show --json",
            "dfs-cli settings set beat_interval_ms=1s dead_after_ms=5min",
            "dfs-cli completions zsh",
            "dfs-cli man",
            "dfs-cli man --dir man1",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn wrong_values_are_refused_with_the_reason() {
        for (line, reason) in [
            ("dfs-cli upload -f a -n /b", "must not begin with '/'"),
            ("dfs-cli upload -f a -n a/../b", "'.' or '..'"),
            ("dfs-cli upload -f a --chunk-size 0", "multiple of 64 KiB"),
            ("dfs-cli upload -f a --chunk-size=-1", "is not a size"),
            ("dfs-cli upload -f a --chunk-size 1KiB", "multiple of 64 KiB"),
            ("dfs-cli upload -f a --chunk-size 128MiB", "multiple of 64 KiB"),
            ("dfs-cli upload -f a --chunk-size 1mb", "is not a size"),
            ("dfs-cli upload -f a --replication 0", "1..=8"),
            ("dfs-cli upload -f a --replication 9", "1..=8"),
            ("dfs-cli upload -f a --parallel 0", "1..="),
            ("dfs-cli upload -f a --checksum --no-resume", "cannot be used with"),
            ("dfs-cli upload -f a -r b", "cannot be used with"),
            ("dfs-cli upload -n a", "--file <PATH>"),
            ("dfs-cli download -n a//b", "empty components"),
            ("dfs-cli download -n a --range 5-4", "not a range"),
            ("dfs-cli download", "--name <NAME>|--recursive <DIR>"),
            ("dfs-cli download -n a -r b", "cannot be used with"),
            ("dfs-cli download -r a --range 1-2", "cannot be used with"),
            ("dfs-cli download -n a --verify-only -o b", "cannot be used with"),
            ("dfs-cli stat -n ../b", "'.' or '..'"),
            ("dfs-cli move --from a", "--to <NAME>"),
            ("dfs-cli move --from a --to ../b", "'.' or '..'"),
            ("dfs-cli delete", "--name <NAME>|--id <ID>|--recursive <PREFIX>"),
            ("dfs-cli delete --name a --id 7", "cannot be used with"),
            ("dfs-cli delete --recursive a --id 7", "cannot be used with"),
            ("dfs-cli delete --recursive=", "a value is required"),
            ("dfs-cli delete --name a --yes", "cannot be used with"),
            ("dfs-cli list --delimiter x", "possible values: /"),
            ("dfs-cli list --limit x", "invalid digit"),
            ("dfs-cli cluster kill storage-x", "metadata-1 or storage-2"),
            ("dfs-cli certs issue --role king --name 1", "metadata, storage or client"),
            ("dfs-cli node metadata --members 1=10.0.0.1:7001", "--init"),
            ("dfs-cli nodes client-1", "metadata-1 or storage-2"),
            ("dfs-cli bench everything", "possible values"),
            ("dfs-cli bench --parallel 0", "1..=256"),
            ("dfs-cli settings set", "KEY=VALUE"),
            ("dfs-cli settings set replicas=3", "there is no setting"),
            ("dfs-cli settings set dead_after_ms=5", "with ms, s, min, h or d"),
            ("dfs-cli completions tcsh", "possible values"),
            ("dfs-cli frobnicate", "unrecognized subcommand"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.to_string().contains(reason), "{line}: {error}");
            assert_eq!(error.exit_code(), i32::from(Exit::Usage.number()));
        }
    }
}
