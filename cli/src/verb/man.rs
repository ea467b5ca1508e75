//! `man`: manual pages, made from the same texts as `--help`.

use crate::command_line::CommandLine;
use crate::failure::Failure;
use crate::output::{note, print_bytes};
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  dfs-cli man | man -l -                       read the main page
  dfs-cli man --dir ~/.local/share/man/man1    install a page for each verb

Pages that lie in the directory already are replaced.";

/// Write manual pages
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ManArgs {
    /// Write a page for each verb into this directory, instead of the main page to standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl ManArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let pages = pages().map_err(|cause| Failure::output(&cause))?;
        let Some(directory) = self.dir else {
            return pages.first().map_or(Ok(()), |main| print_bytes(&main.text));
        };
        write(&directory, &pages)?;
        note(format_args!("{} pages in {}", pages.len(), directory.display()));
        Ok(())
    }
}

/// One manual page.
struct Page {
    /// Its file's name, such as `dfs-cli-upload.1`.
    file: String,
    /// Its text, in roff.
    text: Vec<u8>,
}

/// The main page first, then one for each verb and for each verb of those.
fn pages() -> io::Result<Vec<Page>> {
    fn add(command: &Command, pages: &mut Vec<Page>) -> io::Result<()> {
        let page = Man::new(command.clone());
        let file = page.get_filename();
        let mut text = Vec::new();
        page.render(&mut text)?;
        pages.push(Page { file, text });
        let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help");
        verbs.into_iter().try_for_each(|verb| add(verb, pages))
    }
    let mut command = CommandLine::command();
    // Verbs know their whole names only once the command line is built; the verb `help` has a page nowhere.
    command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(&command, &mut pages)?;
    Ok(pages)
}

fn write(directory: &Path, pages: &[Page]) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(|cause| Failure::local_file("make the directory", directory, &cause))?;
    for page in pages {
        let path = directory.join(&page.file);
        fs::write(&path, &page.text).map_err(|cause| Failure::local_file("write", &path, &cause))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn every_verb_has_a_page_with_its_examples() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("share/man1");
        write(&place, &pages().unwrap()).unwrap();
        let read = |name: &str| fs::read_to_string(place.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(read("dfs-cli.1").contains("Exit codes"));
        fn check(command: &Command, name: &str, read: &dyn Fn(&str) -> String) {
            for verb in command.get_subcommands() {
                let name = format!("{name}-{}", verb.get_name());
                let page = read(&format!("{name}.1"));
                assert!(page.contains("Example"), "{name}");
                assert!(page.contains(&format!(".TH {name} 1")), "{name}: {page}");
                check(verb, &name, read);
            }
        }
        check(&CommandLine::command(), "dfs-cli", &read);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let failure = write(&file.join("man1"), &[]).unwrap_err();
        assert_eq!(failure.exit, Exit::LocalFile);
        assert!(failure.message.contains("file/man1"), "{failure}");
    }
}
