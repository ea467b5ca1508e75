//! Every story comes to pass.

use dfs_sim::scenario::stories;
use std::collections::VecDeque;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dfs-sim");

const SEED: &str = "1";

/// Real time that no story needs, on a machine that has other things to do.
const WALL_LIMIT: &str = "5m";

/// The most that are played at once.
const AT_ONCE_MAX: usize = 8;

/// Plays one in a process of its own; says what it told if it does not come to pass.
fn play(name: &str) -> Option<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = ["run", name, "--seed", SEED, "--wall-limit", WALL_LIMIT];
    let output = Command::new(PROGRAM).args(arguments).current_dir(directory.path()).output();
    let output = output.expect("the simulator starts");
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (!output.status.success()).then(|| format!("dfs-sim {}\n{told}", arguments.join(" ")))
}

#[test]
fn every_story_comes_to_pass() {
    let told: Mutex<VecDeque<&str>> = Mutex::new(stories::all().iter().map(|story| story.name()).collect());
    let failed = Mutex::new(Vec::new());
    let teller = || {
        loop {
            let next = told.lock().expect("no teller panics").pop_front();
            let Some(name) = next else { return };
            if let Some(why) = play(name) {
                failed.lock().expect("no teller panics").push(why);
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    thread::scope(|scope| {
        for _ in 0..cores.min(AT_ONCE_MAX) {
            scope.spawn(teller);
        }
    });
    let failed = failed.into_inner().expect("no teller panics");
    assert!(failed.is_empty(), "{} stories do not come to pass\n\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn every_story_has_a_name_of_its_own_and_a_sentence() {
    let stories = stories::all();
    let mut names: Vec<&str> = stories.iter().map(|story| story.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), stories.len());
    for story in stories {
        assert!(story.sentence().ends_with('.') && story.sentence().contains(' '), "{} tells nothing", story.name());
    }
}
